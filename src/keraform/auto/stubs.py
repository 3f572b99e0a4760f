"""`.pyi` files for names that are resolved lazily, made from upstream's source text."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from keraform.auto.registry import COMPANIONS, TRAINING, base_models
from keraform.auto.tables import auto_names, class_modules, transformers_root
from keraform.checkpoints.atomic import write_atomically

_HEAD = (
    "# Written by `keraform stubs` for the installed transformers; run it again after an update.\n"
)
_SIMPLE = re.compile(r"(int|float|bool|str|bytes|tuple|list|dict|None|Tensor|Any|[\[\], .|])+")
_TENSOR = re.compile(r"torch\.(\w*Tensor)")
_IMPORTS = """\
from typing import Any

from transformers import PreTrainedConfig

from keraform.generation import GenerationMixin
from keraform.modeling import MainLayer, Model
from keraform.runtime.layers import Tensor
"""
_SELF_CALLS = ("call", "__call__")


def write_stubs(out: Path | None = None) -> list[Path]:
    """Writes the stubs of the package's public names and of the modules of `keraform.models`.

    Args:
        out: A directory that stands for the package; the package itself when None.

    Returns:
        The files written.
    """
    root = Path(__file__).resolve().parents[1] if out is None else Path(out)
    folders: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, module in class_modules().items():
        _, folder, file = module.split(".")
        folders[folder][file].append(name)
    (root / "models").mkdir(parents=True, exist_ok=True)
    written = []
    names: dict[str, list[str]] = {}
    for folder, files in sorted(folders.items()):
        text, names[folder] = _folder_stub(folder, files)
        written.append(root / "models" / f"{folder}.pyi")  # a directory would hide the ports
        _write(written[-1], text)
    written.append(root / "__init__.pyi")
    _write(written[-1], _package_stub(names))
    return written


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: Path(file).write_text(_HEAD + text, encoding="utf-8"))


def _package_stub(names: dict[str, list[str]]) -> str:
    lines = ["from keraform.auto.factory import AutoClass as AutoClass"]
    lines += [f"from transformers import {name} as {name}" for name in COMPANIONS]
    lines += [
        f"from keraform.training.{module} import {name} as {name}"
        for name, module in TRAINING.items()
    ]
    for folder, found in names.items():
        lines += [f"from keraform.models.{folder} import {name} as {name}" for name in found]
    lines += ["", "__version__: str"]
    lines += [f"class TF{name}(AutoClass): ..." for name in auto_names()]
    return "\n".join(lines) + "\n"


def _folder_stub(folder: str, files: dict[str, list[str]]) -> tuple[str, list[str]]:
    blocks, names = [_IMPORTS], []
    mains = set(base_models())
    for file, classes in sorted(files.items()):
        path = transformers_root() / "models" / folder / f"{file}.py"
        found = {
            node.name: node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef)
        }
        for name in classes:
            node = found.get(name)
            if node is None:
                continue
            if name in mains:
                main = f"TF{name.removesuffix('Model')}MainLayer"
                blocks.append(_class_stub(main, node, found, "MainLayer"))
                names.append(main)
            blocks.append(_class_stub(f"TF{name}", node, found, "Model"))
            names.append(f"TF{name}")
    return "\n".join(blocks), names


def _class_stub(name: str, node: ast.ClassDef, others: dict[str, ast.ClassDef], base: str) -> str:
    bases = [base]
    if any(isinstance(part, ast.Name) and part.id == "GenerationMixin" for part in node.bases):
        bases.insert(0, "GenerationMixin")
    lines = [f"class {name}({', '.join(bases)}):"]
    for method in _methods(node, others).values():
        signature = _signature(method)
        if method.name == "forward":
            lines += [f"    def {call}({signature}) -> Any: ..." for call in _SELF_CALLS]
        elif method.name == "__init__":
            lines.append(f"    def __init__({signature}) -> None: ...")
        else:
            lines.append(f"    def {method.name}({signature}) -> Any: ...")
    if len(lines) == 1:
        lines[0] += " ..."
    return "\n".join(lines) + "\n"


def _methods(node: ast.ClassDef, others: dict[str, ast.ClassDef]) -> dict[str, ast.FunctionDef]:
    """Public methods, with those of bases in the same file."""
    found: dict[str, ast.FunctionDef] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in others and base.id != node.name:
            found.update(_methods(others[base.id], others))
    for part in node.body:
        if not isinstance(part, ast.FunctionDef):
            continue
        if not part.name.startswith("_") or part.name == "__init__":
            if not any("property" in ast.unparse(d) or "setter" in ast.unparse(d) or
                       "method" in ast.unparse(d) for d in part.decorator_list):  # fmt: skip
                found[part.name] = part
    return found


def _signature(method: ast.FunctionDef) -> str:
    given = method.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    parts = [_parameter(arg, value) for arg, value in zip(plain, defaults, strict=True)]
    if given.vararg is not None:
        parts.append(f"*{given.vararg.arg}: Any")
    elif given.kwonlyargs:
        parts.append("*")
    parts += [
        _parameter(arg, value)
        for arg, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if method.name == "forward":
        parts.append("training: bool | None = None")
    if given.kwarg is not None or method.name in ("__init__", "forward"):
        parts.append(f"**{given.kwarg.arg if given.kwarg else 'kwargs'}: Any")
    if method.name == "forward" and given.vararg is None and given.kwonlyargs:
        parts = [part for part in parts if part != "training: bool | None = None"]
    return ", ".join(parts)


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    if arg.arg == "self":
        return "self"
    kind = "PreTrainedConfig" if arg.arg == "config" else _annotation(arg.annotation)
    if default is None:
        return f"{arg.arg}: {kind}"
    value = ast.unparse(default) if isinstance(default, ast.Constant) else "..."
    return f"{arg.arg}: {kind} = {value}"


def _annotation(node: ast.expr | None) -> str:
    if node is None:
        return "Any"
    text = _TENSOR.sub("Tensor", ast.unparse(node).strip("'\""))
    return text if _SIMPLE.fullmatch(text) else "Any"
