"""The matrix: the ladder of all classes of many model types, in worker processes."""

from __future__ import annotations

from keraform.verify.matrix.run import Matrix
from keraform.verify.matrix.summary import Summary, summarise

__all__ = ["Matrix", "Summary", "summarise"]
