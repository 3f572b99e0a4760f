"""What users give: Python files, constructor arguments, inputs. Needs neither torch nor Keras."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from keraform.errors import KeraformError
from keraform.verify.handwritten.trace import inputs_of

Inputs = dict[str, Any]


def import_file(path: Path, name: str, package: Sequence[str] = ()) -> ModuleType:
    """A file as a module that other code can find by its name.

    Args:
        path: of the file.
        name: of the module.
        package: the names of the folders that make it a part of a package, the outermost first.

    Raises:
        KeraformError: the file does not parse or fails while it is imported.
    """
    name = ".".join([*package, name])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parents[len(package)])
    sys.path.insert(0, folder)
    try:
        if package:
            importlib.import_module(".".join(package))
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise KeraformError(
            expected=f"{path} to be importable",
            got=f"{type(error).__name__}: {error}",
            try_next=f"python {path}",
        ) from error
    finally:
        sys.path.remove(folder)
    return module


def arguments(init: dict[str, str], module: ModuleType) -> dict[str, Any]:
    """Constructor arguments: expressions in the file's own names; what is no expression is text."""
    values = {}
    for name, text in init.items():
        try:
            values[name] = eval(text, dict(vars(module)))
        except (NameError, SyntaxError):
            values[name] = text
    return values


def read_inputs(source: str | None, path: Path) -> Inputs:
    """Inputs by name from `F.npz`, `module:function` or `FILE.py:function`."""
    if source is None:
        raise KeraformError(
            expected="inputs for the forward pass",
            got="no --inputs",
            try_next=f"keraform verify {path} --inputs inputs.npz, one array for each argument",
        )
    if source.endswith(".npz"):
        return _arrays(source)
    if source.endswith(".safetensors"):
        return dict(inputs_of(Path(source)))
    place, _, function = source.rpartition(":")
    if not place:
        raise KeraformError(
            expected="F.npz, module:function or FILE.py:function",
            got=repr(source),
            try_next=f"keraform verify {path} --inputs {path}:make_inputs",
        )
    module = (
        import_file(Path(place), Path(place).stem) if place.endswith(".py") else _imported(place)
    )
    make = getattr(module, function, None)
    if make is None:
        raise KeraformError(
            expected=f"a function {function} in {place} that gives a dict of arrays",
            got="no such name",
            try_next=f"python {place}" if place.endswith(".py") else f"python -c 'import {place}'",
        )
    return {name: np.asarray(value) for name, value in make().items()}


def _arrays(source: str) -> Inputs:
    try:
        with np.load(source) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise KeraformError(
            expected="arrays that np.savez has written, one for each argument",
            got=f"{source}: {type(error).__name__}: {error}",
            try_next=f"ls -l {source}",
        ) from error


def _imported(name: str) -> ModuleType:
    """A module, also one of the directory that one is in, as `python -m` finds it."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise KeraformError(
            expected=f"a module {name} with a function that makes the inputs",
            got=f"{type(error).__name__}: {error}",
            try_next=f"python -c 'import {name}'",
        ) from error


@dataclass(frozen=True)
class Definition:
    """What a user wants to be run: a class, a function or an instance in a file.

    Args:
        path: the file.
        name: in the file.
        module: the imported file.
        value: what the name stands for.
        init: its arguments, as the user wrote them.
    """

    path: Path
    name: str
    module: ModuleType
    value: Any
    init: dict[str, str]

    def make(self) -> Any:
        """An instance: a class or function is called, anything else is taken as it is."""
        if not callable(self.value) or not isinstance(self.value, type | FunctionType):
            return self.value
        try:
            return self.value(**arguments(self.init, self.module))
        except TypeError as error:
            raise KeraformError(
                expected=f"constructor arguments of {self.name} "
                f"{_signature(self.value)}, each as --init name=expression",
                got=f"{', '.join(self.init) or 'none'}: {error}",
                try_next="--init name=value, once for each argument",
            ) from error

    def accepts(self, init: dict[str, str]) -> dict[str, str]:
        """Those of the arguments that this constructor takes too."""
        try:
            known = inspect.signature(self.value).parameters
        except (TypeError, ValueError):
            return {}
        return {name: text for name, text in init.items() if name in known}


def _signature(value: Any) -> str:
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(...)"


def definition(target: str, init: dict[str, str], example: str) -> Definition:
    """What `FILE.py:NAME` stands for.

    Raises:
        KeraformError: there is no such file or name.
    """
    place, _, name = target.rpartition(":")
    path = Path(place or target)
    if not place or path.suffix != ".py":
        raise KeraformError(expected="FILE.py:NAME", got=repr(target), try_next=example)
    if not path.is_file():
        raise KeraformError(
            expected="a Python file", got=f"no file {path}", try_next=f"ls {path.parent}"
        )
    path = path.resolve()
    module = import_file(path, path.stem)
    if not hasattr(module, name):
        own = [
            each
            for each, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
        ]
        raise KeraformError(
            expected=f"a class or function of {path}: {', '.join(own) or 'it has none'}",
            got=name,
            try_next=f"{path}:{own[0] if own else 'NAME'}",
        )
    return Definition(path, name, module, getattr(module, name), init)
