"""Each operation against torch over a table of cases: eager, in graphs of unknown sizes, on JAX."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import torch

from keraform.runtime import ops as kf
from keraform.runtime import precision
from keraform.runtime.ops import dtypes

RANDOM = np.random.default_rng(7)


class TorchSide:
    """torch's functions by the names that `kf` gives them."""

    SPECIAL: ClassVar[dict[str, Callable[..., Any]]] = {
        "getitem": lambda x, i: x[i],
        "max_with_indices": torch.max,
        "min_with_indices": torch.min,
        "subtract": torch.sub,
        "setitem": lambda x, i, v: _set(x, i, v),
        "unfold": lambda x, *a: x.unfold(*a),
        "expand": lambda x, *a: x.expand(*a),
        "expand_as": lambda x, o: x.expand_as(o),
        "repeat": lambda x, *a: x.repeat(*a),
        "im2col": torch.nn.functional.unfold,
        "col2im": torch.nn.functional.fold,
        "vector_norm": torch.linalg.vector_norm,
        "compare": lambda how, a, b: {"less": torch.lt}[how](a, b),
        "view_as": lambda x, o: x.view_as(o),
        "fft": torch.fft.fft,
        "fftn": torch.fft.fftn,
        "ifft": torch.fft.ifft,
        "irfft": torch.fft.irfft,
        "rfft": torch.fft.rfft,
        "pad_sequence": torch.nn.utils.rnn.pad_sequence,
        "masked_mean": lambda x, m, *a: torch.masked.mean(x, *a, mask=m),
        "masked_var": lambda x, m, *a: torch.masked.var(x, *a, mask=m),
        "softmax_gradient": lambda g, y, d: torch._softmax_backward_data(g, y, d, y.dtype),
        "strides": lambda x: x.stride(),
    }

    def __getattr__(self, name: str) -> Any:
        if name in self.SPECIAL:
            return self.SPECIAL[name]
        for home in (torch.nn.functional, torch, torch.linalg):
            if hasattr(home, name):
                return getattr(home, name)
        raise AttributeError(name)


def _set(x: torch.Tensor, index: Any, value: Any) -> torch.Tensor:
    x = x.clone()
    x[index] = value
    return x


@dataclass
class Case:
    """One call on both sides: `call(f, *arrays)` with f = torch or kf."""

    name: str
    call: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    graph: bool = True  # whether it runs with all sizes unknown
    jax: bool = True  # whether JAX can trace it
    dtype: bool = True  # whether the dtype is compared
    tolerance: float = 1e-13
    skip_float32: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


CASES: list[Case] = []


def case(call: Callable[..., Any], *arrays: Any, name: str = "", **flags: Any) -> None:
    """Adds a case, named by the function it calls."""
    names = [n for n in call.__code__.co_names if n in kf.__all__]
    stem = name or (names[0] if names else "case")
    made = tuple(np.asarray(a) for a in arrays)
    CASES.append(
        Case(f"{stem}-{sum(c.name.startswith(stem + '-') for c in CASES)}", call, made, **flags)
    )


def _parts(*values: Any) -> list[Any]:
    """Real and imaginary parts, which the comparison takes one by one."""
    if isinstance(values[0], torch.Tensor):
        return [part.clone() for v in values for part in (v.real, v.imag)]
    return [part for v in values for part in (keras.ops.real(v), keras.ops.imag(v))]


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape)


def integers(low: int, high: int, *shape: int) -> np.ndarray:
    return RANDOM.integers(low, high, shape)


X = normal(3, 4, 5)
I = integers(-9, 9, 3, 4, 5)  # noqa: E741
B = RANDOM.random((3, 4, 5)) > 0.5
M = RANDOM.random((3, 4)) > 0.5
ODD = np.array([-2.5, -0.5, 0.0, 0.5, 2.5, 40.0, -40.0, 1e-20])

# elementwise
for approximate in ("none", "tanh"):
    case(lambda f, x, a=approximate: f.gelu(x, approximate=a), X)
case(lambda f, x: f.leaky_relu(x), X)
case(lambda f, x: f.leaky_relu(x, 0.3), ODD)
case(lambda f, x, w: f.prelu(x, w), X, normal(4))
case(lambda f, x, w: f.prelu(x, w), X, normal(1))
for d in (0, -1):
    case(lambda f, x, d=d: f.glu(x, d), normal(4, 3, 6))
case(lambda f, x: f.softplus(x), ODD)
case(lambda f, x: f.softplus(x, 2.0, 5.0), ODD)
case(lambda f, x: f.hardtanh(x), ODD)
case(lambda f, x: f.hardtanh(x, -0.25, 2.0), ODD)
case(lambda f, x: f.clamp(x, min=0.1), X)
case(lambda f, x: f.clamp(x, max=1), X)
case(lambda f, x: f.clamp(x, -1, 1), I)
case(lambda f, x: f.clamp(x, -1.5, 1), I, name="clamp-int-float")
case(lambda f, x, a, b: f.clamp(x, a, b), X, normal(5), normal(4, 1))
case(lambda f, x: f.logit(x), RANDOM.random((3, 4)))
case(lambda f, x: f.logit(x, 0.2), RANDOM.random((3, 4)))
case(lambda f, x, y: f.xlogy(x, y), np.array([0.0, 1.0, 2.0, 0.0]), np.array([0.0, 2.0, 0.5, 3.0]))
for d in (0, 1, -1):
    case(lambda f, x, d=d: f.softmax(x, dim=d), X)
    case(lambda f, x, d=d: f.log_softmax(x, dim=d), X)
case(lambda f, x: f.softmin(x, dim=1), X)

# arithmetic
SCALAR = np.asarray(0.7)
for name in ("add", "subtract", "multiply", "true_divide", "remainder", "fmod", "maximum", "pow"):
    a, b = (X, normal(4, 1)) if name != "pow" else (np.abs(X), normal(4, 1))
    case(lambda f, x, y, n=name: getattr(f, n)(x, y), a, b, name=name)
    if name not in ("pow", "maximum"):
        case(lambda f, x, y, n=name: getattr(f, n)(x, y), I, 3 + np.abs(I[0]), name=f"{name}-int")
        case(lambda f, x, n=name: getattr(f, n)(x, 2.5), I, name=f"{name}-int-float")
        case(lambda f, x, y, n=name: getattr(f, n)(x, y), X, I[0], name=f"{name}-float-int")
        case(
            lambda f, x, n=name: getattr(f, n)(x, 3),
            X.astype("float16"),
            name=f"{name}-half",
            tolerance=1e-2,
        )
