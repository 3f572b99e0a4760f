"""Keraform: PyTorch models of Transformers as readable, proved Keras 3 models."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from keraform.auto import keras_lookup
from keraform.version import __version__ as __version__

_ROOMS = ("errors", "generation", "modeling", "models", "ops", "runtime", "training")
_NOTICE = "PyTorch was not found"


def _without_notice(record: logging.LogRecord) -> bool:
    """Transformers says on import that torch is missing; here that is as it should be."""
    return not str(record.msg).startswith(_NOTICE)


logging.getLogger("transformers").addFilter(_without_notice)
keras_lookup.install()


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = importlib.import_module("keraform.auto.registry").resolve(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    names = importlib.import_module("keraform.auto.registry").public_names()
    return sorted({"__version__", *_ROOMS, *names})
