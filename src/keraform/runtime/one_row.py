"""Products of a single row with a weight, as decoding of one sequence has them.

XLA computes such a product on one core of a CPU, whatever there is, and decoding is as fast as
weights are read. Written as here it shares the work:

- a kernel [k, n] as y_j = sum_c (sum_u x_cu W_cuj), with k in groups c of `terms` rows u: the inner
  sum is an elementwise loop over [k / terms, n], which XLA splits;
- a table [n, k] as two products of half of its rows each, which XLA runs side by side.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keraform.runtime.tracing import compiles_for_cpu

SHARED = 2**19  # bytes of a loop's result from which on XLA gives it to two threads
TERMS = (8, 4)


def is_one_row(inputs: Any) -> bool:
    """Whether inputs [..., k] are one row of float32 in a program of XLA for a CPU."""
    return (
        all(size == 1 for size in inputs.shape[:-1])
        and keras.backend.standardize_dtype(inputs.dtype) == "float32"
        and compiles_for_cpu()
    )


def times_kernel(row: Any, kernel: Any) -> Any:
    """`row @ kernel` for a row [..., k] and a kernel [k, n], [..., n]."""
    size, columns = kernel.shape
    for terms in TERMS:
        groups = size // terms
        if size % terms == 0 and 4 * groups * columns >= SHARED:
            weights = ops.reshape(kernel, (groups, terms, columns))
            factors = ops.reshape(row, (groups, terms, 1))
            sums = sum(weights[:, term] * factors[:, term] for term in range(terms))
            return ops.reshape(ops.sum(sums, axis=0), (*row.shape[:-1], columns))
    return ops.matmul(row, kernel)


def times_table(row: Any, table: Any) -> Any:
    """`row @ table^T` for a row [..., k] and a table [n, k], [..., n]."""
    column = ops.reshape(row, (-1, 1))
    table, half = ops.convert_to_tensor(table), table.shape[0] // 2
    parts = [table[:half], table[half:]] if 4 * half * table.shape[1] >= SHARED else [table]
    outputs = ops.concatenate([ops.matmul(part, column) for part in parts], axis=0)  # [n, 1]
    return ops.reshape(outputs, (*row.shape[:-1], table.shape[0]))