case(
    lambda f, x, y: f.add(x, y),
    X.astype("float16"),
    np.asarray(0.7, "float32"),
    name="add-half-0d",
    tolerance=1e-2,
    skip_float32=True,
)
case(
    lambda f, x, y: f.multiply(x, y),
    I.astype("int32"),
    np.asarray(7, "int64"),
    name="mul-int32-0d",
    skip_float32=True,
)
case(lambda f, x, y: f.multiply(x, y), B, I, name="mul-bool-int")
case(lambda f, x, y: f.add(x, y), I.astype("int32"), I, name="add-int32-int64")
case(lambda f, x, y: f.add(x, y, alpha=2), X, X[0])
for mode in ("trunc", "floor"):
    case(lambda f, x, y, m=mode: f.divide(x, y, rounding_mode=m), I, 3 - 5 * (I[0] % 2))
    case(lambda f, x, y, m=mode: f.divide(x, y, rounding_mode=m), 3 * X + 0.1, X[0])
case(lambda f, x, y: f.floor_divide(x, y), I, 3 - 5 * (I[0] % 2))
case(lambda f, c, x, y: f.where(c, x, y), B, X, X[0])
case(lambda f, c, x: f.where(c, x, 0.0), B, X)
case(lambda f, c, x: f.where(c, x, 1), B, X)
case(lambda f, c, x: f.where(c, x, -1.5), B, I, name="where-int-float")
case(lambda f, x, y, z: f.addcmul(x, y, z, value=0.3), X, X[0], X[1])
case(lambda f, x, y, z: f.addcdiv(x, y, z, value=0.3), X, X[0], X[1])
case(lambda f, x, y: f.lerp(x, y, 0.3), X, X[:1] + 1)
for bits in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    case(lambda f, x, y, bits=bits: getattr(f, bits)(x, y), B, I, name=f"{bits}-bool-int")
    case(lambda f, x, y, bits=bits: getattr(f, bits)(x, ~y), B, B[0], name=f"{bits}-bool")

# reductions
for d in (None, 0, -1, (0, 2)):
    for k in (False, True):
        if d is not None:
            case(lambda f, x, d=d, k=k: f.var(x, d, keepdim=k), X)
            case(lambda f, x, d=d, k=k: f.std(x, d, unbiased=False, keepdim=k), X)
            case(lambda f, x, d=d, k=k: f.var(x, d, correction=0, keepdim=k), X)
            case(lambda f, x, d=d, k=k: f.sum(x, d, keepdim=k), I)
            case(lambda f, x, d=d, k=k: f.sum(x, d, keepdim=k), B)
            case(lambda f, x, d=d, k=k: f.mean(x, d, keepdim=k), X)
            case(lambda f, x, d=d, k=k: f.any(x, d, keepdim=k), B)
            case(lambda f, x, d=d, k=k: f.all(x, d, keepdim=k), I)
            case(lambda f, x, d=d, k=k: f.logsumexp(x, d, keepdim=k), X)
        for p in (1, 2, 3.0, float("inf"), 0):
            case(lambda f, x, d=d, k=k, p=p: f.vector_norm(x, p, d, k), X, tolerance=1e-12)
case(lambda f, x: f.var(x), X)
case(lambda f, x: f.std(x), X)
case(lambda f, x: f.var(x, False), X)
case(lambda f, x: f.var_mean(x, 1), X)
case(lambda f, x: f.std_mean(x, (0, 1)), X)
case(lambda f, x: f.norm(x), X)
case(lambda f, x: f.norm(x, p=1, dim=-1, keepdim=True), X)
case(lambda f, x: f.norm(x, dim=(0, 1)), X)
case(lambda f, x: f.normalize(x), X)
case(lambda f, x: f.normalize(x, p=3.0, dim=-1), np.concatenate([X, 0 * X]), tolerance=1e-12)
case(lambda f, x: f.normalize(x, dim=-1), 1e-14 * X)
case(lambda f, x, y: f.cosine_similarity(x, y), X, X[::-1].copy())
case(lambda f, x, y: f.cosine_similarity(x, y, dim=-1), X, X[0])
case(lambda f, x: f.sum(x), B)
case(lambda f, x: f.sum(x, 1, dtype=f.float64 if hasattr(f, "float64") else "float64"), I)
case(lambda f, x: f.prod(x, 1), I)
case(lambda f, x: f.prod(x), X)
case(lambda f, x: f.count_nonzero(x, 1), I)
case(lambda f, x: f.count_nonzero(x), B)
for d in (0, 1, -1):
    case(lambda f, x, d=d: f.cumsum(x, d), X)
    case(lambda f, x, d=d: f.cumsum(x, d), I.astype("int32"))
    case(lambda f, x, d=d: f.cumsum(x, d), B)
    case(lambda f, x, d=d: f.cumprod(x, d), X)
    case(lambda f, x, d=d: tuple(f.cummax(x, d)), X, graph=False)
    case(lambda f, x, d=d: tuple(f.cummin(x, d)), X, graph=False)
    for k in (False, True):
        case(lambda f, x, d=d, k=k: tuple(f.max_with_indices(x, d, k)), X)
        case(lambda f, x, d=d, k=k: tuple(f.min_with_indices(x, d, k)), I[:, :, :1] + np.arange(5))
        case(lambda f, x, d=d, k=k: f.argmax(x, d, k), X)
        case(lambda f, x, d=d, k=k: tuple(f.median(x, d, k)), X)
        case(lambda f, x, d=d, k=k: tuple(f.kthvalue(x, 2, d, k)), X)
    for k in (False, True):
        case(lambda f, x, d=d, k=k: tuple(f.sort(x, d, k)), X)
        case(lambda f, x, d=d, k=k: f.sort(x, dim=d, descending=k, stable=True)[1], I)
        case(lambda f, x, d=d, k=k: f.argsort(x, d, k), X)
        case(lambda f, x, d=d, k=k: tuple(f.topk(x, 2, d, k)), X)
        case(lambda f, x, d=d, k=k: f.topk(x, 3, d, k)[0], I)
