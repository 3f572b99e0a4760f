"""Upstream sources: finding a modeling module of the installed `transformers` and reading it,
without importing it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from keraform.errors import KeraformError


@dataclass(frozen=True, slots=True)
class Source:
    """A PyTorch source file."""

    module: str
    path: str
    text: str
    version: str

    @property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@lru_cache(maxsize=1)
def transformers_root() -> Path:
    """The folder of the installed `transformers`, found without importing it."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise KeraformError(
            "the package `transformers` is needed to read modeling sources from, and it is not "
            "installed; "
            "try `pip install 'transformers>=5'`"
        )
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=1)
def transformers_version() -> str:
    """The version of the installed `transformers`."""
    return importlib.metadata.version("transformers")


def module_path(module: str) -> Path | None:
    """The file of `transformers.x.y`, or None when there is no such module."""
    parts = module.split(".")
    if parts[0] != "transformers":
        return None
    base = transformers_root().joinpath(*parts[1:])
    for candidate in (base.with_name(base.name + ".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def read_module(module: str) -> Source:
    """Reads the source of an upstream module such as `transformers.models.bert.modeling_bert`."""
    path = module_path(module)
    if path is None:
        raise KeraformError(
            f"expected a module of the installed transformers {transformers_version()}, "
            f"got {module!r}, "
            "which has no source file; `keraform status` lists the model types of this release"
        )
    relative = path.relative_to(transformers_root().parent).as_posix()
    return Source(
        module, relative, path.read_text(encoding="utf-8"), f"transformers {transformers_version()}"
    )


@cache
def uses_torch(module: str) -> bool:
    """Whether an upstream module needs torch when it is imported (so that a port cannot simply
    import it).
    """
    path = module_path(module)
    if path is None or path.name == "__init__.py":
        return False
    return any(
        line.startswith(("import torch", "from torch"))
        for line in path.read_text("utf-8").splitlines()
    )


def home(origin: str) -> str:
    """Where a name is defined that an upstream module perhaps only imported."""
    module, _, name = origin.rpartition(".")
    imported = _imported(module).get(name)
    return origin if imported is None else home(imported)


@cache
def _imported(module: str) -> dict[str, str]:
    """The origins of the names that an upstream module imports from others, none for a package."""
    path = module_path(module)
    if path is None or path.name == "__init__.py":
        return {}
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            source = absolute_module(module, node.level, node.module or "")
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, f"{source}.{alias.name}")
    return found


def absolute_module(module: str, level: int, name: str, is_package: bool = False) -> str:
    """Resolves a relative import written inside `module`."""
    if level == 0:
        return name
    parts = module.split(".")
    keep = len(parts) - level + (1 if is_package else 0)
    return ".".join([*parts[:keep], *([name] if name else [])])
