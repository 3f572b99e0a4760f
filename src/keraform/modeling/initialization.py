"""Random values for new weights: upstream's general scheme, and the walk that applies it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras

from keraform.modeling.building import initialize
from keraform.runtime import filling, init, layers
from keraform.runtime.tree import children, find_weight, named_layers, own_weights

_DONE = "_weights_initialized"
_PROJECTIONS = (
    layers.Dense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.ConvTranspose1D,
    layers.ConvTranspose2D,
)
_NORMS = (layers.GroupNormalization, layers.BatchNormalization)
_NORM_NAMES = ("LayerNorm", "RMSNorm")


def standard_deviation(config: Any) -> float:
    """The deviation that upstream's general scheme takes from a configuration.

    Args:
        config: The model's configuration.
    """
    if hasattr(config, "initializer_range"):
        return config.initializer_range or 0.02
    for name in ("init_std", "initializer_factor"):
        if hasattr(config, name):
            return getattr(config, name)
    return getattr(config.get_text_config(), "initializer_range", 0.02)


def init_layer(config: Any, layer: Any) -> None:
    """Sets the weights of one layer as `PreTrainedModel._init_weights` does upstream.

    Args:
        config: The model's configuration.
        layer: The layer; its children are not touched.
    """
    names = {weight.key for weight in own_weights(layer)}
    if isinstance(layer, _PROJECTIONS) and not isinstance(layer, layers.TransposedDense):
        if "weight" in names:
            init.normal_(layer, "weight", mean=0.0, std=standard_deviation(config))
        if "bias" in names:
            init.zeros_(layer, "bias")
    elif isinstance(layer, layers.LSTM):
        for name in sorted(names):
            if "weight" in name:
                init.xavier_uniform_(layer, name)
            elif "bias" in name:
                init.constant_(layer, name, 0.0)
    elif isinstance(layer, layers.Embedding):
        init.normal_(layer, "weight", mean=0.0, std=standard_deviation(config))
        if layer.padding_idx is not None:
            _zero_row(layer, layer.padding_idx)
    elif isinstance(layer, layers.MultiheadAttention):
        _reset_attention(layer, names)
    elif isinstance(layer, _NORMS) or any(name in type(layer).__name__ for name in _NORM_NAMES):
        _init_norm(layer, names)


def _init_norm(layer: Any, names: Collection[str]) -> None:
    for name, function in (
        ("weight", init.ones_),
        ("bias", init.zeros_),
        ("running_mean", init.zeros_),
        ("running_var", init.ones_),
        ("num_batches_tracked", init.zeros_),
    ):
        if name in names:
            function(layer, name)


def _reset_attention(layer: Any, names: Collection[str]) -> None:
    """As nn.MultiheadAttention does itself."""
    for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
        if name in names:
            init.xavier_uniform_(layer, name)
    for name in ("bias_k", "bias_v"):
        if name in names:
            init.xavier_normal_(layer, name)
    if "in_proj_bias" in names:
        init.zeros_(layer, "in_proj_bias")


def _zero_row(layer: Any, row: int) -> None:
    """On the device, because the table may be the largest weight there is."""
    entry = find_weight(layer, "weight")
    rows = keras.ops.arange(entry.variable.shape[0])
    keep = keras.ops.cast(keras.ops.not_equal(rows, row), entry.variable.dtype)
    value = entry.variable * keras.ops.expand_dims(keep, -1)
    init.copy_(layer, "weight", value)


def init_tree(root: Any) -> None:
    """Initialises every layer of a model that has not been, children first.

    A layer belongs to the innermost pretrained model around it; that model's `_init_weights`
    is the one that counts.

    Args:
        root: The model.
    """
    _init_below(root, root)


def _init_below(layer: Any, owner: Any) -> None:
    if layer.__dict__.get(_DONE):
        return
    object.__setattr__(layer, _DONE, True)
    for _, child in children(layer):
        _init_below(child, child if _is_pretrained(child) else owner)
    _init_one(layer, owner)


def _is_pretrained(layer: Any) -> bool:
    """Whether a layer is a pretrained model; others may have an `_init_weights` of their own."""
    return hasattr(layer, "_init_weights") and hasattr(layer, "base_model_prefix")


def _init_one(layer: Any, owner: Any) -> None:
    """A plain wrapper is left out: torch's module of its name is its main layer."""
    if getattr(layer, "main_layer", None) is None:
        owner._init_weights(layer)


def init_missing(root: Any, missing: Collection[keras.Variable]) -> None:
    """Gives values to weights that a checkpoint did not have, and to no others.

    Only the layers that hold such a weight, and the layers around those, are asked.

    Args:
        root: The model.
        missing: The variables without a value (or whose value does not count).
    """
    wanted = {id(variable) for variable in missing}
    loaded, concerned = [], set()
    for path, layer in named_layers(root, drop_main=False):
        own = [weight.variable for weight in own_weights(layer)]
        loaded += [variable for variable in own if id(variable) not in wanted]
        if any(id(variable) in wanted for variable in own):
            concerned |= _with_parents(path)
    if concerned:
        initialize(missing)
        with filling.protecting(loaded):
            _init_chosen(root, root, "", concerned)


def _with_parents(path: str) -> set[str]:
    parts = path.split(".") if path else []
    return {".".join(parts[:count]) for count in range(len(parts) + 1)}


def _init_chosen(layer: Any, owner: Any, path: str, chosen: Collection[str]) -> None:
    for name, child in children(layer):
        below = f"{path}.{name}" if path else name
        if below in chosen:
            next_owner = child if _is_pretrained(child) else owner
            _init_chosen(child, next_owner, below, chosen)
    _init_one(layer, owner)