case(lambda f, x: f.sort(x, dim=-1, stable=True)[1], B)
case(lambda f, x: f.argmax(x), X)
case(lambda f, x: f.argmin(x), X)
case(lambda f, x: f.argmax(x, -1), B.astype("int64"))
case(lambda f, x: f.median(x), X)
case(lambda f, x: f.bincount(x), np.abs(I[0, 0]), jax=False)
case(lambda f, x: f.bincount(x, minlength=12), np.abs(I[0, 0]), jax=False)
case(
    lambda f, x, w: f.bincount(x, w),
    np.abs(I[0, 0]),
    X[0, 0],
    graph=False,
    jax=False,
    skip_float32=True,
)
case(lambda f, x: f.histc(x, 6, -1, 2), X)
case(lambda f, x: f.histc(x, bins=7), X)

# indexing
A1, A2 = integers(-4, 4, 6), integers(-3, 3, 2, 6)
INDICES: list[tuple[Any, ...]] = [
    (0,),
    (-1,),
    (slice(1, 3),),
    (slice(None), -2),
    (Ellipsis, 1),
    (None, slice(None), None, 2),
    (slice(None, None, 2), slice(3, 0 + 99)),
    (Ellipsis, slice(-3, -1)),
    (slice(None), [0, 2, -1]),
    (0, slice(None), [1, 2]),
    ([0, 1], slice(None), [1, 2]),
    (slice(None), [0, 1], [1, 2]),
    (slice(None), [0, 1], None, [1, 2]),
    (Ellipsis, None),
    ([0, 1], 2),
    (np.array([[0, 1], [2, -1]]),),
    (slice(None), [[0], [1]], [1, 2, -1]),
    (slice(2, 1),),
    (slice(None), slice(None), np.array([0, 4])),
    (np.int64(1), Ellipsis, np.int32(-1)),
    ([True, False, True],),
]


def _index(f: Any, index: tuple[Any, ...]) -> Any:
    if isinstance(f, TorchSide):
        index = tuple(torch.as_tensor(i) if isinstance(i, np.ndarray) else i for i in index)
    return index if len(index) > 1 else index[0]


for parts in INDICES:
    case(lambda f, x, i=parts: f.getitem(x, _index(f, i)), X)
    case(lambda f, x, i=parts: f.setitem(x, _index(f, i), -1.5), X)
    shape = torch.zeros(3, 4, 5)[_index(TorchSide(), parts)].shape
    case(lambda f, x, v, i=parts: f.setitem(x, _index(f, i), v), X, normal(*shape))
    if len(shape) > 1:
        case(lambda f, x, v, i=parts: f.setitem(x, _index(f, i), v), X, normal(*shape[1:]))
case(lambda f, x, i: f.getitem(x, (slice(None), i)), X, A1)
case(lambda f, x, i: f.getitem(x, i), X, np.asarray(-1))
case(lambda f, x, i: f.getitem(x, (slice(None), i, slice(1, 3))), X, np.asarray(2, "int32"))
case(lambda f, x, i, j: f.getitem(x, (j, i)), X, A1, A2)
case(lambda f, x, i, j: f.getitem(x, (j, slice(None), i)), X, A1, A2)
case(lambda f, x, i, j: f.getitem(x, (slice(None), i, j)), X, A1, A2)
case(lambda f, x, m: f.getitem(x, m), X, B, jax=False)
case(lambda f, x, m: f.getitem(x, m), X, M, jax=False)
case(lambda f, x, m: f.getitem(x, (slice(None), m)), X, M[0], jax=False)
case(lambda f, x, m: f.getitem(x, (0, m)), X, B[0], jax=False)
case(lambda f, x, m, i: f.getitem(x, (m, i)), X, M[:, 0] | True, np.array([0, 1, -1]), jax=False)
case(lambda f, x, i: f.setitem(x, (slice(None), i), 3), X, np.array([0, 2]))
case(lambda f, x, i, j: f.setitem(x, (i, j), 7.0), X, np.array([0, 2]), np.array([[1], [-1]]))
case(
    lambda f, x, i, j, v: f.setitem(x, (i, slice(None), j), v),
    X,
    np.array([0, 2]),
    np.array([1, -1]),
    normal(2, 4),
)
case(lambda f, x, m: f.setitem(x, m, 0.5), X, B)
case(lambda f, x, m: f.setitem(x, m, 2), I, M)
case(lambda f, x, m, v: f.setitem(x, m, v), X, M, normal(5))
case(lambda f, x, m, v: f.setitem(x, m, v), X, M, normal(int(M.sum()), 5))
case(lambda f, x, m, v: f.setitem(x, m, v), X, B, normal(int(B.sum())))
case(lambda f, x, m, v: f.setitem(x, m, v), X, B, normal(1))
case(lambda f, x, m, v: f.setitem(x, m, v), X, M & False, normal(0, 5))
case(lambda f, x, m: f.setitem(x, (slice(None), m), 9.0), X, M[0])
case(lambda f, x, m, v: f.setitem(x, (slice(None), m), v), X, M[0], normal(3, int(M[0].sum()), 5))
case(lambda f, x, m, v: f.setitem(x, (Ellipsis, m), v), X, B[0, 0], normal(int(B[0, 0].sum())))
case(lambda f, x, m: f.setitem(x, (0, m), 9.0), X, M[0])
case(lambda f, x, v: f.setitem(x, (slice(None), slice(None, None, 2)), v), B, B[:, :2])
case(lambda f, x: f.setitem(x, (slice(None),), 4), I)
case(lambda f, x: f.nonzero(x), I, jax=False)
case(lambda f, x: f.nonzero(x, as_tuple=True), B, jax=False)
case(lambda f, x: f.where(x), B, jax=False, name="where1")
case(lambda f, x, m: f.masked_select(x, m), X, M[:, :, None], jax=False)
for d in (0, 1, -1):
    case(lambda f, x, d=d: f.select(x, d, 2), X)
    case(lambda f, x, d=d: f.narrow(x, d, 1, 2), X)
    case(lambda f, x, d=d: f.narrow(x, d, -2, 1), X)
    case(lambda f, x, i, d=d: f.index_select(x, d, i), X, np.array([2, 0, 0]))
    idx = integers(0, 3, 2, 4, 3)
    case(lambda f, x, i, d=d: f.gather(x, d, i), X, idx)
    case(
        lambda f, x, i, s, d=d: f.scatter(x, d, i, s),
        X,
        np.stack([np.arange(3)] * 2),
        normal(2, 4),
        name="scatter-2d",
    ) if False else None
    perm = np.argsort(normal(2, 3, 3), axis=d)
    perm = perm if d != 0 else np.argsort(normal(3, 3, 3), axis=0)
    case(lambda f, x, i, s, d=d: f.scatter(x, d, i, s), X, perm, normal(3, 4, 5))
    case(lambda f, x, i, d=d: f.scatter(x, d, i, 1.5), X, idx)
    case(lambda f, x, i, d=d: f.scatter(x, d, i, value=2), I, idx)
    case(lambda f, x, i, s, d=d: f.scatter_add(x, d, i, s), X, idx, normal(3, 4, 5))
    for how in ("sum", "prod", "mean", "amax", "amin"):
        for own in (True, False):
            case(
                lambda f, x, i, s, d=d, h=how, o=own: f.scatter_reduce(
                    x, d, i, s, h, include_self=o
                ),
                X,
                idx,
                normal(3, 4, 5),
            )
    source = normal(*[2 if a == d % 3 else n for a, n in enumerate(X.shape)])
    case(lambda f, x, i, s, d=d: f.index_add(x, d, i, s), X, np.array([2, 2]), source)
    case(lambda f, x, i, s, d=d: f.index_add(x, d, i, s, alpha=0.5), X, np.array([2, 0]), source)
    case(lambda f, x, i, s, d=d: f.index_copy(x, d, i, s), X, np.array([2, 0]), source)
    case(lambda f, x, i, d=d: f.index_fill(x, d, i, 2.0), X, np.array([2, 0]))
    case(lambda f, x, i, d=d: f.take_along_dim(x, i, d), X, np.argsort(X, axis=d))
