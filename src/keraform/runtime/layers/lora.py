"""LoRA (Hu et al. 2021) on dense layers and tables: y = x W + s x A B, W frozen, s = alpha / rank.

Keras's own layers add A B to the weight at each call; here the product with the input is taken
first, as PEFT does, which is less work, allows dropout before A, and also works where the weight
is tied to another layer's.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from keraform.errors import KeraformError
from keraform.runtime.layers.tying import drop_variable
from keraform.runtime.ops.randomness import dropout
from keraform.runtime.tree import TorchWeight, named_layers, named_weights, own_variable, read


class LowRank:
    """Mixin before `TorchLayer` and Keras's Dense or Embedding, in place of Keras's LoRA."""

    lora_attribute: ClassVar[str] = "kernel"
    lora_dropout: float = 0.0
    lora_enabled: bool
    lora_rank: Any
    lora_alpha: Any

    def _lora_sides(self) -> tuple[int, int]:
        """The weight's rows and columns."""
        raise NotImplementedError

    def _lora_initializers(self) -> tuple[Any, Any]:
        """What A and B start as: one of them as zeros, as PEFT has them."""
        raise NotImplementedError

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = None,
        b_initializer: Any = None,
    ) -> None:
        """Freezes the weight, and trains two factors of an update of it.

        Args:
            rank: The size between the factors.
            lora_alpha: The update is scaled by `lora_alpha / rank`; by 1 when None.
            a_initializer: Of the first factor; PEFT's when None.
            b_initializer: Of the second; PEFT's when None.

        Raises:
            KeraformError: The layer has LoRA already or quantized weights, or the rank is no whole
                number of at least 1.
        """
        self.check_lora(rank)
        rows, columns = self._lora_sides()
        starts = self._lora_initializers()
        starts = (a_initializer or starts[0], b_initializer or starts[1])
        dtype = "float64" if self.variable_dtype == "float64" else "float32"  # not halves, as PEFT
        self._tracker.unlock()
        for name, shape, start in zip(
            self._lora_names(), ((rows, rank), (rank, columns)), starts, strict=True
        ):
            start = keras.initializers.get(start)
            weight = self.add_weight(name=name, shape=shape, initializer=start, dtype=dtype)
            setattr(self, name, weight)
        self._tracker.lock()
        weight = own_variable(self, self.lora_attribute)
        if weight is not None:
            weight.trainable = False
        self.lora_enabled, self.lora_rank = True, rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    def check_lora(self, rank: int) -> None:
        """Makes sure that `enable_lora(rank)` will work.

        Raises:
            KeraformError: As from `enable_lora`.
        """
        mode = self.dtype_policy.quantization_mode
        if self.lora_enabled or mode is not None or int(rank) != rank or rank < 1:
            got = "LoRA on it already" if self.lora_enabled else mode or f"rank={rank!r}"
            raise KeraformError(
                expected=f"a rank of at least 1, and a layer '{self.name}' that has neither LoRA "
                "nor quantized weights",
                got=got,
                try_next="model.merge_lora() first" if self.lora_enabled else "enable_lora(rank=8)",
            )

    def _lora_names(self) -> tuple[str, str]:
        return f"lora_{self.lora_attribute}_a", f"lora_{self.lora_attribute}_b"

    def lora_factors(self) -> tuple[keras.Variable, keras.Variable]:
        """A, [rows, rank], and B, [rank, columns]."""
        first, second = self._lora_names()
        return getattr(self, first), getattr(self, second)

    def _with_update(self, outputs: Any, taken: Any) -> Any:
        """`outputs` and the update: `taken` is what stands before A, or A's rows already."""
        first, second = self.lora_factors()
        if self.lora_attribute == "kernel":
            taken = ops.cast(taken, keras.backend.standardize_dtype(first.value.dtype))
            taken = ops.matmul(dropout(taken, self.lora_dropout, self.training), first)
        update = ops.matmul(taken, second) * (self.lora_alpha / self.lora_rank)
        return ops.cast(outputs + update, outputs.dtype)

    def merged_weight(self) -> Any:
        """The weight with its update, in the weight's dtype."""
        weight = own_variable(self, self.lora_attribute)
        first, second = (read(factor) for factor in self.lora_factors())
        update = ops.matmul(first, second) * (self.lora_alpha / self.lora_rank)
        return ops.cast(ops.cast(read(weight), update.dtype) + update, weight._dtype)

    def merge_lora(self) -> None:
        """Adds the update to the weight, and takes the factors away."""
        own_variable(self, self.lora_attribute).assign(self.merged_weight())
        for name in self._lora_names():
            drop_variable(self, name)
        self.lora_enabled, self.lora_rank, self.lora_alpha = False, None, None

    def _plain_variables(self) -> list[keras.Variable]:
        """What a layer without LoRA has, in the order in which it is saved."""
        factors = self.lora_factors()
        variables = [*self._trainable_variables, *self._non_trainable_variables]
        return [each for each in variables if all(each is not factor for factor in factors)]

    def save_own_variables(self, store: Any) -> None:
        if not self.lora_enabled:
            super().save_own_variables(store)  # type: ignore[misc]
            return
        weight = own_variable(self, self.lora_attribute)
        for index, variable in enumerate(self._plain_variables()):
            value = self.merged_weight() if variable is weight else read(variable)
            store[str(index)] = ops.convert_to_numpy(value)

    def load_own_variables(self, store: Any) -> None:
        if not self.lora_enabled:
            super().load_own_variables(store)  # type: ignore[misc]
            return
        for index, variable in enumerate(self._plain_variables()):
            variable.assign(store[str(index)])
        # files hold merged weights: no update any more, and one that can be trained again
        factor = self.lora_factors()[1 if self.lora_attribute == "kernel" else 0]
        factor.assign(ops.zeros_like(read(factor)))


def check_mergeable(root: Any) -> None:
    """Makes sure that no update would be lost or spread where a file holds merged weights.

    Raises:
        KeraformError: A weight with LoRA is tied to another layer's.
    """
    updated = {id(layer): path for path, layer in named_layers(root) if has_lora(layer)}
    if not updated:
        return
    holders: dict[int, set[int]] = {}
    for weight in named_weights(root):
        holders.setdefault(id(weight.variable), set()).add(id(weight.layer))
    for weight in named_weights(root):
        layer = weight.layer
        is_target = id(layer) in updated and weight.attribute == layer.lora_attribute
        if is_target and len(holders[id(weight.variable)]) > 1:
            raise KeraformError(
                expected="LoRA on weights of their own, since a file holds merged weights",
                got=f"LoRA on {updated[id(layer)]}, whose weight is tied to another layer's",
                try_next="model.save_adapter(directory), and load_adapter after loading the model",
            )


def has_lora(layer: Any) -> bool:
    """Whether a layer computes with an update."""
    return isinstance(layer, LowRank) and layer.lora_enabled


def has_update(weight: TorchWeight) -> bool:
    """Whether a weight is one that a layer computes an update of."""
    return has_lora(weight.layer) and weight.attribute == weight.layer.lora_attribute
