"""Translation of `with` and `try`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.analysis import import_origins
from keraform.translate.comments import leading
from keraform.translate.imports import PACKAGES, STDLIB
from keraform.translate.kinds import CONTEXT, UNKNOWN
from keraform.translate.layout import Doc, doc, statement
from keraform.translate.rules.seams import DROPPED_CONTEXTS
from keraform.translate.rules.torch_names import canonical
from keraform.translate.statements.conditionals import inline
from keraform.translate.statements.scans import assigned_names

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ContextTranslator:
    """Translates blocks that run in a context."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def with_(self, node: cst.With, indent: str) -> list[str]:
        """`with f() as x:`; contexts that only torch has vanish."""
        kept = [self.context(item) for item in node.items if not self.is_dropped(item.item)]
        if not kept:
            return inline(self.module, node.body, indent, "if")
        document: Doc = ("with ",)
        for number, part in enumerate(kept):
            document = doc(document, ", " if number else "", part)
        body = self.module.statements.block(node.body, indent + "    ")
        lines = [indent + statement(doc(document, ":"), indent), *body]
        return lines + [line for item in node.items for line in self.left(item.item, node, indent)]

    def left(self, context: cst.BaseExpression, node: cst.With, indent: str) -> list[str]:
        """What follows a block whose context perhaps is `torch.no_grad()`: its results have no
        gradient then.
        """
        if not isinstance(context, cst.Name):
            return []
        names = self.module.scope.names
        if names.get(context.value) != CONTEXT:
            return []
        results = [n for n in assigned_names(node.body) if n in names and not names[n].is_python]
        self.module.imports.need("keraform.runtime", "gradients")
        return [f"{indent}{name} = gradients.left({context.value}, {name})" for name in results]

    def is_dropped(self, node: cst.BaseExpression) -> bool:
        """Whether a context is of no use in a port."""
        dotted = self.module.dotted(node.func if isinstance(node, cst.Call) else node)
        name = (canonical(dotted) or dotted) if dotted is not None else ""
        return name in DROPPED_CONTEXTS or name.rsplit(".", 1)[-1] in DROPPED_CONTEXTS

    def context(self, item: cst.WithItem) -> Doc:
        """One context with its name."""
        code = self.module.expressions(item.item)
        if item.asname is None:
            return code.doc
        alias = self.module.targets.document(item.asname.name)
        self.module.targets.bind(item.asname.name, UNKNOWN)
        return doc(code.doc, " as ", alias)

    def try_(self, node: cst.Try, indent: str) -> list[str]:
        """`try: ... except: ... else: ... finally: ...`; one that begins with the import of a
        package that ports do not have always goes to its handler.
        """
        if node.handlers and self.imports_unknown(node.body.body[0]):
            return inline(self.module, node.handlers[0].body, indent, "if")
        lines = self.clause("try", node.body, indent)
        for handler in node.handlers:
            head = "except"
            if handler.type is not None:
                head += f" {self.module.expressions(handler.type).text}"
                if handler.name is not None:
                    head += f" as {self.module.text(handler.name.name)}"
            lines += leading(handler.leading_lines, indent)
            lines += self.clause(head, handler.body, indent)
        if node.orelse is not None:
            lines += self.clause("else", node.orelse.body, indent)
        if node.finalbody is not None:
            lines += self.clause("finally", node.finalbody.body, indent)
        return lines

    def imports_unknown(self, node: cst.CSTNode) -> bool:
        """Whether a statement imports a package that ports do not have."""
        if not isinstance(node, cst.SimpleStatementLine):
            return False
        first = node.body[0]
        if not isinstance(first, (cst.Import, cst.ImportFrom)):
            return False
        origins = import_origins(first, self.module.source.module)
        roots = {origin.split(".")[0] for _, origin in origins}
        return bool(roots - STDLIB - PACKAGES - {"torch"})

    def clause(self, head: str, body: cst.BaseSuite, indent: str) -> list[str]:
        """A block with its head."""
        return [f"{indent}{head}:", *self.module.statements.block(body, indent + "    ")]
