"""The public name of `keraform.runtime.ops`: torch's operations on `keras.ops`."""

from __future__ import annotations

from typing import Any

from keraform.runtime import ops as _ops

__all__ = _ops.__all__


def __getattr__(name: str) -> Any:
    return getattr(_ops, name)


def __dir__() -> list[str]:
    return dir(_ops)
