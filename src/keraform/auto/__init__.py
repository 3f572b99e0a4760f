"""Which class is meant: by its name, by a configuration, by a checkpoint."""

from __future__ import annotations

import importlib
from typing import Any

_TABLE = {
    "AutoMainLayer": "factory",
    "auto_class": "factory",
    "auto_names": "tables",
    "class_modules": "tables",
    "ported_class": "registry",
    "public_names": "registry",
    "resolve": "registry",
    "write_stubs": "stubs",
}
__all__ = sorted(_TABLE)


def __getattr__(name: str) -> Any:
    if name not in _TABLE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_TABLE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
