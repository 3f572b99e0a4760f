"""Statements of a Python file: their places, and the file's code with a report after each of them
and after each operation.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from keraform.verify.live_code import Codes, codes_of

HOOK = "keraform_observe"  # no leading underscores: those would be mangled inside classes

# Expressions that compute something, and those that only pass values on.
READS = (ast.Name, ast.Attribute)
OPERATIONS = (
    ast.Call, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Subscript, ast.IfExp,
)  # fmt: skip
RESULT = -1  # the site of a statement's own result
PARAMETERS = -2  # the site of what a function was given
STAGES = frozenset({"forward", "call", "__call__"})  # functions that stages begin with
RESULTS = ("value", "test", "iter", "subject")  # the fields that hold it
BLOCKS = ("body", "orelse", "finalbody")


@dataclass(frozen=True)
class Statement:
    """A statement inside a function; compound ones stand for their header.

    Args:
        file: the file's path.
        line: its first line, from 1.
        end: its last line, for compound ones the last line of the header.
        function: the qualified name of the function, such as `TFBertLayer.call`.
        text: its source.
        targets: the names it gives values to; of a function's header its parameters.
    """

    file: str
    line: int
    end: int
    function: str
    text: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """An expression inside a statement; `reads` says that it only passes a value on, `added` that
    it is what `x += value` adds.
    """

    text: str
    reads: bool
    added: bool = False


@dataclass
class Instrumented:
    """A file's code with reports; `statements` and `sites` are what the numbers in them mean."""

    file: str
    tree: ast.Module
    statements: list[Statement] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)

    @cached_property
    def codes(self) -> Codes:
        """The code of each function."""
        return codes_of(compile(self.tree, self.file, "exec", dont_inherit=True))

    def statement_at(self, line: int) -> Statement | None:
        """The innermost statement that covers a line."""
        around = [each for each in self.statements if each.line <= line <= each.end]
        return min(around, key=lambda each: each.end - each.line, default=None)


@lru_cache(maxsize=32)
def instrument(text: str, file: str) -> Instrumented:
    """Puts a report after each statement and around each operation of each function.

    Args:
        text: the source.
        file: its path, as statements name it.
    """
    made = Instrumented(file, ast.parse(text))
    _Instrument(made, text, file).visit(made.tree)
    ast.fix_missing_locations(made.tree)
    return made


