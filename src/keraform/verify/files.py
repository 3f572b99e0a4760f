"""Plain Python files as targets: any torch module, with constructor arguments and inputs from the
user.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from keras import ops
from torch import nn

from keraform.errors import KeraformError
from keraform.modeling.building import set_value
from keraform.runtime.tree import named_weights
from keraform.verify.cases import Case, Variant
from keraform.verify.given import Inputs, arguments, import_file, read_inputs
from keraform.verify.kind_assertions import KindAssertions
from keraform.verify.load_report import LoadReport
from keraform.verify.localising.origins import Origin, origin_of
from keraform.verify.refusals import Refusal, refusals_of
from keraform.verify.targets import Target
from keraform.verify.twin import State, twin_of

if TYPE_CHECKING:
    from keraform.translate import LineMap, Translation


def file_cases(target: Target) -> list[Case]:
    """The named classes of a file; without names, the one class that no other class of the file
    uses.
    """
    path = Path(target.name).resolve()
    if not path.is_file():
        raise KeraformError(
            expected="a Python file", got=f"no file {target.name}", try_next=f"ls {path.parent}"
        )
    module = import_file(path, path.stem)
    names = target.class_names or (_only_root(module, path),)
    missing = [name for name in names if not _is_module(getattr(module, name, None))]
    if missing and not _modules(module):
        raise _no_modules(path)
    if missing:
        raise KeraformError(
            expected=f"torch modules of {path.name}: {', '.join(_modules(module))}",
            got=", ".join(missing),
            try_next=f"keraform verify {path} --class {_modules(module)[0]}",
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
        find_kinds=lambda: KindAssertions(path.name, module, _translation(str(path))[1].kinds),
        origin=partial(_origin, path),
        init=init,
    )


def _origin(path: Path, file: str) -> Origin | None:
    """The origin of the file's own port, or of another generated file."""
    if file != import_port(str(path)).__file__:
        return origin_of(file)
    return Origin(str(path), _translation(str(path))[1])


def _port(path: Path, name: str, init: dict[str, str]) -> Any:
    ported = import_port(str(path))
    return getattr(ported, f"TF{name}")(**arguments(init, ported))


@lru_cache(maxsize=8)
def _translation(path: str) -> tuple[Translation, LineMap]:
    from keraform import translate

    return translate.map_source(
        Path(path).read_text(encoding="utf-8"), module=None, filename=Path(path).name
    )


@lru_cache(maxsize=8)
def import_port(path: str) -> ModuleType:
    """The port of a file as a module; its text stays in a temporary folder, so that tracebacks show
    lines.
    """
    folder = Path(tempfile.mkdtemp(prefix="keraform_port_"))
    written = folder / f"{Path(path).stem}_port.py"
    written.write_text(_translation(path)[0].code, encoding="utf-8")
    return import_file(written, written.stem)


def _refusals(path: Path, name: str) -> list[Refusal]:
    found = [
        Refusal(each.rule, each.file, each.line, each.reason)
        for each in _translation(str(path))[0].refusals
    ]
    return refusals_of(str(path), name, found)


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
    if not names:
        raise _no_modules(path)
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
        got=", ".join(roots or names),
        try_next=f"keraform verify {path} --class {(roots or names)[0]}",
    )


def _no_modules(path: Path) -> KeraformError:
    return KeraformError(
        expected=f"torch modules in {path}, or the banner of a port that Keraform made",
        got="no torch module and no banner",
        try_next=f"keraform localise --torch FILE.py:NAME --keras {path}:NAME, "
        "where it holds a Keras model",
    )
