"""The order of equal values on torch's side: torch leaves it open in `sort` and `topk`, so it is
set to that of their places, as in `keraform.ops`. In float64 values that only rounding tells apart
are equal too: an exponential of four values at once need not be that of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch.overrides import TorchFunctionMode

from keraform.runtime.near_ties import SORTED_BY


def _topk(
    input: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Any:
    """`torch.topk` by a stable sort."""
    if input.dim() == 0:
        return torch.topk(input, k, dim, largest, sorted)
    values, indices = _sort(input, dim, largest)
    found = (each.narrow(dim, 0, k).contiguous() for each in (values, indices))
    return torch.return_types.topk(tuple(found))


def _sort(input: torch.Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """`torch.sort`, stable."""
    key = _rounded(input)
    found = torch.sort(key, dim=dim, descending=descending, stable=True)
    if key is input:
        return found
    return torch.return_types.sort((input.gather(dim, found.indices), found.indices))


def _argsort(
    input: torch.Tensor, dim: int = -1, descending: bool = False, stable: bool = True
) -> torch.Tensor:
    """`torch.argsort`, stable."""
    return torch.sort(_rounded(input), dim=dim, descending=descending, stable=True).indices


def _rounded(input: torch.Tensor) -> torch.Tensor:
    """What is sorted by, as `keraform.ops` has it while casts are lifted."""
    if input.dtype != torch.float64 or input.dim() == 0:
        return input
    scaled = input * SORTED_BY
    near = scaled - (scaled - input)
    return torch.where(near.isfinite(), near, input)


IN_ORDER: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.topk: _topk,
    torch.Tensor.topk: _topk,
    torch.sort: _sort,
    torch.Tensor.sort: _sort,
    torch.argsort: _argsort,
    torch.Tensor.argsort: _argsort,
}


class TiesInOrder(TorchFunctionMode):
    """While active, equal values keep the order of their places; it counts what was sorted."""

    count: ClassVar[int] = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        TiesInOrder.count += func in IN_ORDER
        return IN_ORDER.get(func, func)(*args, **(kwargs or {}))
