"""The order of equal values on torch's side: torch leaves it open in `sort` and `topk`, so it is
set to that of their places, as in `keraform.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def _topk(
    input: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Any:
    """`torch.topk` by a stable sort."""
    if input.dim() == 0:
        return torch.topk(input, k, dim, largest, sorted)
    values, indices = torch.sort(input, dim=dim, descending=largest, stable=True)
    found = (each.narrow(dim, 0, k).contiguous() for each in (values, indices))
    return torch.return_types.topk(tuple(found))


def _sort(input: torch.Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """`torch.sort`, stable."""
    return torch.sort(input, dim=dim, descending=descending, stable=True)


def _argsort(
    input: torch.Tensor, dim: int = -1, descending: bool = False, stable: bool = True
) -> torch.Tensor:
    """`torch.argsort`, stable."""
    return torch.sort(input, dim=dim, descending=descending, stable=True).indices


IN_ORDER: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.topk: _topk,
    torch.Tensor.topk: _topk,
    torch.sort: _sort,
    torch.Tensor.sort: _sort,
    torch.argsort: _argsort,
    torch.Tensor.argsort: _argsort,
}


class TiesInOrder(TorchFunctionMode):
    """While active, equal values keep the order of their places."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return IN_ORDER.get(func, func)(*args, **(kwargs or {}))
