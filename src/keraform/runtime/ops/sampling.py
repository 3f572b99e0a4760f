"""Reading images at places between pixels: grid_sample and affine_grid.

Source of the algebra: PyTorch's GridSampler (aten/src/ATen/native/GridSampler.h, 2.13). A
coordinate g in [-1, 1] reads at `((g + 1) * size - 1) / 2`, or `(g + 1) / 2 * (size - 1)` with
align_corners.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import Tensor, as_tensor, flat_sizes, product, rank, refuse, sizes


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Returns `input` read at the places of `grid`.

    Args:
        input: [b, c, y, x] or [b, c, z, y, x].
        grid: [b, ..., 2 or 3], coordinates (x first) from -1 to 1.
        mode: "bilinear", "nearest" or "bicubic" (two axes only).
        padding_mode: What stands outside: "zeros", "border" or "reflection".
        align_corners: Whether -1 and 1 are the centres of the corner pixels; None means False.
    """
    x, grid = as_tensor(input), as_tensor(grid)
    axes = rank(x) - 2
    if mode not in ("bilinear", "nearest", "bicubic") or (mode == "bicubic" and axes != 2):
        raise refuse(
            'mode "bilinear", "nearest", or "bicubic" for two axes', repr(mode), 'mode="bilinear"'
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise refuse(
            'padding_mode "zeros", "border" or "reflection"',
            repr(padding_mode),
            'padding_mode="zeros"',
        )
    shape = sizes(x)
    spatial, places = shape[2:], sizes(grid)[1:-1]
    dtype = grid.dtype
    widths = [dtypes.as_dtype(n, dtypes.name_of(dtype)) for n in spatial]
    at = []
    for i, width in enumerate(widths):
        g = ops.reshape(grid[..., axes - 1 - i], (shape[0], -1))  # [b, places]
        at.append((g + 1) / 2 * (width - 1) if align_corners else ((g + 1) * width - 1) / 2)
    flat = ops.reshape(ops.transpose(x, (0, *range(2, rank(x)), 1)), (-1, shape[1]))
    reader = _Reader(flat, shape[0], spatial, widths, padding_mode, bool(align_corners))
    if mode == "nearest":
        made = reader.read([ops.round(reader.settle(a, i)) for i, a in enumerate(at)])
    elif mode == "bilinear":
        made = _linear(reader, [reader.settle(a, i) for i, a in enumerate(at)])
    else:
        made = _cubic(reader, at)
    made = ops.reshape(made, (shape[0], product(places), shape[1]))
    return ops.reshape(ops.transpose(made, (0, 2, 1)), (shape[0], shape[1], *places))


class _Reader:
    """Reads pixels of a flattened image at whole places."""

    def __init__(
        self,
        flat: Tensor,
        batch: Any,
        spatial: Sequence[Any],
        widths: Sequence[Tensor],
        padding_mode: str,
        align_corners: bool,
    ) -> None:
        self.flat, self.batch, self.spatial, self.widths = flat, batch, spatial, widths
        self.padding_mode, self.align_corners = padding_mode, align_corners

    def settle(self, at: Tensor, axis: int) -> Tensor:
        """Moves a place inside, for the modes that do so before reading."""
        last = self.widths[axis] - 1
        if self.padding_mode == "zeros":
            return at
        if self.padding_mode == "reflection":
            at = _reflected(at, self.widths[axis], self.align_corners)
        return ops.minimum(ops.maximum(at, 0), last)

    def read(self, places: Sequence[Tensor]) -> Tensor:
        """Returns [b, places, c] at whole places; zero outside."""
        inside: Any = None
        index: Any = 0
        for place, size, width in zip(places, self.spatial, self.widths, strict=True):
            here = ops.logical_and(place >= 0, place <= width - 1)
            inside = here if inside is None else ops.logical_and(inside, here)
            whole = ops.cast(ops.minimum(ops.maximum(place, 0), width - 1), "int32")
            index = index * size + whole
        rows = ops.expand_dims(ops.arange(self.batch, dtype="int32"), 1) * product(self.spatial)
        taken = ops.take(self.flat, rows + index, axis=0)
        return ops.where(ops.expand_dims(inside, -1), taken, ops.zeros_like(taken))


def _reflected(at: Tensor, width: Tensor, align_corners: bool) -> Tensor:
    low = 0.0 if align_corners else -0.5
    span = width - 1 if align_corners else width
    safe = ops.maximum(span, 1)
    at = ops.abs(at - low)
    extra = at - ops.floor(at / safe) * safe
    odd = ops.equal(ops.mod(ops.floor(at / safe), 2), 1)
    reflected = ops.where(odd, span - extra, extra) + low
    return ops.where(ops.equal(span, 0), ops.zeros_like(at), reflected)


def _linear(reader: _Reader, at: Sequence[Tensor]) -> Tensor:
    starts = [ops.floor(a) for a in at]
    total: Any = 0
    for corner in itertools.product((0, 1), repeat=len(at)):
        weight: Any = 1
        for a, start, step in zip(at, starts, corner, strict=True):
            weight = weight * ((a - start) if step else (start + 1 - a))
        pixels = reader.read([start + step for start, step in zip(starts, corner, strict=True)])
        total = total + pixels * ops.expand_dims(
            dtypes.to(weight, dtypes.name_of(pixels.dtype)), -1
        )
    return total


def _cubic(reader: _Reader, at: Sequence[Tensor]) -> Tensor:
    from keraform.runtime.ops.interpolations import _keys

    starts = [ops.floor(a) for a in at]
    total: Any = 0
    for taps in itertools.product((-1, 0, 1, 2), repeat=2):
        weight: Any = 1
        for a, start, tap in zip(at, starts, taps, strict=True):
            weight = weight * _keys(ops, ops.abs(a - start - tap), -0.75)
        places = [
            reader.settle(start + tap, i)
            for i, (start, tap) in enumerate(zip(starts, taps, strict=True))
        ]
        total = total + reader.read(places) * ops.expand_dims(weight, -1)
    return total


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """Returns the grid [b, y, x, 2] (or [b, z, y, x, 3]) of an affine map, for `grid_sample`.

    Args:
        theta: [b, 2, 3] or [b, 3, 4].
        size: Output size (b, c, y, x) or (b, c, z, y, x).
        align_corners: Whether -1 and 1 are the centres of the corner pixels; None means False.
    """
    theta = as_tensor(theta)
    wanted = flat_sizes((size,))
    spatial = wanted[2:]
    lines = []
    for n in spatial:
        count = dtypes.as_dtype(n, dtypes.name_of(theta.dtype))
        steps = ops.cast(ops.arange(n, dtype="int32"), theta.dtype)
        if align_corners:
            lines.append(steps * 2 / ops.maximum(count - 1, 1) - ops.cast(count > 1, theta.dtype))
        else:
            lines.append((steps * 2 + 1) / count - 1)
    grids = ops.meshgrid(*lines, indexing="ij")
    points = ops.stack([*reversed(grids), ops.ones_like(grids[0])], axis=-1)
    flat = ops.reshape(points, (1, product(spatial), len(spatial) + 1))
    made = ops.matmul(flat, ops.transpose(theta, (0, 2, 1)))
    return ops.reshape(made, (sizes(theta)[0], *spatial, len(spatial)))
