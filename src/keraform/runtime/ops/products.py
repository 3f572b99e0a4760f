"""Matrix products with weights in torch's layout, embeddings, distances, and attention."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.randomness import dropout
from keraform.runtime.ops.tensors import Tensor, as_tensor, axis_of, rank, refuse, sizes


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns `x @ weight.T + bias`; weight is [out, in] as torch keeps it."""
    weight = as_tensor(weight)
    product = ops.matmul(input, ops.transpose(weight) if rank(weight) == 2 else weight)
    return product if bias is None else product + as_tensor(bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns `x1 @ weight[k] @ x2 + bias[k]` for each k; weight is [out, in1, in2]."""
    made = ops.einsum("...i,kij,...j->...k", input1, weight, input2)
    return made if bias is None else made + bias


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Returns the rows of `weight` that `input` names; the row `padding_idx` gets no gradient."""
    rows = ops.take(weight, input, axis=0)
    if padding_idx is None:
        return rows
    padded = ops.expand_dims(ops.equal(input, padding_idx % weight.shape[0]), -1)
    return ops.where(padded, ops.stop_gradient(rows), rows)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
) -> Tensor:
    """Returns one reduced embedding [b, d] for each row of indices [b, n].

    Args:
        input: Indices [b, n].
        weight: Table [v, d].
        mode: "sum", "mean" or "max".
        per_sample_weights: Factor [b, n] of each row that is summed.
    """
    if mode not in ("sum", "mean", "max") or (per_sample_weights is not None and mode != "sum"):
        raise refuse(
            'mode "sum", "mean" or "max", and weights with "sum" only', repr(mode), 'mode="sum"'
        )
    rows = ops.take(weight, input, axis=0)
    if per_sample_weights is not None:
        return ops.einsum("bn,bnd->bd", per_sample_weights, rows)
    return {"sum": ops.sum, "mean": ops.mean, "max": ops.max}[mode](rows, axis=1)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Returns `beta * input + alpha * mat1 @ mat2`."""
    return _scaled(input, beta) + _scaled(ops.matmul(mat1, mat2), alpha)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """Returns `beta * input + alpha * batch1 @ batch2`; with beta 0 `input` does not count."""
    product = _scaled(ops.matmul(batch1, batch2), alpha)
    if not ops.is_tensor(beta) and beta == 0:
        return product
    return _scaled(input, beta) + product


def _scaled(x: Tensor, factor: Any) -> Tensor:
    return x if not ops.is_tensor(factor) and factor == 1 else x * factor


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Contracts the named axes of two tensors."""
    return ops.tensordot(a, b, axes=dims)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """Returns the p-norm distance between all rows: [..., n, d] and [..., m, d] to [..., n, m]."""
    from keraform.runtime.ops.reductions import vector_norm

    return vector_norm(ops.expand_dims(x1, -2) - ops.expand_dims(x2, -3), p, -1)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Returns the p-norm of `x1 - x2 + eps` along the last axis."""
    from keraform.runtime.ops.reductions import vector_norm

    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    seed: Any = None,
) -> Tensor:
    """Returns `softmax(q k^T * scale + mask) v`, with the meaning of Transformers' eager attention.

    A fully masked row attends evenly to all keys, where torch's fused kernels give zeros.

    Args:
        query: [b, h, q, d].
        key: [b, h, k, d], or [b, g, k, d] with `enable_gqa`.
        value: As `key`.
        attn_mask: Bool (True attends), or numbers that are added to the scores.
        dropout_p: Share of weights dropped.
        is_causal: Whether a query attends only to keys at its own place or before.
        scale: Factor of the scores; `d ** -0.5` when left out.
        enable_gqa: Whether each key head serves several query heads.
        seed: A `keras.random.SeedGenerator` for dropout.
    """
    query, key, value = as_tensor(query), as_tensor(key), as_tensor(value)
    if enable_gqa and query.shape[-3] != key.shape[-3]:
        key = ops.repeat(key, query.shape[-3] // key.shape[-3], axis=-3)
        value = ops.repeat(value, query.shape[-3] // value.shape[-3], axis=-3)
    factor = _root(sizes(query)[-1], query) if scale is None else scale
    scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) * factor  # [b, h, q, k]
    lowest = dtypes.as_dtype(dtypes.finfo(scores.dtype).min, dtypes.name_of(scores.dtype))
    if is_causal:
        rows, columns = sizes(scores)[-2:]
        allowed = ops.expand_dims(ops.arange(rows, dtype="int32"), 1) >= (
            ops.expand_dims(ops.arange(columns, dtype="int32"), 0)
        )
        scores = ops.where(allowed, scores, lowest)
    if attn_mask is not None:
        if dtypes.name_of(attn_mask.dtype) == "bool":
            scores = ops.where(attn_mask, scores, lowest)
        else:
            scores = scores + dtypes.to(as_tensor(attn_mask), dtypes.name_of(scores.dtype))
    weights = dropout(ops.softmax(scores, axis=-1), dropout_p, seed=seed)
    return ops.matmul(weights, value)


def _root(size: Any, like: Tensor) -> Any:
    return size**-0.5 if isinstance(size, int) else ops.rsqrt(ops.cast(size, like.dtype))


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Returns the cross product of vectors of size 3 along `dim`."""
    axis = axis_of(dim, rank(input))
    before = (slice(None),) * axis
    a, b = ([x[(*before, i)] for i in range(3)] for x in (as_tensor(input), as_tensor(other)))
    parts = [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
    return ops.stack(parts, axis=axis)
