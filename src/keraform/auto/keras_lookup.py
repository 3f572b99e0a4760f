"""Lets `keras.saving.load_model` find ports and optimizers by the names in saved files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_KERAS_TABLE = "keras.src.saving.object_registration"
_PACKAGES = ("keraform.models.", "keraform.training.")


class CustomObjects(dict):
    """Keras's table of registered classes, which imports one of ours when its name is asked for."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _import_class(name)


def _import_class(name: object) -> bool:
    """Imports the class of "keraform.models.bert>TFBertModel"; its definition registers it."""
    if not isinstance(name, str) or not name.startswith(_PACKAGES) or ">" not in name:
        return False
    package, _, cls = name.partition(">")
    try:
        return hasattr(importlib.import_module(package), cls)
    except ImportError:
        return False


def _use_in(module: ModuleType) -> None:
    if not isinstance(module.GLOBAL_CUSTOM_OBJECTS, CustomObjects):
        module.GLOBAL_CUSTOM_OBJECTS = CustomObjects(module.GLOBAL_CUSTOM_OBJECTS)


class _WhenImported(MetaPathFinder):
    """Waits for Keras's module, because Keraform must not import Keras for nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname != _KERAS_TABLE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _use_in(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader
        return spec


def install() -> None:
    """Takes effect now, or as soon as Keras is imported."""
    module = sys.modules.get(_KERAS_TABLE)
    if module is not None:
        _use_in(module)
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())
