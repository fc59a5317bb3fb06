"""The network in training: any causal Hugging Face model with LoRA on its linear layers.

Only the hidden states that predict an answer token are projected onto the vocabulary: at 49,152
words the projection of a prompt token would cost a quarter of the whole network. What all rows of a
batch begin with (system prompt, template) is computed once, gradients and all.
"""

from typing import Any

from loop_platform.engine import attention, linear
from loop_platform.engine.batches import Batch
from loop_platform.engine.frozen import Packed, frozen
from loop_platform.engine.layout import Layout
from loop_platform.engine.team import Team


class Network:
    """A model with an adapter, in the machine's precision; the optimiser keeps float32."""

    def __init__(self, adapted: Any, team: Team | None = None) -> None:  # noqa: ANN401 - peft is untyped
        """`team`: the processes that train it together, where there are more than this."""
        team = team or Team()
        self.adapted = adapted
        causal = adapted.get_base_model()
        self._decoder = causal.get_decoder()
        words = causal.get_output_embeddings().weight
        if words.requires_grad:
            raise ValueError("the vocabulary projection is trainable; the anchor needs it frozen")
        (self.vocabulary,) = frozen([words])
        self.fused = linear.fuse(adapted, divided=not team.alone)
        if causal.device.type == "cpu" and attention.covers(causal):
            causal.set_attn_implementation(attention.register())
        self.flat = causal.config._attn_implementation == attention.NAME and self._keeps_apart()
        """Does a batch go through as one sequence, without padding?"""
        team.divide(adapted)

    @property
    def way(self) -> str:
        """How batches go through, in words."""
        weights = [*self.fused, self.vocabulary]
        packed = sum(isinstance(weight, Packed) for weight in weights)
        rows = "in one sequence" if self.flat else "padded to the longest"
        return f"rows {rows}, {packed} of {len(weights)} frozen weights packed"

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
        layout = batch.layout
        if self.flat:
            return self._laid_out(batch.ids, layout)[batch.positions]
        rows = self._after(batch.prefix, batch.rest) if layout.prefix else self.hidden(batch.rest)
        return layout.flat(rows)[batch.positions - layout.prefix]

    def _laid_out(self, ids: Any, layout: Layout) -> Any:  # noqa: ANN401
        """[tokens, width]: the last hidden states of rows in one sequence."""
        return self._decoder(
            input_ids=ids[None],
            position_ids=layout.positions[None],
            use_cache=False,
            layout=layout,
        ).last_hidden_state[0]

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

    def _keeps_apart(self) -> bool:
        """Is a row of a layout the same whatever its neighbour holds? Not if any layer looks at
        other tokens by itself, as a convolution or a recurrence does.
        """
        import torch

        layout = Layout(1, (2, 2))
        with torch.no_grad():
            one, other = (
                self._laid_out(torch.tensor([1, 1, last, 1, 1]), layout)[3:] for last in (2, 3)
            )
        return bool(torch.equal(one, other))
