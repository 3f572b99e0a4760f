"""Gradient checkpointing: which blocks compute their activations again in the backward pass."""

from __future__ import annotations

from typing import Any

from keraform.errors import KeraformError
from keraform.modeling.changed import forget_functions
from keraform.runtime.layers import GradientCheckpointingLayer
from keraform.runtime.tree import named_layers

# of torch's function: how it works, not what it computes
_OF_TORCH = frozenset(
    {"use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop"}
)


class GradientCheckpointing:
    """Gives pretrained models upstream's switches."""

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Lets blocks compute their activations again for the gradients, in place of keeping them.

        Gradients stay the same, with dropout too. A step takes less memory and more time. Blocks
        use no cache in training.

        Args:
            activation_checkpointing_kwargs: Accepted, where it says how torch's function works.
            every_n_layers: Let every n-th block do so only.
            offload: Not there: backends decide where tensors lie.

        Raises:
            KeraformError: The class has no such blocks, or another argument.
        """
        name = type(self).__name__
        unknown = sorted(set(activation_checkpointing_kwargs or {}) - _OF_TORCH)
        if offload:
            unknown.append("offload=True")
        if unknown or every_n_layers < 1:
            raise KeraformError(
                expected="every_n_layers of at least 1, and "
                f"gradient_checkpointing_kwargs among {', '.join(sorted(_OF_TORCH))}",
                got=", ".join(unknown) or f"every_n_layers={every_n_layers}",
                try_next="model.gradient_checkpointing_enable()",
            )
        blocks = [each for each in self._switched() if isinstance(each, GradientCheckpointingLayer)]
        if not self.supports_gradient_checkpointing or not blocks:
            raise KeraformError(
                expected="a model with blocks that can compute their activations again",
                got=f"{name}, whose PyTorch class has "
                + ("no such blocks" if self.supports_gradient_checkpointing else "no support"),
                try_next="fit(..., batch_size=...) with a smaller batch, and "
                "gradient_accumulation_steps of the optimizer",
            )
        self._set_gradient_checkpointing(True)
        for index, block in enumerate(blocks):
            block.gradient_checkpointing = index % every_n_layers == 0

    def activation_checkpointing_disable(self) -> None:
        """Lets all blocks keep their activations."""
        self._set_gradient_checkpointing(False)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """The older name of `activation_checkpointing_enable`.

        Args:
            gradient_checkpointing_kwargs: Its first argument.
            **kwargs: Its others.
        """
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs, **kwargs)

    def gradient_checkpointing_disable(self) -> None:
        """The older name of `activation_checkpointing_disable`."""
        self.activation_checkpointing_disable()

    @property
    def is_activation_checkpointing(self) -> bool:
        """Whether some block computes its activations again in the backward pass."""
        return any(layer.gradient_checkpointing for layer in self._switched())

    @property
    def is_gradient_checkpointing(self) -> bool:
        """The older name of `is_activation_checkpointing`."""
        return self.is_activation_checkpointing

    def _switched(self) -> list[Any]:
        """The layers with the switch: blocks, and models that hold them."""
        return [
            layer
            for _, layer in named_layers(self)
            if isinstance(layer, GradientCheckpointingLayer)
            or "gradient_checkpointing" in vars(layer)
        ]

    def _set_gradient_checkpointing(self, enable: bool) -> None:
        for layer in self._switched():
            layer.gradient_checkpointing = enable
        forget_functions(self)
