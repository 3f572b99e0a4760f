"""How a model's weights are split over devices with `keras.distribution.ModelParallel`.

A transformer is split as in Megatron-LM (Shoeybi et al. 2019): of two layers in a row the first is
split by its outputs and the second by its inputs, so that devices exchange only their sums.
"""

from __future__ import annotations

import re

import keras
from transformers import PreTrainedConfig

from keraform.errors import KeraformError
from keraform.modeling.building import deferred_values
from keraform.runtime import layers
from keraform.runtime.tree import TorchWeight, named_weights

# what an attention makes of its input; what follows these is split by its inputs
_PROJECTIONS = re.compile(
    r"(q|k|v|kv|qkv|query|key|value|query_key_value|c_attn|in_proj)(_proj|_lin|_layer)?"
)


def layout_map(
    model_class: type, config: PreTrainedConfig, mesh: keras.distribution.DeviceMesh
) -> keras.distribution.LayoutMap:
    """A layout for the weights of a model, by what its layers are, before there is the model.

    Kernels of attentions and of the networks behind them, and tables of embeddings, are split over
    the mesh's axis "model" where its size divides them; everything else is on each device. Results
    do not depend on it; change entries as you like.

    Args:
        model_class: A class of Keraform.
        config: Its configuration.
        mesh: Devices, with an axis "model".

    Returns:
        A map from patterns of the weights' paths, for `keras.distribution.ModelParallel`.

    Raises:
        KeraformError: The mesh has no axis "model"; or it divides no weight.

    Example:
        ```python
        mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"])
        layouts = layout_map(TFLlamaForCausalLM, config, mesh)
        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
        )
        model = TFLlamaForCausalLM.from_pretrained("...")  # each device reads its part
        ```
    """
    sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
    if "model" not in sizes:
        raise KeraformError(
            expected='a mesh with an axis "model"',
            got=f"axes {', '.join(mesh.axis_names)}",
            try_next='keras.distribution.DeviceMesh((2, 4), ["batch", "model"])',
        )
    with deferred_values():
        model = model_class(config)
    axes: dict[str, tuple[str | None, ...]] = {}
    for weight in named_weights(model, aliases=False):
        axis = _split_axis(weight)
        if axis is not None and weight.variable.shape[axis] % sizes["model"] == 0:
            dimensions = range(len(weight.variable.shape))
            split = tuple("model" if each == axis else None for each in dimensions)
            axes[_pattern(weight.variable.path)] = split
    if not axes:
        raise KeraformError(
            expected=f"weights of {model_class.__name__} that {sizes['model']} devices can share",
            got="none with a size that this divides",
            try_next="a mesh with a smaller axis, or keras.distribution.DataParallel",
        )
    layouts = keras.distribution.LayoutMap(mesh)
    for pattern, split in axes.items():
        layouts[pattern] = split
    return layouts


def _pattern(path: str) -> str:
    """A pattern for a weight in all blocks, whatever the model is called."""
    _, _, inside = path.partition("/")
    return rf"[^/]+/{re.sub(r'/[0-9]+(?=/)', '/[0-9]+', re.escape(inside))}"


def _split_axis(weight: TorchWeight) -> int | None:
    """The axis along which a variable is split; None for a copy on each device."""
    if isinstance(weight.layer, layers.Embedding):
        return 0
    if not isinstance(weight.layer, keras.layers.Dense):
        return None
    by_outputs = _gives_parts(weight)
    if weight.attribute == "bias":
        return 0 if by_outputs else None
    return 1 if by_outputs else 0


def _gives_parts(weight: TorchWeight) -> bool:
    """Whether a dense layer is the first of two: a projection, or wider than what it gets."""
    *_, name, _ = weight.variable.path.split("/")
    inputs, outputs = weight.layer.in_features, weight.layer.out_features
    return outputs > inputs or _PROJECTIONS.fullmatch(name) is not None