case(lambda f, x, i: f.take_along_dim(x, i), X, np.array([3, 1]))
case(lambda f, x, i: f.take_along_dim(x, i, -1), X, np.array([[[0], [1], [1], [2]]]))
case(lambda f, x, m: f.masked_fill(x, m, -1e4), X, M[:, :, None])
case(lambda f, x, m: f.masked_fill(x, m, float("-inf")), X.astype("float16"), B)
case(lambda f, x, m: f.masked_fill(x, m, -100), I, B)
case(lambda f, x, m: f.masked_fill(x, m, True), B, M[:, :, None])
case(lambda f, x, m, v: f.masked_fill(x, m, v), X.astype("float16"), B, np.asarray(2.0))
case(lambda f, x, m, s: f.masked_scatter(x, m, s), X, M[:, :, None], normal(9, 7))
case(lambda f, x, m, s: f.masked_scatter(x, m, s), X, B & False, normal(0, 7))
UNIQ = np.array([1, 1, 2, 2, 2, 1, 3])
case(lambda f, x: f.unique_consecutive(x), UNIQ, jax=False)
case(lambda f, x: f.unique_consecutive(x, return_inverse=True, return_counts=True), UNIQ, jax=False)
case(
    lambda f, x: f.unique_consecutive(x, dim=0, return_counts=True),
    np.array([[1, 2], [1, 2], [1, 3]]),
    jax=False,
)

for d in (None, 0):
    case(lambda f, x, d=d: f.unique(x, dim=d), integers(0, 2, 5, 2), jax=False)
    case(
        lambda f, x, d=d: f.unique(x, return_inverse=True, return_counts=True, dim=d),
        integers(0, 2, 5, 2),
        jax=False,
    )

# Fourier transforms
for length, norm in ((None, None), (3, "ortho"), (7, "forward")):
    case(
        lambda f, x, n=length, m=norm: _parts(f.fft(x, n, 1, m), f.ifft(x, n, -1, m)),
        X,
        skip_float32=True,
    )
    case(lambda f, x, n=length, m=norm: _parts(f.rfft(x, n, 1, m)), X, skip_float32=True)
    case(
        lambda f, x, n=length, m=norm: f.irfft(f.rfft(x, None, 1), n, 1, m),
        X,
        graph=length is not None,
    )
case(lambda f, x: _parts(f.fftn(x, dim=(1, 2)), f.fftn(x)), X, skip_float32=True)

# masked and sorted
for d in (None, 1, (0, 2)):
    case(lambda f, x, m, d=d: f.masked_mean(x, m, d), X, B)
    case(lambda f, x, m, d=d: f.masked_var(x, m, d), X, B)
case(lambda f, g, x: f.softmax_gradient(g, f.softmax(x, 1), 1), X, normal(3, 4, 5))
for right in (False, True):
    case(lambda f, b, x, r=right: f.searchsorted(b, x, right=r), np.sort(I[0, 0]), I)
    case(lambda f, b, x, r=right: f.searchsorted(b, x, right=r), np.sort(I), I)
    case(lambda f, b, x, r=right: f.bucketize(x, b, right=r), np.sort(X[0, 0]), X)

