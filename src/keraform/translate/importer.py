"""The virtual package `keraform.models`: modules are ports, translated when they are imported."""

from __future__ import annotations

import importlib
import linecache
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location, spec_from_loader
from types import CodeType, ModuleType

from keraform.translate.rules.seams import SHARED_MODULES
from keraform.translate.source import (
    PACKAGE,
    REPOSITORIES,
    imported_name,
    is_repository,
    module_path,
    port_name,
    transformers_root,
    uses_torch,
)


def upstream_name(name: str) -> str | None:
    """`keraform.models.bert.modeling_bert` mirrors `transformers.models.bert.modeling_bert`."""
    parts = name.removeprefix(PACKAGE + ".").split(".")
    if parts[0] == REPOSITORIES:
        return ".".join(parts) if module_path(".".join(parts)) is not None else None
    for candidate in (["transformers", "models", *parts], ["transformers", *parts]):
        path = module_path(".".join(candidate))
        if path is not None and path.name != "__init__.py":
            return ".".join(candidate)
    return None


def modeling_modules(folder: str) -> list[str]:
    """The upstream modeling modules of a folder under `transformers/models`."""
    root = transformers_root() / "models" / folder
    return [
        f"transformers.models.{folder}.{path.stem}" for path in sorted(root.glob("modeling_*.py"))
    ]


class PortLoader(SourceFileLoader):
    """Loads a generated file from the cache."""


class MemoryLoader(Loader):
    """Loads a port that could not be written to disk; tracebacks still show its lines."""

    def __init__(self, code: str, filename: str):
        self.code = code
        self.filename = filename

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Lets Python make the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Runs the port."""
        linecache.cache[self.filename] = (
            len(self.code),
            None,
            self.code.splitlines(True),
            self.filename,
        )
        code: CodeType = compile(self.code, self.filename, "exec")
        module.__file__ = self.filename
        exec(code, module.__dict__)


class AliasLoader(Loader):
    """Gives a module that is imported as it is, under the name that ports know it by."""

    def __init__(self, name: str):
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module itself."""
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has been run; what it knows of itself stays."""
        module.__spec__ = self.spec


class FolderLoader(Loader):
    """Makes `keraform.models.bert`: every name of its modeling modules, resolved when asked for."""

    def __init__(self, folder: str):
        self.modules = [port_name(name) for name in modeling_modules(folder)]
        self.folder = folder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Lets Python make the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Gives the package its lazy names."""
        names = self.public_names()
        folder, modules = self.folder, self.modules

        def __getattr__(name: str) -> object:
            if not name.startswith("_"):
                for each in modules:
                    port = importlib.import_module(each)
                    if hasattr(port, name):
                        return getattr(port, name)
            raise AttributeError(
                f"module 'keraform.models.{folder}' has no attribute {name!r}; "
                f"it has {', '.join(names)}"
            )

        module.__dict__.update(
            __getattr__=__getattr__, __all__=names, __dir__=lambda: [*module.__dict__, *names]
        )

    def public_names(self) -> list[str]:
        """The names in `__all__` of the upstream modules, as ports name them."""
        names: list[str] = []
        for each in modeling_modules(self.folder):
            path = module_path(each)
            text = path.read_text("utf-8") if path is not None else ""
            block = re.search(r"^__all__ = \[(.*?)\]", text, re.S | re.M)
            names += (
                [f"TF{name}" for name in re.findall(r"[\"'](\w+)[\"']", block.group(1))]
                if block
                else []
            )
        return names


class PortFinder(MetaPathFinder):
    """Finds the modules of `keraform.models`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a port, translated on the way; None for names that are not ours."""
        if not fullname.startswith(PACKAGE + "."):
            return None
        parts = fullname.removeprefix(PACKAGE + ".").split(".")
        if len(parts) == 1 and _is_folder(parts[0]):
            return spec_from_loader(fullname, FolderLoader(parts[0]), is_package=True)
        if parts[0] == REPOSITORIES and is_repository(".".join(parts)):
            return ModuleSpec(fullname, None, is_package=True)
        upstream = upstream_name(fullname)
        if upstream is None:
            return None
        if parts[0] == REPOSITORIES and not uses_torch(upstream):
            return spec_from_loader(fullname, AliasLoader(imported_name(upstream)))
        from keraform.translate.ports import port

        made = port(upstream)
        if made.path is None:
            return spec_from_loader(fullname, MemoryLoader(made.code, f"<port of {upstream}>"))
        loader = PortLoader(fullname, str(made.path))
        return spec_from_file_location(fullname, made.path, loader=loader)


def _is_folder(name: str) -> bool:
    """Whether a name is that of a model, or of infrastructure that is translated (`loss`)."""
    shared = any(module.startswith(f"transformers.{name}.") for module in SHARED_MODULES)
    return shared or (transformers_root() / "models" / name).is_dir()


def install() -> None:
    """Puts the finder in place, once."""
    if not any(isinstance(finder, PortFinder) for finder in sys.meta_path):
        sys.meta_path.append(PortFinder())
