"""The door of statements: blocks, and which translator takes which sort of statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.comments import leading
from keraform.translate.definitions import (
    ClassDefinitionTranslator,
    FunctionDefinitionTranslator,
)
from keraform.translate.rules.record import Refusal
from keraform.translate.statements.conditionals import ConditionalTranslator
from keraform.translate.statements.contexts import ContextTranslator
from keraform.translate.statements.loops import LoopTranslator
from keraform.translate.statements.simple import SimpleStatementTranslator

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class StatementTranslator:
    """Translates blocks of statements."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.simple = SimpleStatementTranslator(module)
        self.left = False  # whether a condition that always holds has just left the block
        loops = LoopTranslator(module)
        contexts = ContextTranslator(module)
        self.handlers: dict[type, Callable[..., list[str]]] = {
            cst.SimpleStatementLine: self.simple.line,
            cst.If: ConditionalTranslator(module).if_,
            cst.For: loops.for_,
            cst.While: loops.while_,
            cst.With: contexts.with_,
            cst.Try: contexts.try_,
            cst.FunctionDef: FunctionDefinitionTranslator(module).function,
            cst.ClassDef: ClassDefinitionTranslator(module).class_,
        }

    def block(self, body: cst.BaseSuite, indent: str) -> list[str]:
        """The lines of an indented block; `pass` where nothing remains."""
        lines: list[str] = []
        if isinstance(body, cst.SimpleStatementSuite):
            for small in body.body:
                lines.extend(self.simple.statement(small, indent, ""))
        else:
            assert isinstance(body, cst.IndentedBlock)
            comment = body.header.comment
            if comment is not None:
                lines.append(indent + comment.value)
            for node in body.body:
                self.left = False
                lines.extend(self.statement(node, indent))
                if self.left:
                    break  # the rest of the block is never reached
            self.left = False
            lines.extend(leading(body.footer, indent))
        if not any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            lines.append(f"{indent}pass")
        return lines

    def statement(self, node: cst.BaseStatement, indent: str) -> list[str]:
        """The lines of one statement; a refusal becomes a `raise` in its place."""
        head = leading(getattr(node, "leading_lines", ()), indent)
        self.module.comments.pending = []
        try:
            lines = self.lines(node, indent)
        except Refusal as refusal:
            lines = self.module.refuse(refusal, node, indent)
        comments = [indent + comment for comment in self.module.comments.take()]
        if not lines and not comments:
            return [line for line in head if line.strip()]
        return [*head, *comments, *lines]

    def lines(self, node: cst.BaseStatement, indent: str, *word: str) -> list[str]:
        """The lines of one statement without what stands above it; `word` is `elif` for an `if`
        that goes on with another.
        """
        handler = self.handlers.get(type(node))
        if handler is None:
            raise Refusal("python", f"no translation for {type(node).__name__}")
        return handler(node, indent, *word)