class _Instrument(ast.NodeTransformer):
    """Rewrites function bodies; everything else stays as it is."""

    def __init__(self, made: Instrumented, text: str, file: str) -> None:
        self.made = made
        self.file = file
        self.lines = text.splitlines()
        self.bytes = [line.encode() for line in self.lines]
        self.names: list[str] = []
        self.inside = False
        self.current = -1

    # Definitions

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.names.append(node.name)
        inside, self.inside = self.inside, False
        node.body = [self.visit(each) for each in node.body]
        self.inside = inside
        self.names.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.names.append(node.name)
        inside, self.inside = self.inside, True
        current = self.current
        entry = [] if node.name in STAGES else [self._entry(node)]
        body = self._block(node.body)
        start = 1 if ast.get_docstring(node) is not None else 0
        node.body = [*body[:start], *entry, *body[start:]]
        self.inside, self.current = inside, current
        self.names.pop()
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node  # no model has one

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node  # its operations run later, in other statements

    def _entry(self, node: ast.FunctionDef) -> ast.stmt:
        """A report of what the function was given."""
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [each.arg for each in arguments if each.arg not in ("self", "cls")]
        first = node.body[0]
        end = max(node.lineno, _first_line(first) - 1)
        text = "\n".join(self.lines[node.lineno - 1 : end])
        function = ".".join(self.names)
        self.made.statements.append(
            Statement(self.file, node.lineno, end, function, text, tuple(names))
        )
        given = ast.Dict(
            [ast.Constant(name) for name in names], [ast.Name(name, ast.Load()) for name in names]
        )
        number = len(self.made.statements) - 1
        return ast.copy_location(ast.Expr(self._report(PARAMETERS, given, number)), first)

    # Statements

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [made for node in body for made in self._statement(node)]

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            return [self.visit(node)]
        self.current = current = self._register(node)
        for name, value in ast.iter_fields(node):  # headers first, then the blocks below them
            if isinstance(value, ast.expr) and name not in ("target", "annotation"):
                setattr(node, name, self._value(node, name, value))
        for item in getattr(node, "items", ()):
            item.context_expr = self.visit(item.context_expr)
        after = self._after(node, current)
        for holder in (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            for name in BLOCKS:
                if isinstance(getattr(holder, name, None), list):
                    setattr(holder, name, self._block(getattr(holder, name)))
        return [node, *after]

    def _value(self, node: ast.stmt, name: str, value: ast.expr) -> ast.expr:
        site = len(self.made.sites)
        visited = self.visit(value)
        if isinstance(node, ast.AugAssign) and len(self.made.sites) > site:
            self.made.sites[site] = replace(self.made.sites[site], added=True)
        docstring = isinstance(node, ast.Expr) and isinstance(value, ast.Constant)
        if docstring or name not in RESULTS or _changes_in_place(node):
            return visited
        return self._report(RESULT, visited)

    def _after(self, node: ast.stmt, current: int) -> list[ast.stmt]:
        """Reports of what a statement changed in place."""
        changed: list[ast.expr] = []
        if isinstance(node, ast.AugAssign):
            changed.append(_base(node.target))
        elif isinstance(node, ast.Assign):
            changed += [_base(each) for each in node.targets if isinstance(each, ast.Subscript)]
        reports: list[ast.stmt] = []
        for each in changed:
            if isinstance(each, ast.Name | ast.Attribute):
                value = ast.parse(ast.unparse(each), mode="eval").body
                report = ast.Expr(self._report(RESULT, value, current))
                reports.append(ast.copy_location(report, node))
        return reports

    def _register(self, node: ast.stmt) -> int:
        body = getattr(node, "body", None)
        end = node.end_lineno or node.lineno
        if isinstance(body, list) and body:
            end = max(node.lineno, min(end, _first_line(body[0]) - 1))
        text = "\n".join(self.lines[node.lineno - 1 : end])
        self.made.statements.append(
            Statement(
                self.file, node.lineno, end, ".".join(self.names), text, tuple(_targets(node))
            )
        )
        return len(self.made.statements) - 1

    # Expressions

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not self.inside:
            return super().generic_visit(node)
        if isinstance(node, ast.JoinedStr | ast.pattern) or _is_super(node):
            return node
        loads = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if not isinstance(node, OPERATIONS + READS) or not loads:
            return super().generic_visit(node)
        site = len(self.made.sites)
        self.made.sites.append(Site(self._text(node), isinstance(node, READS)))
        inner = super().generic_visit(node)
        assert isinstance(inner, ast.expr)
        return self._report(site, inner)

    def _text(self, node: ast.AST) -> str:
        """The source of an expression, of a long one its first line."""
        assert isinstance(node, ast.expr)
        end = node.end_col_offset if node.end_lineno == node.lineno else None
        return self.bytes[node.lineno - 1][node.col_offset : end].decode(errors="replace")

    def _report(self, site: int, value: ast.expr, statement: int | None = None) -> ast.Call:
        number = self.current if statement is None else statement
        call = ast.Call(
            ast.Name(HOOK, ast.Load()),
            [ast.Constant(self.file), ast.Constant(number), ast.Constant(site), value],
            [],
        )
        return ast.copy_location(call, value)


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])


def _changes_in_place(node: ast.stmt) -> bool:
    """Whether the result of a statement is what its target holds afterwards."""
    return isinstance(node, ast.AugAssign) or (
        isinstance(node, ast.Assign) and any(isinstance(t, ast.Subscript) for t in node.targets)
    )


def _base(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _targets(node: ast.stmt) -> list[str]:
    """The names that a statement binds or changes."""
    given: list[ast.expr] = list(getattr(node, "targets", ()))
    if isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For):
        given.append(node.target)
    found: list[str] = []
    for each in given:
        parts = each.elts if isinstance(each, ast.Tuple | ast.List) else [each]
        found += [ast.unparse(_base(part)) for part in parts]
    return found


def _is_super(node: ast.AST) -> bool:
    """`super()` and `super`: it finds its class through the calling frame."""
    called = node.func if isinstance(node, ast.Call) else node
    return isinstance(called, ast.Name) and called.id == "super"