# shapes
case(lambda f, x: f.expand(x, 4, 3, 5), normal(1, 5)[None])
case(lambda f, x: f.expand(x, -1, 3, -1), normal(2, 1, 5))
case(lambda f, x: f.expand(x, (6, -1, 5)), normal(2, 5))
case(lambda f, x, y: f.expand_as(x, y), normal(1, 5), X)
case(lambda f, x, y: f.view_as(x, y), normal(12, 5), X)
case(lambda f, x: f.repeat(x, 2, 1, 3), X)
case(lambda f, x: f.repeat(x, (2, 1, 1, 2)), X)
case(lambda f, x: f.tile(x, (2,)), X)
case(lambda f, x: f.repeat_interleave(x, 2), X)
for d in (0, 1, -1):
    case(lambda f, x, d=d: f.repeat_interleave(x, 3, dim=d), X)
    n = X.shape[d]
    case(lambda f, x, r, d=d: f.repeat_interleave(x, r, dim=d), X, np.arange(n), jax=False)
    case(
        lambda f, x, r, d=d, n=n: f.repeat_interleave(x, r, dim=d, output_size=n * (n - 1) // 2),
        X,
        np.arange(n),
    )
    for c in (1, 2, 3, 4, 7):
        case(lambda f, x, d=d, c=c: f.chunk(x, c, d), X, graph=n % c == 0)
        case(lambda f, x, d=d, c=c: f.split(x, c, d), X, graph=False)
    case(lambda f, x, d=d, n=n: f.split(x, [1, n - 1], dim=d), X)
    case(lambda f, x, d=d: f.tensor_split(x, 3, d), X, graph=False)
    case(lambda f, x, d=d: f.tensor_split(x, (1, 2), d), X)
    case(lambda f, x, d=d: f.unbind(x, d), X, graph=False)
    case(lambda f, x, d=d: f.unfold(x, d, 2, 1), X)
    case(lambda f, x, d=d: f.unfold(x, d, 3, 2), X)
case(lambda f, x: f.flatten(x), X)
case(lambda f, x: f.flatten(x, 1), X)
case(lambda f, x: f.flatten(x, 0, 1), X)
case(lambda f, x: f.flatten(x, -2, -1), X)
case(lambda f, x: f.unflatten(x, 1, (2, -1)), X)
case(lambda f, x: f.unflatten(x, -1, (1, 5)), X)
case(lambda f, x: f.squeeze(x), normal(1, 3, 1), graph=False)
case(lambda f, x: f.squeeze(x, 0), normal(1, 3, 1), graph=False)
case(lambda f, x: f.squeeze(x, 1), normal(1, 3, 1))
case(lambda f, x: f.squeeze(x, (0, 1, 2)), normal(1, 3, 1), graph=False)
case(lambda f, x: f.movedim(x, 0, -1), X)
case(lambda f, x: f.t(x), X[0])
case(lambda f, x: f.roll(x, 2, 1), X)
case(lambda f, x: f.roll(x, (1, -2), (0, 2)), X)
case(lambda f, x: f.roll(x, 3), X)
case(lambda f, x, y: f.meshgrid(x, y, indexing="ij"), X[0, 0], X[0, :, 0])
case(lambda f, x, y: f.meshgrid(x, y, indexing="xy"), X[0, 0], X[0, :, 0])
case(lambda f, x, y: f.cartesian_prod(x, y), X[0, 0], X[0, :, 0])
case(lambda f, x, y: f.cat((x, y), 1), X, X)
case(lambda f, x, y: f.cat((x, y), dim=-1), X, I)
case(lambda f, x, y: f.cat((x, y)), np.zeros(0), X, graph=False)
case(lambda f, x, y: f.stack((x, y), dim=-1), X, X)
case(lambda f, x, y: f.block_diag(x, y), X[0], X[1, :2], graph=False)
for k in (-1, 0, 2):
    case(lambda f, x, k=k: f.tril(x, k), X)
    case(lambda f, x, k=k: f.triu(x, diagonal=k), B)
    case(lambda f, x, k=k: f.triu(x, diagonal=k), I)
    case(lambda f, x, k=k: f.diag_embed(x, k), X, graph=False)
    case(lambda f, x, k=k: f.diag_embed(x, k, 0, 2), X, graph=False)
    case(lambda f, x, k=k: f.diag_embed(x, k, 2, 0), X, graph=False)
case(lambda f, x, y: f.broadcast_tensors(x, y), X, normal(4, 1))
case(lambda f, x, y: f.pad_sequence([x, y], True, 2.0), X, X[:2])
case(lambda f, x, y: f.pad_sequence([x, y], padding_side="left"), X, X[:2])
case(lambda f, x: f.as_strided(x, (3, 2, 4), (5, 7, 1), 2), X)
case(lambda f, x: f.pad(x, (1, 2)), X)
case(lambda f, x: f.pad(x, (1, 2, 0, 3)), X)
case(lambda f, x: f.pad(x, (1, -1, -2, 3), value=0.5), X)
case(lambda f, x: f.pad(x, (1, 0, 2, 0), value=7), I)
case(lambda f, x: f.pad(x, (1, 0), value=True), B)
case(lambda f, x: f.pad(x, (0, 0, -1, -1)), X)
for mode in ("reflect", "replicate", "circular"):
    case(lambda f, x, m=mode: f.pad(x, (2, 3), mode=m), X)
    case(lambda f, x, m=mode: f.pad(x, (2, 1, 0, 3), mode=m), normal(2, 3, 4, 5))
    case(lambda f, x, m=mode: f.pad(x, (2, -1), mode=m), X)

# products, embeddings, attention
for how in ("sum", "mean", "max"):
    case(lambda f, i, w, m=how: f.embedding_bag(i, w, mode=m), integers(0, 6, 2, 3), normal(6, 4))
case(
    lambda f, i, w, c: f.embedding_bag(i, w, mode="sum", per_sample_weights=c),
    integers(0, 6, 2, 3),
    normal(6, 4),
    normal(2, 3),
)
case(lambda f, x, w: f.linear(x, w), X, normal(7, 5))
case(lambda f, x, w, b: f.linear(x, w, b), X, normal(7, 5), normal(7))
case(lambda f, i, w: f.embedding(i, w), integers(0, 6, 2, 3), normal(6, 4))
case(lambda f, i, w: f.embedding(i, w, padding_idx=1), integers(0, 6, 2, 3), normal(6, 4))
case(lambda f, x, y, w: f.bilinear(x, y, w), normal(2, 3), normal(2, 4), normal(5, 3, 4))
case(lambda f, x, a, b: f.addmm(x, a, b), normal(5), normal(2, 3), normal(3, 5))
case(lambda f, x, a, b: f.addmm(x, a, b, beta=0.5, alpha=2), normal(5), normal(2, 3), normal(3, 5))
case(
    lambda f, x, a, b: f.baddbmm(x, a, b, beta=0, alpha=2),
    normal(2, 2, 5),
    normal(2, 2, 3),
    normal(2, 3, 5),
)
case(
    lambda f, x, a, b: f.baddbmm(x, a, b, beta=0.5),
    normal(2, 1, 5),
    normal(2, 2, 3),
    normal(2, 3, 5),
)
case(lambda f, a, b: f.tensordot(a, b, dims=1), X, normal(5, 2))
for p in (1.0, 2.0):
    case(lambda f, a, b, p=p: f.cdist(a, b, p), normal(2, 3, 4), normal(2, 5, 4), tolerance=1e-12)
case(lambda f, a, b: f.pairwise_distance(a, b), normal(2, 3, 4), normal(2, 3, 4))
case(lambda f, a, b: f.cross(a, b, dim=-1), normal(2, 4, 3), normal(2, 4, 3))
Q, K, V = normal(2, 4, 3, 5), normal(2, 4, 6, 5), normal(2, 4, 6, 7)
case(lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v), Q, K, V)
case(lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3), Q, K, V)
case(lambda f, q, k, v, m: f.scaled_dot_product_attention(q, k, v, m), Q, K, V, normal(3, 6))
case(
    lambda f, q, k, v, m: f.scaled_dot_product_attention(q, k, v, m),
    Q,
    K,
    V,
    RANDOM.random((2, 1, 3, 6)) > 0.3,
)
case(
    lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v, enable_gqa=True),
    Q,
    K[:, :2],
    V[:, :2],
    graph=False,
)

