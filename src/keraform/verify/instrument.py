"""Code of a Python module in which expressions inside functions report their values by position, in
a copy of the module or in its live functions.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

import torch

from keraform.errors import KeraformError
from keraform.verify.kinds import kind_of

HOOK = "keraform_record"  # one name, no leading underscores: those would be mangled inside classes
REPORTED = (
    ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.IfExp,
)  # fmt: skip


class Observer(Protocol):
    """Whom expressions report to."""

    def site(self, position: str) -> int | None:
        """The number under which an expression reports; None where it need not."""

    def report(self, site: int, value: Any) -> Any:
        """Gives the value back."""


class Recorder:
    """Collects kinds by position; positions are `line:col:end_line:end_col`, lines from 1, columns
    in characters from 0.
    """

    def __init__(self) -> None:
        self.positions: list[str] = []
        self.kinds: list[set[str]] = []

    def site(self, position: str) -> int:
        self.positions.append(position)
        self.kinds.append(set())
        return len(self.positions) - 1

    def report(self, site: int, value: Any) -> Any:
        kind = kind_of(value)
        if kind is not None:
            self.kinds[site].add(kind)
        return value


class _Instrument(ast.NodeTransformer):
    def __init__(self, observer: Observer, source: str) -> None:
        self.observer = observer
        self.lines = [line.encode() for line in source.splitlines()]
        self.depth = 0

    def _column(self, line: int | None, column: int | None) -> int:
        return len(self.lines[(line or 1) - 1][:column].decode())

    def _position(self, node: ast.expr) -> str:
        start = self._column(node.lineno, node.col_offset)
        end = self._column(node.end_lineno, node.end_col_offset)
        return f"{node.lineno}:{start}:{node.end_lineno}:{end}"

    def visit(self, node: Any) -> Any:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return self._function(node)
        if isinstance(node, (ast.JoinedStr, ast.pattern)):
            return node
        if isinstance(node, ast.AnnAssign):
            node.value = self.visit(node.value) if node.value is not None else None
            self.generic_visit(node.target)
            return node
        if not self.depth or not isinstance(node, REPORTED):
            return self.generic_visit(node)
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or _is_super(node):
            return self.generic_visit(node) if not _is_super(node) else node
        site = self.observer.site(self._position(node))
        inner: Any = self.generic_visit(node)
        if site is None:
            return inner
        call = ast.Call(ast.Name(HOOK, ast.Load()), [ast.Constant(site), inner], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def _function(self, node: Any) -> ast.AST:
        self.depth += 1
        if isinstance(node.body, list):
            node.body = [self.visit(statement) for statement in node.body]
        else:
            node.body = self.visit(node.body)
        self.depth -= 1
        return node


def _is_super(node: ast.AST) -> bool:
    """`super()` and `super`: it finds its class through the calling frame and is no tensor."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id == "super"


@contextmanager
def instrumented(*module_names: str) -> Iterator[dict[str, tuple[ModuleType, Recorder]]]:
    """Run copies of the named modules under their own names; the originals come back at the end.

    Modules that others import from come first. `torch.jit.script` compiles from source text, so it
    is left out here.
    """
    kept = {name: sys.modules.get(name) for name in module_names}
    script, torch.jit.script = torch.jit.script, lambda function, *args, **kwargs: function
    made: dict[str, tuple[ModuleType, Recorder]] = {}
    try:
        for name in module_names:
            made[name] = _load(name)
        yield made
    finally:
        torch.jit.script = script
        for name, module in kept.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def source_path(name: str) -> Path:
    """The source file of a module that can be imported.

    Raises:
        KeraformError: there is none.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise KeraformError(
            expected="an importable module with a source file",
            got=repr(name),
            try_next="python -c 'import transformers; print(transformers.__version__)'",
        )
    return Path(spec.origin)


def _load(name: str) -> tuple[ModuleType, Recorder]:
    path = source_path(name)
    source = path.read_text(encoding="utf-8")
    recorder = Recorder()
    code = instrument(source, str(path), recorder)
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)[HOOK] = recorder.report
    sys.modules[name] = module
    exec(code, vars(module))
    return module, recorder


def instrument(source: str, path: str, observer: Observer) -> CodeType:
    """The code of a file whose expressions report to whatever the hook is when it runs."""
    tree = _Instrument(observer, source).visit(ast.parse(source))
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
