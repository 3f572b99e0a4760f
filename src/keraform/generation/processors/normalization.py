"""Processors that keep scores finite, or make them log probabilities."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from keras import ops

from keraform.generation.processors.base import LogitsProcessor
from keraform.runtime.layers import Tensor
from keraform.runtime.ops import dtypes


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """0 for what is no number, and the largest and lowest number for the infinities."""

    in_graph: ClassVar[bool] = True

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        limits = dtypes.finfo(scores.dtype)
        finite = ops.where(ops.isnan(scores), 0.0, scores)
        finite = ops.where(scores == math.inf, limits.max, finite)
        return ops.where(scores == -math.inf, limits.min, finite)


class LogitNormalization(LogitsProcessor):
    """Log probabilities."""

    in_graph: ClassVar[bool] = True

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        return ops.log_softmax(scores)
