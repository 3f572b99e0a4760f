"""Kinds: the short words for what a value is at run time, and how the words of several runs are
merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.utils import ModelOutput

# The dtype of the model that runs: what has it follows the model, what has float32 in a bfloat16
# model was cast on purpose.
MODEL_DTYPE: ContextVar[torch.dtype] = ContextVar("model_dtype", default=torch.float32)

# First match wins; bool before int and ModelOutput before dict, since the one is a subclass of the
# other.
KINDS: tuple[tuple[Any, str], ...] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "str"),
    (torch.Size, "size"),
    (tuple, "tuple"),
    (list, "list"),
    (ModelOutput, "output"),
    (dict, "dict"),
    (nn.Module, "module"),
    (torch.dtype, "dtype"),
    (torch.device, "device"),
    (PreTrainedConfig, "config"),
    ((Cache, CacheLayerMixin), "cache"),
    (Callable, "function"),
)


def kind_of(value: Any) -> str | None:
    """The kind of one value, `tensor:int64:3` for a tensor; None for Python modules, which carry no
    news. `float` is the model's own dtype, `float?` may be that or float32.
    """
    if isinstance(value, torch.Tensor):
        return f"tensor:{_dtype_word(value.dtype)}:{value.dim()}"
    if value is None:
        return "none"
    if isinstance(value, ModuleType):
        return None
    return next((kind for types, kind in KINDS if isinstance(value, types)), "other")


def _dtype_word(dtype: torch.dtype) -> str:
    model = MODEL_DTYPE.get()
    if dtype == model:
        return "float?" if model == torch.float32 else "float"
    return str(dtype).removeprefix("torch.")


def merge(kinds: Iterable[str]) -> str:
    """One kind for all runs: ranks that vary are dropped, dtypes that vary are `mixed`, the rest is
    joined by `|`.

    Example:
        >>> merge(["none", "tensor:float?:3", "tensor:float32:4"])
        'none|tensor:float32'
    """
    plain, dtypes, ranks = set(), set(), set()
    for kind in kinds:
        for part in kind.split("|"):
            word, *rest = part.split(":")
            if word != "tensor":
                plain.add(word)
                continue
            dtypes.add(rest[0])
            ranks.add(rest[1] if len(rest) > 1 else "")
    if dtypes:
        dtype = _merged_dtype(dtypes)
        rank = ranks.pop() if len(ranks) == 1 else ""
        plain.add(f"tensor:{dtype}:{rank}".rstrip(":"))
    return "|".join(sorted(plain))


def _merged_dtype(dtypes: set[str]) -> str:
    """What runs in float32 and in bfloat16 say together: `float` follows the model's dtype."""
    if dtypes <= {"float", "float?"}:
        return "float"
    certain = dtypes - {"float?"}
    return certain.pop() if len(certain) == 1 else "mixed"
