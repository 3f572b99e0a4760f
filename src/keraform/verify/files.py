"""Plain Python files as targets: any torch module, with constructor arguments and inputs from the
user.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from keras import ops
from torch import nn

from keraform.errors import KeraformError
from keraform.modeling.building import set_value
from keraform.runtime.tree import named_weights
from keraform.verify.cases import Case, Variant
from keraform.verify.inputs import Inputs
from keraform.verify.port import LoadReport
from keraform.verify.refusals import Refusal, refusals_of
from keraform.verify.targets import Target
from keraform.verify.twin import State, twin_of


def file_cases(target: Target) -> list[Case]:
    """The named classes of a file; without names, the one class that no other class of the file
    uses.
    """
    path = Path(target.name)
    if not path.is_file():
        raise KeraformError(
            expected="a Python file", got=f"no file {path}", try_next=f"ls {path.parent}"
        )
    module = import_file(path, path.stem)
    names = target.class_names or (_only_root(module, path),)
    missing = [name for name in names if not _is_module(getattr(module, name, None))]
    if missing:
        raise KeraformError(
            expected=f"torch modules of {path.name}: {', '.join(_modules(module))}",
            got=", ".join(missing),
            try_next=f"keraform verify {path} --class {next(iter(_modules(module)), '...')}",
        )
    inputs = read_inputs(target.inputs, path)
    return [_case(path, module, name, target.init, inputs) for name in names]


def _case(path: Path, module: ModuleType, name: str, init: dict[str, str], inputs: Inputs) -> Case:
    return Case(
        name=name,
        make_twin=lambda: twin_of(lambda: getattr(module, name)(**arguments(init, module))),
        make_port=lambda: _port(path, name, init),
        load=load_by_tree,
        make_variants=lambda: (Variant("given", inputs),),
        find_refusals=lambda: _refusals(path, name),
    )


def _port(path: Path, name: str, init: dict[str, str]) -> Any:
    ported = import_port(str(path))
    return getattr(ported, f"TF{name}")(**arguments(init, ported))


@lru_cache(maxsize=8)
def _translation(path: str) -> Any:
    from keraform import translate

    return translate.translate_source(
        Path(path).read_text(encoding="utf-8"), module=None, filename=Path(path).name
    )


@lru_cache(maxsize=8)
def import_port(path: str) -> ModuleType:
    """The port of a file as a module; its text stays in a temporary folder, so that tracebacks show
    lines.
    """
    folder = Path(tempfile.mkdtemp(prefix="keraform_port_"))
    written = folder / f"{Path(path).stem}_port.py"
    written.write_text(_translation(path).code, encoding="utf-8")
    return import_file(written, written.stem)


def _refusals(path: Path, name: str) -> list[Refusal]:
    found = [
        Refusal(each.rule, each.file, each.line, each.reason)
        for each in _translation(str(path)).refusals
    ]
    return refusals_of(str(path), name, found)


def import_file(path: Path, name: str) -> ModuleType:
    """A file as a module that other code can find by its name.

    Raises:
        KeraformError: the file does not parse or fails while it is imported.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise KeraformError(
            expected=f"{path} to be importable",
            got=f"{type(error).__name__}: {error}",
            try_next=f"python {path}",
        ) from error
    finally:
        sys.path.remove(str(path.parent))
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
        with np.load(source) as arrays:
            return dict(arrays)
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


def load_by_tree(model: Any, state: State) -> LoadReport:
    """Give every weight of a layer torch's value, by torch's key."""
    own = {weight.key: weight for weight in named_weights(model)}
    mismatched = []
    for key in own.keys() & state.keys():
        weight = own[key]
        value = state[key] if weight.axes is None else state[key].transpose(weight.axes)
        if tuple(weight.variable.shape) != value.shape:
            mismatched.append(f"{key}: {tuple(weight.variable.shape)}, torch has {value.shape}")
        else:
            set_value(weight.variable, ops.convert_to_tensor(value, weight.variable.dtype))
    return LoadReport(
        missing=tuple(sorted(own.keys() - state.keys())),
        unexpected=tuple(sorted(state.keys() - own.keys())),
        mismatched=tuple(sorted(mismatched)),
    )


def _is_module(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _modules(module: ModuleType) -> list[str]:
    return [
        n
        for n, value in vars(module).items()
        if _is_module(value) and value.__module__ == module.__name__
    ]


def _only_root(module: ModuleType, path: Path) -> str:
    from keraform.verify.refusals import _structure

    names = _modules(module)
    _, uses = _structure(str(path))
    roots = [
        name
        for name in names
        if not any(name in uses.get(other, ()) for other in names if other != name)
    ]
    if len(roots) == 1:
        return roots[0]
    raise KeraformError(
        expected=f"one torch module in {path.name} that no other one uses",
        got=", ".join(roots or names) or "no torch module",
        try_next=f"keraform verify {path} --class {(roots or names or ['NAME'])[0]}",
    )
