"""The network in training: any causal Hugging Face model with LoRA on its linear layers.

Only the hidden states that predict an answer token are projected onto the vocabulary: at 49,152
words the projection of a prompt token would cost a quarter of the whole network. What all rows of a
batch begin with (system prompt, template) is computed once, gradients and all.
"""

from typing import Any

from loop_platform.engine import attention, linear
from loop_platform.engine.batches import Batch


class Network:
    """A model with an adapter: weights and adapter in bfloat16, the optimiser keeps float32."""

    def __init__(self, adapted: Any) -> None:  # noqa: ANN401 - peft is untyped
        self.adapted = adapted
        causal = adapted.get_base_model()
        self._decoder = causal.get_decoder()
        self.vocabulary = causal.get_output_embeddings().weight
        if self.vocabulary.requires_grad:
            raise ValueError("the vocabulary projection is trainable; the anchor needs it frozen")
        self.fused = linear.fuse(adapted)
        if causal.device.type == "cpu" and attention.covers(causal.config):
            causal.set_attn_implementation(attention.register())

    @property
    def parameters(self) -> list[Any]:
        return [weight for weight in self.adapted.parameters() if weight.requires_grad]

    @property
    def layers(self) -> list[Any]:
        """The adapted linear layers, in the order in which they are run."""
        from peft.tuners.lora import Linear

        return [module for module in self.adapted.modules() if isinstance(module, Linear)]

    def freeze_directions(self) -> None:
        """Train B alone: A stays where the adapter listens now."""
        for layer in self.layers:
            layer.lora_A["default"].weight.requires_grad_(False)

    def hidden(self, ids: Any) -> Any:  # noqa: ANN401
        """[rows, tokens, width]: the last hidden states."""
        return self._decoder(input_ids=ids, use_cache=False).last_hidden_state

    def answer_states(self, batch: Batch) -> Any:  # noqa: ANN401
        """[answer tokens, width]: the last hidden states that predict the answers."""
        if batch.prefix is None:
            hidden = self.hidden(batch.ids)
        else:
            hidden = self._after(batch.prefix, batch.ids)
        return hidden.flatten(0, 1)[batch.positions]

    def _after(self, prefix: Any, ids: Any) -> Any:  # noqa: ANN401
        """Hidden states of rows that all go on from one prefix."""
        import torch
        from transformers import DynamicCache

        cache = DynamicCache()
        self._decoder(input_ids=prefix, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(ids))
        places = torch.arange(prefix.shape[1], prefix.shape[1] + ids.shape[1])[None]
        return self._decoder(
            input_ids=ids, position_ids=places, past_key_values=cache, use_cache=True
        ).last_hidden_state
