"""A translation that also notes where its lines come from, which rules wrote them, and what kinds
they rest on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import libcst as cst
import libcst.matchers as m

from keraform.translate.expressions import ExpressionTranslator
from keraform.translate.kinds import Kind
from keraform.translate.module import ModuleTranslator
from keraform.translate.rules.record import Code, Refusal
from keraform.translate.source import Source
from keraform.translate.statements import StatementTranslator


@dataclass(slots=True)
class Mapped:
    """A statement of the source: its line, the rules applied to it, and its lines in the port.

    `absorbed` are the statements of its block that became a part of its own expression.
    """

    source_line: int
    rules: dict[str, None] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)
    absorbed: list[Mapped] = field(default_factory=list)


class MappedLine(str):
    """A line of the port that knows the statement it comes from, also when it is indented."""

    __slots__ = ("statement",)
    statement: Mapped

    def __new__(cls, text: str, statement: Mapped) -> MappedLine:
        line = super().__new__(cls, text)
        line.statement = statement
        return line

    def __radd__(self, indent: str) -> MappedLine:
        return MappedLine(f"{indent}{self}", self.statement)


class MappingTranslator(ModuleTranslator):
    """Translates a file to the same text, and keeps a map of it."""

    def __init__(self, source: Source, facts: Mapping[str, str] | None = None):
        super().__init__(source, facts)
        self.mapped: list[Mapped] = []
        self.kinds: dict[str, Kind] = {}
        self.open: list[Mapped] = []
        self.body: list[str] = []
        self.statements = MappingStatements(self)
        self.expressions = MappingExpressions(self)

    def lines(self, body: list[cst.BaseStatement]) -> list[str]:
        """The lines of the file, which are kept until they can be numbered."""
        self.body = super().lines(body)
        return self.body

    def note_rule(self, rule: str) -> None:
        """A rule belongs to the innermost statement."""
        if self.open:
            self.open[-1].rules[rule] = None

    def refuse(self, refusal: Refusal, node: cst.CSTNode, indent: str) -> list[str]:
        """The `raise` in a statement's place is written by the rule that refused."""
        with self.statement_of(node) as statement:
            self.note_rule(refusal.rule)
            return marked(super().refuse(refusal, node, indent), statement)

    @contextmanager
    def statement_of(self, node: cst.CSTNode) -> Iterator[Mapped]:
        """While it lasts, a statement is being translated."""
        statement = Mapped(self.line_of(node))
        self.mapped.append(statement)
        self.open.append(statement)
        try:
            yield statement
        finally:
            self.open.pop()

    def number(self, code: str) -> None:
        """Gives each statement its lines in the finished port. Between the translated lines and
        those of the file, blank lines may have gone, and others have come above.
        """
        written = [(part, line) for line in self.body for part in line.split("\n") if part]
        numbers = [number for number, line in enumerate(code.split("\n"), 1) if line]
        for number, (_, line) in zip(numbers[len(numbers) - len(written) :], written, strict=True):
            if isinstance(line, MappedLine):
                for statement in (line.statement, *line.statement.absorbed):
                    statement.lines.append(number)


class MappingStatements(StatementTranslator):
    """Marks the lines of each statement."""

    module: MappingTranslator

    def lines(self, node: cst.BaseStatement, indent: str, *word: str) -> list[str]:
        """The lines of one statement, those of a block's own lines still to be marked."""
        with self.module.statement_of(node) as statement:
            lines = super().lines(node, indent, *word)
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            return _marked_head(lines, statement, indent)
        if isinstance(node, cst.If) and _is_one_expression(lines):
            for each in m.findall(node, m.SimpleStatementLine()):
                inner = Mapped(self.module.line_of(each), statement.rules)
                statement.absorbed.append(inner)
            self.module.mapped += statement.absorbed
        return marked(lines, statement)


class MappingExpressions(ExpressionTranslator):
    """Notes the kind that each expression is taken for."""

    module: MappingTranslator

    def __call__(self, node: cst.BaseExpression) -> Code:
        """Translates one expression."""
        code = super().__call__(node)
        position = self.module.positions.get(node)
        if position is not None and not code.kind.is_unknown:
            start, end = position.start, position.end
            key = f"{start.line}:{start.column}:{end.line}:{end.column}"
            self.module.kinds[key] = code.kind
        return code


def marked(lines: list[str], statement: Mapped) -> list[str]:
    """The lines of code that no inner statement wrote as those of `statement`."""
    return [
        line if isinstance(line, MappedLine) or not _is_code(line) else MappedLine(line, statement)
        for line in lines
    ]


def _is_code(line: str) -> bool:
    return re.match(r"\s*[^\s#]", line) is not None


def _marked_head(lines: list[str], statement: Mapped, indent: str) -> list[str]:
    """The lines of a definition with its `def` or `class` marked: decorators, docstrings and what
    the translator adds have no line in the source.
    """
    result, inside = [], False
    for line in lines:
        inside = inside or line.startswith((f"{indent}def ", f"{indent}class "))
        result += marked([line], statement) if inside else [line]
        inside = inside and not line.partition("  #")[0].endswith(":")
    return result


def _is_one_expression(lines: list[str]) -> bool:
    """Whether a condition and its block became one statement, `x = kf.cond(...)`."""
    code = [line for line in lines if _is_code(line)]
    plain = not any(isinstance(line, MappedLine) for line in code)
    return bool(code) and plain and not code[0].lstrip().startswith(("if ", "elif "))
