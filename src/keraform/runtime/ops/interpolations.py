"""Resizing as one small matrix for each axis, which is exact and runs in every graph.

Source of the weights: PyTorch's UpSample kernels (aten/src/ATen/native/UpSample.h, 2.13). Output o
reads around `s = (o + 0.5) * scale - 0.5`, or `s = o * scale` with align_corners:
linear weights `max(0, 1 - |s - i|)`, cubic ones the Keys kernel with a = -0.75 (-0.5 antialiased).
The scale and the places are float32 for inputs of float32 and less, as torch has them: at place
1000 that alone moves a weight by 3e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    index_scalar,
    is_array,
    move,
    rank,
    refuse,
    sizes,
)

# mode -> number of spatial axes it is for (None: any)
MODES: dict[str, int | None] = {
    "nearest": None,
    "nearest-exact": None,
    "area": None,
    "linear": 1,
    "bilinear": 2,
    "bicubic": 2,
    "trilinear": 3,
}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resizes [b, c, ...] to a size or by a factor.

    Args:
        input: [b, c, x], [b, c, y, x] or [b, c, z, y, x].
        size: Output size, one number or one for each axis.
        scale_factor: Output size over input size; used as it is for the sampling places too.
        mode: "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear" or "area".
        align_corners: Whether corner pixels keep their places.
        recompute_scale_factor: Whether places come from the rounded sizes.
        antialias: Whether shrinking averages; bilinear and bicubic only.
    """
    x = as_tensor(input)
    axes = rank(x) - 2
    if mode not in MODES or MODES[mode] not in (None, axes):
        raise refuse(
            f"a mode for {axes} spatial axes among {sorted(MODES)}", repr(mode), 'mode="nearest"'
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise refuse("antialias with bilinear or bicubic", f"mode={mode!r}", "antialias=False")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise refuse(
            f"align_corners=None with mode {mode!r}",
            f"align_corners={align_corners}",
            "align_corners=None",
        )
    source = sizes(x)[2:]
    target, factors = _target(source, size, scale_factor, recompute_scale_factor)
    dtype = dtypes.name_of(x.dtype)
    for axis, (old, new, factor) in enumerate(zip(source, target, factors, strict=True), start=2):
        if mode in ("nearest", "nearest-exact"):
            x = _nearest(x, axis, old, new, factor, mode == "nearest-exact")
            continue
        if _same(old, new, factor):
            continue
        kind = (mode, bool(align_corners), antialias)
        weights = resize_matrix(old, new, factor, *kind, dtype=dtypes.computing_dtype(x))
        x = apply_matrix(x, axis, weights)
    return dtypes.to(x, dtype)


def _same(old: Any, new: Any, factor: float | None) -> bool:
    return isinstance(old, int) and isinstance(new, int) and old == new and factor in (None, 1.0)


def _target(
    source: Sequence[Any], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[list[Any], list[float | None]]:
    if (size is None) == (scale_factor is None):
        raise refuse(
            "one of size and scale_factor",
            f"size={size!r}, scale_factor={scale_factor!r}",
            "kf.interpolate(x, size=(7, 7))",
        )
    count = len(source)
    given = scale_factor if size is None else size
    if is_array(given) and len(given.shape) == 1:
        given = [given[i] for i in range(given.shape[0])]
    given = list(given) if isinstance(given, (list, tuple)) else [given] * count
    if len(given) != count:
        raise refuse(f"{count} numbers", f"{given!r}", "one number for all axes")
    if size is not None:
        return [index_scalar(n) for n in given], [None] * count
    factors = [float(f) for f in given]
    target = [
        int(np.floor(float(n) * f))
        if isinstance(n, int)
        else ops.cast(ops.floor(ops.cast(n, "float32") * f), "int32")
        for n, f in zip(source, factors, strict=True)
    ]
    return target, [None if recompute else f for f in factors]


def _nearest(x: Tensor, axis: int, old: Any, new: Any, factor: float | None, exact: bool) -> Tensor:
    if _same(old, new, factor):
        return x
    shift = np.float32(0.5 if exact else 0.0)
    if isinstance(old, int) and isinstance(new, int):  # torch computes the places in float32
        scale: Any = np.float32(1.0 / factor) if factor else np.float32(old) / np.float32(new)
        places: Any = np.floor((np.arange(new, dtype="float32") + shift) * scale)
        places = np.minimum(places.astype("int64"), old - 1)
        if new == old * (new // old) and (places == np.arange(new) // (new // old)).all():
            return ops.repeat(x, new // old, axis=axis)
        return ops.take(x, places.astype("int32"), axis=axis)
    scale = 1.0 / factor if factor else ops.cast(old, "float32") / ops.cast(new, "float32")
    places = ops.floor((ops.cast(ops.arange(new, dtype="int32"), "float32") + float(shift)) * scale)
    return ops.take(x, ops.minimum(ops.cast(places, "int32"), old - 1), axis=axis)


def apply_matrix(x: Tensor, axis: int, weights: Any) -> Tensor:
    """Returns `x` with weights [new, old] applied along one axis."""
    dtype = dtypes.computing_dtype(x)
    if isinstance(weights, np.ndarray):
        weights = as_tensor(weights.astype(dtype))
    weights, x = dtypes.to(weights, dtype), dtypes.to(x, dtype)
    if axis == rank(x) - 2:
        return ops.matmul(weights, x)
    made = ops.matmul(move(x, axis, -1), ops.transpose(weights))
    return move(made, -1, axis)


def resize_matrix(
    old: Any,
    new: Any,
    factor: float | None,
    mode: str,
    align_corners: bool,
    antialias: bool,
    dtype: str = "float64",
) -> Any:
    """Returns weights [new, old] in float64: an array where both sizes are static.

    Args:
        old: Size of the input.
        new: Size of the output.
        factor: Output size over input size, None where the sizes say it.
        mode: "linear", "bilinear", "trilinear", "bicubic" or "area".
        align_corners: Whether corner pixels keep their places.
        antialias: Whether shrinking averages.
        dtype: In which places are computed.
    """
    if mode == "area":
        return _area_weights(old, new)
    static = isinstance(old, int) and isinstance(new, int)
    numeric: Any = np if static else ops
    if static:
        out = np.arange(new, dtype="float64")[:, None]
        places = np.arange(old, dtype="float64")[None, :]
        size_old, size_new = float(old), float(new)
    else:
        out = ops.expand_dims(ops.cast(ops.arange(new, dtype="int32"), "float64"), 1)
        places = ops.expand_dims(ops.cast(ops.arange(old, dtype="int32"), "float64"), 0)
        size_old, size_new = ops.cast(old, "float64"), ops.cast(new, "float64")
    if align_corners:
        scale = (size_old - 1) / numeric.maximum(size_new - 1, 1.0)
        if not static:
            scale = ops.where(ops.equal(new, 1), ops.zeros_like(scale), scale)
        elif new == 1:
            scale = 0.0
    else:
        scale = 1.0 / factor if factor else size_old / size_new
    scale = _rounded(scale, dtype)
    cubic = mode == "bicubic"
    if antialias:
        return _smooth_weights(numeric, out, places, scale, size_old, cubic, dtype)
    at = _rounded(out * scale if align_corners else (out + 0.5) * scale - 0.5, dtype)
    last = size_old - 1
    if not cubic:
        at = numeric.minimum(numeric.maximum(at, 0.0), last)
        return numeric.maximum(1.0 - numeric.abs(at - places), 0.0)
    start = numeric.floor(at)
    total: Any = 0.0
    for tap in (-1, 0, 1, 2):
        weight = _keys(numeric, numeric.abs(at - start - tap), -0.75)
        place = numeric.minimum(numeric.maximum(start + tap, 0.0), last)
        total = total + numeric.where(numeric.equal(place, places), weight, 0.0 * weight)
    return total


def _rounded(value: Any, dtype: str) -> Any:
    """A number, an array or a tensor with the precision of a dtype, in float64."""
    if dtype == "float64":
        return value
    if is_array(value) and not isinstance(value, np.ndarray):
        return dtypes.to(dtypes.to(value, dtype), "float64")
    return np.asarray(value).astype(dtype).astype("float64")


def _area_weights(old: Any, new: Any) -> Any:
    """Returns even weights over `[floor(o old / new), ceil((o + 1) old / new))`, by integers."""
    static = isinstance(old, int) and isinstance(new, int)
    numeric: Any = np if static else ops
    out = np.arange(new)[:, None] if static else ops.expand_dims(ops.arange(new, dtype="int32"), 1)
    places = np.arange(old) if static else ops.arange(old, dtype="int32")
    start = out * old // new
    stop = ((out + 1) * old + new - 1) // new
    inside = numeric.logical_and(places >= start, places < stop)
    even = 1.0 / (stop - start if static else ops.cast(stop - start, "float64"))
    return numeric.where(inside, even, 0.0 * even)


def _smooth_weights(
    numeric: Any, out: Any, places: Any, scale: Any, old: Any, cubic: bool, dtype: str
) -> Any:
    wide = numeric.maximum(scale, 1.0)
    support = (2.0 if cubic else 1.0) * wide
    centre = _rounded(scale * (out + 0.5), dtype)
    start = numeric.maximum(numeric.floor(_rounded(centre - support + 0.5, dtype)), 0.0)
    stop = numeric.minimum(numeric.floor(_rounded(centre + support + 0.5, dtype)), old)
    distance = numeric.abs(places - centre + 0.5) / wide
    if cubic:
        weight = _keys(numeric, distance, -0.5)
    else:
        weight = numeric.maximum(1.0 - distance, 0.0)
    inside = numeric.logical_and(places >= start, places < stop)
    weight = numeric.where(inside, weight, 0.0 * weight)
    return weight / numeric.sum(weight, axis=1, keepdims=True)


def _keys(numeric: Any, distance: Any, a: float) -> Any:
    """The cubic convolution kernel: two polynomials on [0, 1] and [1, 2], zero beyond."""
    near = ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0
    far = ((distance - 5.0) * distance + 8.0) * distance * a - 4.0 * a
    return numeric.where(distance <= 1.0, near, numeric.where(distance < 2.0, far, 0.0 * distance))
