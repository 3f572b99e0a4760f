"""The number format of a model: which one is asked for, and which layers stay in float32."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
from transformers import PreTrainedConfig

from keraform.checkpoints.tensors import StoredTensor
from keraform.errors import KeraformError
from keraform.runtime.tree import named_layers, own_weights

_KNOWN = ("float64", "float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
_HALF = ("float16", "bfloat16")


def resolve_dtype(
    dtype: Any, config: PreTrainedConfig, stored: Mapping[str, StoredTensor]
) -> str | keras.DTypePolicy | None:
    """The policy for a model that is loaded.

    Args:
        dtype: None (Keras's policy that is set), "auto" (the checkpoint's), a name, or a dtype.
        config: Its `dtype` counts for "auto".
        stored: The checkpoint, whose first float tensor counts for "auto" otherwise.
    """
    if dtype is None or isinstance(dtype, keras.DTypePolicy):
        return dtype
    if dtype == "auto":
        named = getattr(config, "dtype", None)
        floats = (t.dtype for t in stored.values() if keras.backend.is_float_dtype(t.dtype))
        dtype = named or next(floats, None)
    name = getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")
    if name not in _KNOWN:
        raise KeraformError(
            expected=f'dtype "auto", None or one of {", ".join(_KNOWN)}',
            got=f"dtype={dtype!r}",
            try_next='from_pretrained(..., dtype="bfloat16")',
        )
    return name


def keep_in_float32(model: Any) -> None:
    """Gives the layers that a class wants in float32 that dtype, in a half-precision model.

    Args:
        model: A model whose variables have no values yet.
    """
    dtype = model.dtype_policy.variable_dtype
    if dtype not in _HALF:
        return
    names = set(model._keep_in_fp32_modules_strict or ())
    if dtype == "float16":
        names |= set(model._keep_in_fp32_modules or ())
    if not names:
        return
    wanted = re.compile("|".join(rf"((^|\.){name}($|\.))" for name in sorted(names)))
    for path, layer in named_layers(model):
        for weight in own_weights(layer):
            if not weight.alias and wanted.search(f"{path}.{weight.key}"):
                weight.variable._dtype = "float32"
        if wanted.search(path):
            layer.dtype_policy = "float32"
