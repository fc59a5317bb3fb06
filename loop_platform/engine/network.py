"""The network in training: any causal Hugging Face model with LoRA on its linear layers.

Only the hidden states that predict an answer token are projected onto the vocabulary: at 49,152
words the projection of a prompt token would cost as much as ten layers.
"""

from typing import Any

from loop_platform.engine.batches import Batch


class Network:
    """A model with an adapter: weights and adapter in bfloat16, the optimiser keeps float32."""

    def __init__(self, adapted: Any) -> None:  # noqa: ANN401 - peft is untyped
        self.adapted = adapted
        causal = adapted.get_base_model()
        self._decoder = causal.get_decoder()
        self._vocabulary = causal.get_output_embeddings().weight
        if any(part.requires_grad for part in (self._vocabulary,)):
            raise ValueError("the vocabulary projection is trainable; the anchor needs it frozen")

    @property
    def parameters(self) -> list[Any]:
        return [weight for weight in self.adapted.parameters() if weight.requires_grad]

    def answer_states(self, batch: Batch) -> Any:  # noqa: ANN401
        """[answer tokens, width]: the last hidden states that predict the answers."""
        hidden = self._decoder(input_ids=batch.ids, use_cache=False).last_hidden_state
        return hidden.flatten(0, 1)[batch.positions]

    def logits(self, states: Any) -> Any:  # noqa: ANN401
        import torch

        return torch.nn.functional.linear(states, self._vocabulary)