# convolutions
for groups in (1, 2):
    for stride, padding, dilation in (
        (1, 0, 1),
        (2, 1, 1),
        (1, 2, 2),
        (3, 0, 1),
        (1, "same", 1),
        (1, "same", 2),
        (2, 2, 2),
        (1, "valid", 1),
    ):
        s = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        for n in (8, 9):
            case(
                lambda f, x, w, b, s=s: f.conv1d(x, w, b, **s),
                normal(2, 4, n),
                normal(6, 4 // groups, 3),
                normal(6),
            )
            case(
                lambda f, x, w, s=s: f.conv2d(x, w, **s),
                normal(2, 4, n, 7),
                normal(6, 4 // groups, 3, 2),
            )
    for stride, padding, more, dilation in (
        (1, 0, 0, 1),
        (2, 1, 0, 1),
        (2, 1, 1, 1),
        (3, 2, 2, 1),
        (2, 1, 1, 2),
        (1, 4, 0, 1),
    ):
        s = {
            "stride": stride,
            "padding": padding,
            "output_padding": more,
            "dilation": dilation,
            "groups": groups,
        }
        case(
            lambda f, x, w, b, s=s: f.conv_transpose1d(x, w, b, **s),
            normal(2, 4, 9),
            normal(4, 3, 4),
            normal(3 * groups),
        )
        case(
            lambda f, x, w, s=s: f.conv_transpose2d(x, w, **s),
            normal(2, 4, 9, 8),
            normal(4, 3, 4, 3),
        )
case(
    lambda f, x, w: f.conv2d(x, w, stride=(2, 1), padding=(1, 0)),
    normal(4, 9, 7),
    normal(6, 4, 3, 2),
)
case(
    lambda f, x, w: f.conv3d(x, w, stride=2, padding=1),
    normal(2, 4, 5, 6, 7),
    normal(6, 4, 3, 2, 3),
)
case(
    lambda f, x, w: f.conv_transpose3d(x, w, stride=2, padding=1),
    normal(2, 4, 5, 6, 3),
    normal(4, 3, 3, 2, 3),
)
for k, d, p, s in ((2, 1, 0, 1), (3, 1, 1, 2), ((3, 2), (2, 1), (2, 0), (1, 2))):
    case(lambda f, x, k=k, d=d, p=p, s=s: f.im2col(x, k, d, p, s), normal(2, 3, 8, 7))
    size = torch.nn.functional.unfold(torch.zeros(2, 3, 8, 7), k, d, p, s).shape
    case(lambda f, x, k=k, d=d, p=p, s=s: f.col2im(x, (8, 7), k, d, p, s), normal(*size))
case(lambda f, x: f.pixel_shuffle(x, 2), normal(2, 8, 3, 5))
case(lambda f, x: f.pixel_unshuffle(x, 2), normal(2, 3, 6, 4))

# normalisations
case(lambda f, x: f.layer_norm(x, (5,)), X)
case(lambda f, x, w, b: f.layer_norm(x, (4, 5), w, b, 1e-3), X, normal(4, 5), normal(4, 5))
case(lambda f, x, w: f.rms_norm(x, (5,), w, 1e-3), X, normal(5))
case(lambda f, x: f.rms_norm(x, (5,)), X)
case(lambda f, x, w, b: f.group_norm(x, 2, w, b), normal(2, 4, 3, 5), normal(4), normal(4))
case(
    lambda f, x, w, b: f.instance_norm(x, weight=w, bias=b),
    normal(2, 4, 3, 5),
    normal(4),
    normal(4),
)
case(
    lambda f, x, m, v, w, b: f.batch_norm(x, m, v, w, b),
    normal(2, 4, 3, 5),
    normal(4),
    np.abs(normal(4)),
    normal(4),
    normal(4),
)
case(lambda f, x: f.batch_norm(x, None, None, training=True), normal(6, 4))
case(lambda f, x: f.local_response_norm(x, 3), normal(2, 5, 4))

# resizing and sampling
for n, mode in ((1, "linear"), (2, "bilinear"), (2, "bicubic"), (3, "trilinear")):
    for align in (False, True):
        for size in (3, 7, 12, 1):
            case(
                lambda f, x, m=mode, a=align, s=size: f.interpolate(
                    x, size=s, mode=m, align_corners=a
                ),
                normal(2, 3, *(7, 5, 4)[:n]),
            )
        for factor in (2, 0.6, 1.7):
            case(
                lambda f, x, m=mode, a=align, s=factor: f.interpolate(
                    x, scale_factor=s, mode=m, align_corners=a
                ),
                normal(2, 3, *(7, 5, 4)[:n]),
            )
for n in (1, 2, 3):
    for mode in ("nearest", "nearest-exact", "area"):
        for size in (3, 7, 12, 1):
            case(
                lambda f, x, m=mode, s=size: f.interpolate(x, size=s, mode=m),
                normal(2, 3, *(7, 5, 4)[:n]),
            )
        for factor in (2, 0.6, 1.7):
            case(
                lambda f, x, m=mode, s=factor: f.interpolate(x, scale_factor=s, mode=m),
                normal(2, 3, *(7, 5, 4)[:n]),
            )
for mode in ("bilinear", "bicubic"):
    for size in ((3, 4), (9, 2)):
        case(
            lambda f, x, m=mode, s=size: f.interpolate(x, size=s, mode=m, antialias=True),
            normal(2, 3, 8, 7),
        )
case(
    lambda f, x: f.interpolate(
        x, scale_factor=(1.7, 0.6), mode="bilinear", recompute_scale_factor=True
    ),
    normal(2, 3, 8, 7),
)
GRID = 1.4 * normal(2, 3, 4, 2)
for mode in ("bilinear", "nearest", "bicubic"):
    for outside in ("zeros", "border", "reflection"):
        for align in (False, True):
            case(
                lambda f, x, g, m=mode, o=outside, a=align: f.grid_sample(x, g, m, o, a),
                normal(2, 3, 5, 6),
                GRID,
                tolerance=1e-12,
            )
case(
    lambda f, x, g: f.grid_sample(x, g, align_corners=False),
    normal(2, 3, 5, 6, 4),
    normal(2, 3, 4, 2, 3),
)
for align in (False, True):
    case(lambda f, t, a=align: f.affine_grid(t, (2, 3, 5, 4), a), normal(2, 2, 3))
    case(lambda f, t, a=align: f.affine_grid(t, (2, 3, 5, 4, 2), a), normal(2, 3, 4))

# pooling
for k, s, p, c in (
    (2, None, 0, False),
    (3, 2, 1, False),
    (3, 2, 1, True),
    (2, 2, 0, True),
    (3, 1, 1, False),
    (3, 3, 1, True),
):
    o = {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": c}
    for n in (8, 9):
        case(lambda f, x, o=o: f.max_pool1d(x, **o), normal(2, 3, n))
        case(lambda f, x, o=o: f.max_pool2d(x, **o), normal(2, 3, n, 7))
        for include in (True, False):
            case(
                lambda f, x, o=o, i=include: f.avg_pool1d(x, **o, count_include_pad=i),
                normal(2, 3, n),
            )
            case(
                lambda f, x, o=o, i=include: f.avg_pool2d(x, **o, count_include_pad=i),
                normal(2, 3, n, 7),
            )
case(lambda f, x: f.max_pool2d(x, 3, 2, 1, dilation=2), normal(2, 3, 9, 10))
case(lambda f, x: f.max_pool3d(x, 2), normal(2, 3, 5, 6, 4))
case(lambda f, x: f.avg_pool3d(x, 2, padding=1), normal(2, 3, 5, 6, 4))
case(lambda f, x: f.avg_pool2d(x, 2, divisor_override=3), normal(2, 3, 5, 6))
case(lambda f, x: f.max_pool2d(x, (2, 3)), normal(3, 5, 6))
for size in (1, 2, 3, 5):
    case(lambda f, x, s=size: f.adaptive_avg_pool1d(x, s), normal(2, 3, 7))
    case(lambda f, x, s=size: f.adaptive_avg_pool2d(x, s), normal(2, 3, 7, 5))
    case(lambda f, x, s=size: f.adaptive_max_pool1d(x, s), normal(2, 3, 7))
    case(lambda f, x, s=size: f.adaptive_max_pool2d(x, s), normal(2, 3, 7, 5))
case(lambda f, x: f.adaptive_avg_pool2d(x, (None, 2)), normal(2, 3, 7, 5))

# losses
LOGITS, CLASSES = normal(6, 5), np.array([0, 4, -100, 2, 1, -100])
for how in ("mean", "sum", "none"):
    for s in (0.0, 0.1):
        o = {"reduction": how, "label_smoothing": s}
        case(lambda f, x, t, o=o: f.cross_entropy(x, t, **o), LOGITS, CLASSES)
        case(
            lambda f, x, t, w, o=o: f.cross_entropy(x, t, w, **o),
            LOGITS,
            CLASSES,
            np.abs(normal(5)),
        )
        case(
            lambda f, x, t, o=o: f.cross_entropy(x, t, ignore_index=2, **o),
            normal(2, 5, 3, 4),
            integers(0, 5, 2, 3, 4),
        )
        case(
            lambda f, x, t, w, o=o: f.cross_entropy(x, t, w, **o),
            normal(2, 5, 3),
            RANDOM.random((2, 5, 3)),
            np.abs(normal(5)),
        )
        case(lambda f, x, t, o=o: f.cross_entropy(x, t, **o), normal(5), np.asarray(3))
    r = {"reduction": how}
    P = RANDOM.random((3, 4)) * 0.9 + 0.05
    T = (RANDOM.random((3, 4)) > 0.5) * 1.0
    Y, Z = normal(3, 4), normal(3, 4)
    case(lambda f, x, t, r=r: f.nll_loss(x, t, **r), LOGITS, CLASSES)
    case(
        lambda f, x, t, w, r=r: f.nll_loss(x, t, w, **r),
        normal(2, 5, 3),
        integers(0, 5, 2, 3),
        np.abs(normal(5)),
    )
    case(lambda f, x, t, r=r: f.binary_cross_entropy(x, t, **r), P, T)
    case(lambda f, x, t, w, r=r: f.binary_cross_entropy(x, t, w, **r), P, T, P)
    case(lambda f, x, t, r=r: f.binary_cross_entropy_with_logits(x, t, **r), Y, T)
    case(
        lambda f, x, t, w, p, r=r: f.binary_cross_entropy_with_logits(x, t, w, pos_weight=p, **r),
        Y,
        P,
        P,
        np.abs(normal(4)),
    )
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss"):
        case(lambda f, x, t, n=name, r=r: getattr(f, n)(x, t, **r), Y, Z, name=name)
    case(lambda f, x, t, r=r: f.smooth_l1_loss(x, t, beta=0.3, **r), Y, Z)
    case(lambda f, x, t, r=r: f.huber_loss(x, t, delta=0.3, **r), Y, Z)
    for log in (False, True):
        case(lambda f, x, t, g=log, r=r: f.kl_div(x, t, log_target=g, **r), Y, P)
    case(
        lambda f, a, b, t, r=r: f.cosine_embedding_loss(a, b, t, 0.2, **r),
        Y,
        Z,
        np.array([1, -1, 1]),
    )
    case(lambda f, a, b, t, r=r: f.margin_ranking_loss(a, b, t, 0.2, **r), Y, Z, 2 * T - 1)
    case(lambda f, a, t, r=r: f.hinge_embedding_loss(a, t, **r), Y, 2 * T - 1)
    for swap in (False, True):
        case(
            lambda f, a, b, c, s=swap, r=r: f.triplet_margin_loss(a, b, c, swap=s, **r), Y, Z, Z + Y
        )
    LP = torch.log_softmax(torch.from_numpy(normal(9, 3, 6)), -1).numpy()
    CT = np.array([[1, 2, 2, 3], [5, 1, 0, 0], [4, 4, 4, 4]])
    case(
        lambda f, x, t, i, n, r=r: f.ctc_loss(x, t, i, n, **r),
        LP,
        CT,
        np.array([9, 7, 9]),
        np.array([4, 2, 4]),
        tolerance=1e-12,
    )
    case(
        lambda f, x, t, i, n, r=r: f.ctc_loss(x, t, i, n, zero_infinity=True, **r),
        LP,
        CT,
        np.array([9, 7, 5]),
        np.array([4, 2, 4]),
        tolerance=1e-12,
    )
    case(
        lambda f, x, t, i, n, r=r: f.ctc_loss(x, t, i, n, blank=5, **r),
        LP,
        np.array([1, 2, 2, 3, 1, 4, 4]),
        np.array([9, 7, 9]),
        np.array([4, 1, 2]),
        tolerance=1e-12,
    )
case(lambda f, x, t: f.kl_div(x, t, reduction="batchmean"), Y, P)

# creation
case(
    lambda f, x: f.view_as_real(f.view_as_complex(x) * f.polar(x[..., 0], x[..., 1])),
    normal(3, 4, 2),
)
case(lambda f, x, y: f.view_as_real(f.complex(x, y)), X, X)
case(lambda f, x: f.one_hot(x, 6), integers(0, 6, 3, 2))
case(lambda f, x: f.one_hot(x), integers(0, 6, 3, 2), graph=False, jax=False)


def leaves(value: Any) -> list[Any]:
    """Flattens what an operation returned."""
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


def expected(item: Case, dtype: str) -> list[np.ndarray]:
    arrays = [torch.from_numpy(np.array(cast(a, dtype))) for a in item.arrays]
    return [leaf.numpy() for leaf in leaves(item.call(TorchSide(), *arrays))]


def cast(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype == np.float64 else array


def compare(item: Case, got: list[Any], want: list[np.ndarray], tolerance: float) -> None:
    assert len(got) == len(want), f"{len(got)} results, torch has {len(want)}"
    for a, b in zip(got, want, strict=True):
        a_np = keras.ops.convert_to_numpy(a)
        assert a_np.shape == b.shape, f"shape {a_np.shape}, torch's {b.shape}"
        if item.dtype:
            assert dtypes.name_of(a.dtype) == str(b.dtype), f"{a.dtype}, torch's {b.dtype}"
        if b.dtype == np.float32:  # integers that became the default float
            tolerance = max(tolerance, 1e-6)
        np.testing.assert_allclose(
            a_np.astype("float64"), b.astype("float64"), rtol=tolerance, atol=tolerance
        )


def run_eager(item: Case, dtype: str) -> list[Any]:
    arrays = [keras.ops.convert_to_tensor(cast(a, dtype)) for a in item.arrays]
    return leaves(item.call(kf, *arrays))


def tolerance_of(item: Case, dtype: str) -> float:
    return item.tolerance if dtype == "float64" else max(item.tolerance, 2e-4)


# torch, on its own reference
TORCH_WARNS = (
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
)


def marked(item: Case, *marks: pytest.MarkDecorator) -> Any:
    noisy = item.name.startswith(("kl_div", "conv"))
    return pytest.param(item, id=item.name, marks=(*marks, *(TORCH_WARNS if noisy else ())))


def of_graphs() -> Iterator[Any]:
    """The first case of each function; the others are slow."""
    seen: set[str] = set()
    for item in CASES:
        if item.graph:
            stem = item.name.rpartition("-")[0]
            yield marked(item, *([pytest.mark.slow] if stem in seen else []))
            seen.add(stem)


@pytest.mark.parametrize("item", [marked(item) for item in CASES])
def test_eager_equals_torch(item: Case) -> None:
    for dtype in ("float64",) if item.skip_float32 else ("float64", "float32"):
        compare(item, run_eager(item, dtype), expected(item, dtype), tolerance_of(item, dtype))


@pytest.mark.parametrize("item", [*of_graphs()])
def test_graph_of_unknown_sizes_equals_torch(item: Case) -> None:
    import tensorflow as tf

    specs = [
        tf.TensorSpec([None] * a.ndim if needs_unknown(item, i) else a.shape, a.dtype)
        for i, a in enumerate(item.arrays)
    ]
    function = tf.function(
        lambda *arrays: leaves(item.call(kf, *arrays)), input_signature=specs, autograph=False
    )
    compare(item, function(*item.arrays), expected(item, "float64"), item.tolerance)


STATIC = {  # which arguments are weights: their sizes are static in every model
    "conv": (1, 2),
    "linear": (1, 2),
    "prelu": (1,),
    "embedding": (1,),
    "bilinear": (2,),
    "batch_norm": (1, 2, 3, 4),
}


def needs_unknown(item: Case, place: int) -> bool:
    """Whether the argument gets unknown sizes; channels of convolutions and classes do not."""
    stem = item.name.split("-")[0]
    return not any(stem.startswith(name) and place in places for name, places in STATIC.items())


def main() -> int:
    """Runs every case on JAX, and the first of each function under jit; prints what fails."""
    import jax

    failed = 0
    for item in CASES:
        try:
            want = expected(item, "float64")
            compare(item, run_eager(item, "float64"), want, item.tolerance)
            if item.jax and item.name.endswith(("-0", "-5")):
                function = jax.jit(lambda *arrays, i=item: leaves(i.call(kf, *arrays)))
                arrays = [keras.ops.convert_to_tensor(a) for a in item.arrays]
                compare(item, function(*arrays), want, item.tolerance)
        except Exception as error:
            failed += 1
            print(item.name, type(error).__name__, str(error)[:400].replace("\n", " "))
    print(f"{failed} of {len(CASES)} failed")
    return failed


@pytest.mark.slow
def test_jax_equals_torch(run_on_jax: Callable[..., Any]) -> None:
    done = run_on_jax(__file__)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


if __name__ == "__main__":
    with precision.keep_float64():
        sys.exit(1 if main() else 0)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("sizes", [(1001, 1024), (500, 333)])
def test_places_of_large_images_are_torchs_in_float32(
    sizes: tuple[int, int], align: bool, mode: str, antialias: bool
) -> None:
    old, new = sizes
    x = RANDOM.normal(size=(1, 1, old, 3)).astype("float32")
    options = {"size": (new, 3), "mode": mode, "align_corners": align, "antialias": antialias}
    wanted = torch.nn.functional.interpolate(torch.from_numpy(x), **options).numpy()
    found = kf.interpolate(x, **options)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), wanted, atol=3e-6)
