"""Kinds: the short words for what a value is at run time, and how the words of several runs are
merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.utils import ModelOutput

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
    """The kind of one value, `tensor:float32:3` for a tensor; None for Python modules, which carry
    no news.
    """
    if isinstance(value, torch.Tensor):
        return f"tensor:{str(value.dtype).removeprefix('torch.')}:{value.dim()}"
    if value is None:
        return "none"
    if isinstance(value, ModuleType):
        return None
    return next((kind for types, kind in KINDS if isinstance(value, types)), "other")


def merge(kinds: Iterable[str]) -> str:
    """One kind for all runs: ranks that vary are dropped, dtypes that vary are `mixed`, the rest is
    joined by `|`.

    Example:
        >>> merge(["none", "tensor:float32:3", "tensor:float32:4"])
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
        dtype = dtypes.pop() if len(dtypes) == 1 else "mixed"
        rank = ranks.pop() if len(ranks) == 1 else ""
        plain.add(f"tensor:{dtype}:{rank}".rstrip(":"))
    return "|".join(sorted(plain))
