"""Translation of `if`: conditions known in a port are folded, those that a graph evaluates become
`kf.cond`.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.analysis import import_origins
from keraform.translate.comments import leading
from keraform.translate.expressions.conditions import constant
from keraform.translate.kinds import NONE, UNAVAILABLE
from keraform.translate.layout import WIDTH, Doc, called, doc, flat, statement
from keraform.translate.rules.record import Code
from keraform.translate.scope import join_names
from keraform.translate.uses import narrowed

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ConditionalTranslator:
    """Translates `if`, `elif` and `else`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def if_(self, node: cst.If, indent: str, word: str = "if") -> list[str]:
        """The lines of a condition and what follows it; `word` is `if` or `elif`."""
        module = self.module
        outer = module.comments.take()
        test, symbolic = module.expressions.conditions.test(node.test)
        module.comments.pending[:0] = outer
        value = constant(test.text)
        if value is None and symbolic and node.orelse is None and _only_raises(node.body):
            return []
        if value is None and symbolic and word == "if":
            branch = self.branch(node)
            if branch is not None:
                return (indent + statement(branch, indent)).split("\n")
        if value is not None:
            if value:
                lines = inline(module, node.body, indent, word)
                module.statements.left = word == "if" and _leaves(node.body)
                return lines
            lines = self.otherwise(node.orelse, indent, word)
            for name in _imported(module, node.body):
                if module.scope.names.get(name) == NONE:
                    module.scope.names[name] = UNAVAILABLE
            return lines
        before = dict(module.scope.names)
        told = narrowed(node.test)
        module.scope.names.update(told)
        lines = self.first_branch(node, test, indent, word)
        after_body = module.scope.names
        for name, kind in told.items():
            if after_body.get(name) is kind and name in before:
                after_body[name] = before[name]
        module.scope.names = before
        lines += self.otherwise(node.orelse, indent, "elif")
        if _leaves(node.body):
            return lines
        if isinstance(node.orelse, cst.Else) and _leaves(node.orelse.body):
            module.scope.names = after_body
        else:
            module.scope.names = join_names(after_body, module.scope.names)
        return lines

    def first_branch(self, node: cst.If, test: Code, indent: str, word: str) -> list[str]:
        """The lines of a condition and its block."""
        module, body = self.module, node.body
        condition = test.operand() if _breaks(test, indent + word) else test.doc
        head = (indent + statement(doc(f"{word} ", condition, ":"), indent)).split("\n")
        comments = [indent + comment for comment in module.comments.take()]
        trailing = body.header.comment if isinstance(body, cst.IndentedBlock) else None
        if trailing is not None and len(head[-1]) + len(trailing.value) + 2 <= WIDTH:
            head[-1] += f"  {trailing.value}"
            body = body.with_changes(header=cst.TrailingWhitespace())
        return [*comments, *head, *module.statements.block(body, indent + "    ")]

    def branch(self, node: cst.If) -> Doc | None:
        """A condition on sizes that decides between two tensors, as one expression; None for other
        forms.
        """
        module = self.module
        body = _only_statement(node.body)
        other = _only_statement(node.orelse.body) if isinstance(node.orelse, cst.Else) else None
        if isinstance(body, cst.Return):
            if not isinstance(other, cst.Return) or not body.value or not other.value:
                return None
            head = "return "
            values = [module.expressions(body.value), module.expressions(other.value)]
        elif isinstance(body, cst.Assign) and isinstance(body.targets[0].target, cst.Name):
            name = body.targets[0].target
            if isinstance(other, cst.Assign) and other.targets[0].target.deep_equals(name):
                last = other.value
            elif node.orelse is None and name.value in module.scope.names:
                last = name
            else:
                return None
            head = f"{name.value} = "
            values = [module.expressions(body.value), module.expressions(last)]
            module.targets.bind(name, values[0].kind)
        else:
            return None
        if not any(v.kind.is_tensor for v in values) or any(v.kind.is_python for v in values):
            return None
        module.imports.need("keraform.runtime", "ops", "kf")
        test = module.expressions.conditions.graph_test(node.test)
        module.note_rule("kf.cond")
        branches = [doc("lambda: ", value.doc) for value in values]
        return doc(head, called("kf.cond", test.doc, *branches))

    def otherwise(self, node: cst.If | cst.Else | None, indent: str, word: str) -> list[str]:
        """What follows a condition; with `word` "if", the first condition is gone."""
        if node is None:
            return []
        head = leading(node.leading_lines, indent)
        if isinstance(node, cst.If):
            lines = self.module.statements.lines(node, indent, word)
            if word == "elif" and lines and not _continues(lines):
                lines = [f"{indent}else:", *("    " + s if s.strip() else s for s in lines)]
            return [*head, *lines] if lines else []
        if word == "if":
            return [*head, *inline(self.module, node.body, indent, "if")]
        lines = inline(self.module, node.body, indent, "elif")
        return [*head, *lines] if lines else []


def inline(module: ModuleTranslator, body: cst.BaseSuite, indent: str, word: str) -> list[str]:
    """A block whose condition is always true; after other conditions it is their `else`."""
    lines = module.statements.block(body, indent if word == "if" else indent + "    ")
    if [line.strip() for line in lines] == ["pass"]:
        return []
    return lines if word == "if" else [f"{indent}else:", *lines]


def _imported(module: ModuleTranslator, body: cst.BaseSuite) -> list[str]:
    """The names that the imports of a block bind."""
    statements = [node.body for node in body.body if isinstance(node, cst.SimpleStatementLine)]
    return [
        name
        for small in chain(*statements)
        if isinstance(small, (cst.Import, cst.ImportFrom))
        for name, _ in import_origins(small, module.source.module)
    ]


def _continues(lines: list[str]) -> bool:
    """Whether the first line of code goes on with the conditions above."""
    code = (line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return next(code, "").startswith(("elif ", "else:"))


def _only_raises(body: cst.BaseSuite) -> bool:
    """Whether a block only checks."""
    return all(
        isinstance(small, (cst.Raise, cst.Assert))
        for node in body.body
        for small in (node.body if isinstance(node, cst.SimpleStatementLine) else [node])
    )


def _only_statement(body: cst.BaseSuite) -> cst.BaseSmallStatement | None:
    """The statement of a block that has just one simple one."""
    statements = body.body
    if len(statements) == 1 and isinstance(statements[0], cst.SimpleStatementLine):
        statements = statements[0].body
    if len(statements) == 1 and isinstance(statements[0], cst.BaseSmallStatement):
        return statements[0]
    return None


def _leaves(body: cst.BaseSuite) -> bool:
    """Whether a block ends by leaving the function or loop."""
    last = body.body[-1]
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise, cst.Continue, cst.Break))


def _breaks(code: Code, head: str) -> bool:
    """Whether `head code:` needs parentheses to stand on several lines."""
    return len(f"{head} {flat(code.doc)}:") > WIDTH and code.precedence < 14
