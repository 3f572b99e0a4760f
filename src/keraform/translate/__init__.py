"""Translation of PyTorch modeling source into readable Keras 3 code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keraform.translate.cache import digest_of
    from keraform.translate.importer import modeling_modules
    from keraform.translate.linemap import LineMap, MappedStatement, map_module, map_source
    from keraform.translate.ports import port, port_module, translate_source, translation
    from keraform.translate.report import Translation
    from keraform.translate.source import port_name

_WHERE = {
    "LineMap": "linemap",
    "MappedStatement": "linemap",
    "Translation": "report",
    "digest_of": "cache",
    "map_module": "linemap",
    "map_source": "linemap",
    "modeling_modules": "importer",
    "port": "ports",
    "port_module": "ports",
    "port_name": "source",
    "translate_source": "ports",
    "translation": "ports",
}

__all__ = [
    "LineMap",
    "MappedStatement",
    "Translation",
    "digest_of",
    "map_module",
    "map_source",
    "modeling_modules",
    "port",
    "port_module",
    "port_name",
    "translate_source",
    "translation",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
