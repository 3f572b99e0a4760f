"""Quantized weights: which layers of a model get them, and how a saved model has them again."""

from __future__ import annotations

import re
import warnings
from typing import Any

from keraform.errors import KeraformError
from keraform.modeling.changed import forget_functions, require_fresh_optimizer
from keraform.runtime import layers
from keraform.runtime.layers.lora import has_lora
from keraform.runtime.owned import OwnedMethod
from keraform.runtime.tree import name_weights, named_layers, named_weights, own_variable

MODES = ("int8", "int4", "float8")


class Quantization:
    """Gives pretrained models `quantize`, on Keras's own quantized layers."""

    @OwnedMethod
    def quantize(
        self, mode: str = "int8", config: Any = None, filters: Any = None, **kwargs: Any
    ) -> list[str]:
        """Quantizes the weights of dense layers, and of tables in "int8" and "int4".

        The output embeddings, and weights that are tied, stay as they are. Such a model is saved
        by `save` (.keras) and `save_weights`, not by `save_pretrained`.

        Args:
            mode: "int8", "int4" (a scale for each column), or "float8".
            config: Not there: Keras's default for the mode.
            filters: As in Keras: a regular expression or a list of them for the layers' paths, or a
                function of a layer.
            **kwargs: Not there.

        Returns:
            The paths of the layers with quantized weights.

        Raises:
            KeraformError: Another mode, a model with LoRA, a trained or a quantized one, or nothing
                to quantize.
        """
        require_fresh_optimizer(self, "quantize")
        if mode not in MODES or config is not None or kwargs:
            raise KeraformError(
                expected=f"one of the modes {', '.join(MODES)}, with Keras's default settings",
                got=f"quantize({mode!r}"
                + (f", config={config!r}" if config is not None else "")
                + "".join(f", {name}={value!r}" for name, value in kwargs.items())
                + ")",
                try_next='model.quantize("int8")',
            )
        has = "quantized weights" if self._quantized() else ""
        if any(has_lora(layer) for _, layer in named_layers(self)):
            has = "LoRA"
        if has:
            raise KeraformError(
                expected="a model without LoRA that is not quantized yet",
                got=f"a {type(self).__name__} with {has}",
                try_next="model.merge_lora()" if has == "LoRA" else "from_pretrained(...) anew",
            )
        paths = [path for path in _quantizable(self, mode) if _is_chosen(self, path, filters)]
        if not paths:
            raise KeraformError(
                expected="dense layers (or tables) with weights of their own that match filters",
                got=f"filters={filters!r}, for which {type(self).__name__} has none",
                try_next=f'model.quantize("{mode}")',
            )
        self._quantize_layers(dict.fromkeys(paths, mode))
        forget_functions(self)
        return paths

    def _quantized(self) -> dict[str, str]:
        """The mode of each quantized layer by its path."""
        return {
            path: layer.dtype_policy.quantization_mode
            for path, layer in named_layers(self)
            if getattr(layer.dtype_policy, "quantization_mode", None) is not None
        }

    def _quantize_layers(self, modes: dict[str, str]) -> None:
        known = dict(named_layers(self))
        with warnings.catch_warnings():  # of Keras, which hands NumPy its variables
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            for path, mode in modes.items():
                known[path].quantize(mode, type_check=False)
        name_weights(self)


def _quantizable(model: Any, mode: str) -> list[str]:
    """Dense layers and tables whose weight nobody shares, but the output embeddings."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    kinds = layers.Dense if mode == "float8" else (layers.Dense, layers.Embedding)
    holders: dict[int, int] = {}
    for weight in named_weights(model):
        holders[id(weight.variable)] = holders.get(id(weight.variable), 0) + 1
    found = []
    for path, layer in named_layers(model):
        if isinstance(layer, kinds) and layer is not head:
            variable = own_variable(layer, layer.lora_attribute)
            if variable is not None and holders[id(variable)] == 1:
                found.append(path)
    return found


def _is_chosen(model: Any, path: str, filters: Any) -> bool:
    if filters is None:
        return True
    if callable(filters):
        return bool(filters(dict(named_layers(model))[path]))
    patterns = [filters] if isinstance(filters, str) else filters
    return any(re.search(pattern, path) for pattern in patterns)
