"""Upstream sources: finding a modeling module of the installed `transformers` and reading it,
without importing it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
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


PACKAGE = "keraform.models"
REPOSITORIES = "transformers_modules"  # Transformers' package for the code of repositories


@dataclass(frozen=True, slots=True)
class Repository:
    """The code of a repository: its package's name for Python, and its folder."""

    package: str
    folder: Path


_ALLOWED: dict[str, Repository] = {}


def allow(package: str, folder: Path) -> str:
    """Lets the code of a repository be translated, as its user has allowed.

    Args:
        package: `transformers_modules.<repository>.<hash>`, as `transformers` names it.
        folder: where its files lie.

    Returns:
        The package's name in ports, of which each part can stand in an import statement.
    """
    parts = package.split(".")
    name = ".".join(part if part.isidentifier() else f"_{part}" for part in parts)
    _ALLOWED[name] = Repository(package, folder)
    return name


def imported_name(module: str) -> str:
    """The name under which Python imports a repository's module itself."""
    package, _, name = module.rpartition(".")
    return f"{_ALLOWED[package].package}.{name}"


def is_repository(package: str) -> bool:
    """Whether a package is, or holds, one that was allowed."""
    return any(f"{known}.".startswith(f"{package}.") for known in _ALLOWED)


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
    """The file of `transformers.x.y`, or of a repository's module; None when there is none."""
    parts = module.split(".")
    if parts[0] == REPOSITORIES:
        repository = _ALLOWED.get(".".join(parts[:-1]))
        path = None if repository is None else repository.folder / f"{parts[-1]}.py"
        return path if path is not None and path.is_file() else None
    if parts[0] != "transformers":
        return None
    base = transformers_root().joinpath(*parts[1:])
    for candidate in (base.with_name(base.name + ".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def port_name(upstream: str) -> str:
    """`transformers.models.bert.modeling_bert` gives `keraform.models.bert.modeling_bert`."""
    if upstream.startswith(f"{REPOSITORIES}."):
        return f"{PACKAGE}.{upstream}"
    return PACKAGE + upstream.removeprefix("transformers").replace(".models.", ".", 1)


def read_module(module: str) -> Source:
    """Reads the source of an upstream module such as `transformers.models.bert.modeling_bert`."""
    path = module_path(module)
    if path is None:
        raise KeraformError(
            f"expected a module of the installed transformers {transformers_version()}, "
            f"got {module!r}, "
            "which has no source file; `keraform status` lists the model types of this release"
        )
    text = path.read_text(encoding="utf-8")
    if module.startswith(f"{REPOSITORIES}."):
        return Source(module, module.replace(".", "/") + ".py", text, "a repository's code")
    relative = path.relative_to(transformers_root().parent).as_posix()
    return Source(module, relative, text, f"transformers {transformers_version()}")


_CONFIGURATION = re.compile(r"^class \w+\([^)]*Config\b", re.MULTILINE)


@cache
def uses_torch(module: str) -> bool:
    """Whether an upstream module needs torch when it is imported (so that a port cannot simply
    import it). Of a repository's modules only those of configurations are imported.
    """
    path = module_path(module)
    if path is None or path.name == "__init__.py":
        return False
    if module.startswith(f"{REPOSITORIES}.") and not _CONFIGURATION.search(path.read_text("utf-8")):
        return True
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
