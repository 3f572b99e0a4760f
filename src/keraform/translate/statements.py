"""Translation of statements into lines of text, with their comments and blank lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.expressions import BINARY
from keraform.translate.kinds import BOOL, DEVICE, UNKNOWN, Kind, join
from keraform.translate.layout import WIDTH, Doc, Group, Item, doc, flat, statement
from keraform.translate.rules import idioms
from keraform.translate.rules.methods import METHODS
from keraform.translate.rules.record import Code, Refusal
from keraform.translate.rules.seams import DROPPED_CALLS, DROPPED_CONTEXTS, HOOKS
from keraform.translate.rules.torch_names import canonical
from keraform.translate.scans import ScanTranslator

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

AUGMENTED = {
    cst.AddAssign: cst.Add,
    cst.SubtractAssign: cst.Subtract,
    cst.MultiplyAssign: cst.Multiply,
    cst.DivideAssign: cst.Divide,
    cst.FloorDivideAssign: cst.FloorDivide,
    cst.ModuloAssign: cst.Modulo,
    cst.PowerAssign: cst.Power,
    cst.MatrixMultiplyAssign: cst.MatrixMultiply,
    cst.BitAndAssign: cst.BitAnd,
    cst.BitOrAssign: cst.BitOr,
    cst.BitXorAssign: cst.BitXor,
    cst.LeftShiftAssign: cst.LeftShift,
    cst.RightShiftAssign: cst.RightShift,
}


# In-place methods of weights as functions of `keraform.runtime.init`, and the methods of a module
# where they mean that.
INITIALISERS = {
    "normal_": "normal_",
    "uniform_": "uniform_",
    "zero_": "zeros_",
    "fill_": "constant_",
    "copy_": "copy_",
}
INITIALISING = frozenset({"_init_weights", "init_weights", "reset_parameters"})


class StatementTranslator:
    """Translates blocks of statements."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.scans = ScanTranslator(module)

    # Blocks

    def block(self, body: cst.BaseSuite, indent: str) -> list[str]:
        """The lines of an indented block; `pass` where nothing remains."""
        lines: list[str] = []
        if isinstance(body, cst.SimpleStatementSuite):
            for small in body.body:
                lines.extend(self.small(small, indent, ""))
        else:
            assert isinstance(body, cst.IndentedBlock)
            comment = body.header.comment
            if comment is not None:
                lines.append(indent + comment.value)
            for node in body.body:
                lines.extend(self.statement(node, indent))
            lines.extend(self.leading(body.footer, indent))
        if not any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            lines.append(f"{indent}pass")
        return lines

    def leading(self, empty_lines: object, indent: str) -> list[str]:
        """Blank lines and comments above a statement."""
        result = []
        for line in empty_lines:  # type: ignore[attr-defined]
            result.append(indent + line.comment.value if line.comment is not None else "")
        return result

    def statement(self, node: cst.BaseStatement, indent: str) -> list[str]:
        """The lines of one statement; a refusal becomes a `raise` in its place."""
        head = self.leading(getattr(node, "leading_lines", ()), indent)
        self.module.pending = []
        try:
            lines = self.dispatch(node, indent)
        except Refusal as refusal:
            lines = self.module.refuse(refusal, node, indent)
        comments = [indent + comment for comment in self.module.take_comments()]
        if not lines and not comments:
            return [line for line in head if line.strip()]
        return [*head, *comments, *lines]

    def dispatch(self, node: cst.BaseStatement, indent: str) -> list[str]:
        if isinstance(node, cst.SimpleStatementLine):
            trailing = node.trailing_whitespace.comment
            suffix = f"  {trailing.value}" if trailing is not None else ""
            lines: list[str] = []
            for small in node.body:
                lines.extend(self.small(small, indent, suffix))
            return lines
        handler = {
            cst.If: self.if_,
            cst.For: self.for_,
            cst.While: self.while_,
            cst.With: self.with_,
            cst.Try: self.try_,
            cst.FunctionDef: self.module.definitions.function,
            cst.ClassDef: self.module.definitions.class_,
        }.get(type(node))
        if handler is None:
            raise Refusal("python", f"no translation for {type(node).__name__}")
        return handler(node, indent)  # type: ignore[operator]

    # Simple statements

    def small(self, node: cst.BaseSmallStatement, indent: str, suffix: str) -> list[str]:
        """The lines of a simple statement."""
        document = self.small_doc(node)
        if document is None:
            return []
        text = statement(document, indent)
        first, *rest = text.split("\n")
        if suffix and len(indent) + len(first) + len(suffix) > 119 and "\n" not in text:
            return [indent + suffix.strip(), indent + text]
        return [
            indent + first + (suffix if not rest else ""),
            *rest[:-1],
            *([rest[-1] + suffix] if rest else []),
        ]

    def small_doc(self, node: cst.BaseSmallStatement) -> Doc | None:
        module = self.module
        if isinstance(node, cst.Expr):
            return self.expression(node.value)
        if isinstance(node, cst.Assign):
            return self.assign(node)
        if isinstance(node, cst.AnnAssign):
            return self.annotated(node)
        if isinstance(node, cst.AugAssign):
            return self.augmented(node)
        if isinstance(node, cst.Return):
            if node.value is None:
                return ("return",)
            code = module.expressions(node.value)
            module.returns.append(code.kind)
            return doc(
                "return ",
                code.doc
                if code.precedence == 0 and not code.parenthesized
                else code.whole
                if not _redundant(code)
                else code.doc,
            )
        if isinstance(node, cst.Raise):
            if node.exc is None:
                return ("raise",)
            code = module.expressions(node.exc)
            cause = doc(" from ", module.expressions(node.cause.item).doc) if node.cause else ()
            return doc("raise ", code.doc, cause)
        if isinstance(node, cst.Assert):
            module.symbolic = False
            test = module.expressions(node.test)
            if module.symbolic or test.kind.is_tensor:
                return None
            message = doc(", ", module.expressions(node.msg).doc) if node.msg else ()
            return doc("assert ", test.whole, message)
        if isinstance(node, (cst.Import, cst.ImportFrom)):
            module.collect_import(node)
            return None
        if isinstance(node, cst.Del):
            return doc("del ", module.expressions(node.target).doc)
        return (module.text(node).rstrip(";").strip(),)

    def expression(self, node: cst.BaseExpression) -> Doc | None:
        """An expression statement: docstrings, in-place methods, calls."""
        module = self.module
        if isinstance(node, (cst.SimpleString, cst.ConcatenatedString)):
            return (module.text(node),)
        if isinstance(node, cst.Call):
            dotted = module.dotted(node.func)
            if dotted is not None:
                name = canonical(dotted) or dotted
                if name in DROPPED_CALLS or name.rsplit(".", 1)[-1] in DROPPED_CALLS:
                    return None
            document = self.hook(node) if isinstance(node.func, cst.Attribute) else None
            if document is not None:
                return document or None
            document = self.in_place(node)
            if document is not None:
                return document
        code = module.expressions(node)
        return None if code.kind == DEVICE else code.doc

    def hook(self, node: cst.Call) -> Doc | None:
        """Statements about a module that have a Keras form, or none (an empty document)."""
        assert isinstance(node.func, cst.Attribute)
        name = node.func.attr.value
        if name in HOOKS:
            return ()
        if name == "requires_grad_":
            value = self.module.expressions(node.args[0].value).doc if node.args else ("True",)
            return doc(self.module.expressions(node.func.value).operand(), ".trainable = ", value)
        return None

    def in_place(self, node: cst.Call) -> Doc | None:
        """`x.add_(y)` as a statement binds the new tensor to `x`."""
        module, func = self.module, node.func
        if (
            not isinstance(func, cst.Attribute)
            or not func.attr.value.endswith("_")
            or func.attr.value.endswith("__")
        ):
            return None
        name = func.attr.value[:-1]
        target = func.value
        initialiser = INITIALISERS.get(func.attr.value)
        if (
            initialiser is not None
            and module.scope.function is not None
            and module.scope.function.name.value in INITIALISING
        ):
            if module.dotted(func) is None and isinstance(target, (cst.Attribute, cst.Subscript)):
                return module.calls.initialise(
                    initialiser, node.with_changes(args=[cst.Arg(target), *node.args])
                ).doc
        if module.dotted(func) is not None or (name not in METHODS and name not in idioms.METHODS):
            return None
        receiver = module.expressions(target)
        if not (receiver.kind.is_tensor or receiver.kind.is_unknown) or name == "requires_grad":
            return None
        code = module.calls.tensor_method(receiver, name, module.calls.arguments(node), node)
        root = _chain_root(target)
        return module.subscripts.rebind(
            root, receiver if root is target else module.expressions(root), code.doc
        )

    def assign(self, node: cst.Assign) -> Doc | None:
        module = self.module
        targets = [t.target for t in node.targets]
        first = targets[0]
        if (
            isinstance(first, cst.Name)
            and first.value == "__all__"
            and module.scope.function is None
        ):
            return self.public_names(node)
        attribute = self.own_attribute(first)
        if (
            attribute is not None
            and len(targets) == 1
            and module.scope.owner is not None
            and module.scope.owner.is_layer
        ):
            module.scope.assigning = attribute
        if isinstance(first, cst.Tuple):
            module.unpacking = str(len(first.elements))
        try:
            value = module.expressions(node.value)
        finally:
            module.scope.assigning = None
            module.unpacking = None
        if value.kind == DEVICE:
            for target in targets:
                module.bind_target(target, DEVICE)
            return None
        if (
            len(targets) == 1
            and isinstance(first, cst.Subscript)
            and isinstance(first.value, cst.Attribute)
            and first.value.attr.value == "_modules"
        ):
            index = module.subscripts.elements(first)[0].document
            module.imports.need("keraform.runtime", "tree")
            owner = module.expressions(first.value.value).doc
            return doc(
                "tree.replace_child", Group("(", [Item(owner), Item(index), Item(value.doc)], ")")
            )
        if len(targets) == 1 and isinstance(first, cst.Subscript):
            update = module.subscripts.assign(first, value)
            if update is not None:
                return update
        if isinstance(first, cst.Attribute) and first.attr.value == "requires_grad":
            return doc(module.expressions(first.value).operand(), ".trainable = ", value.doc)
        document: Doc = ()
        for target in targets:
            module.bind_target(target, value.kind)
            document = doc(document, module.target_doc(target), " = ")
        if isinstance(first, cst.Name) and len(targets) == 1 and value.text == first.value:
            return None  # `x = x.to(device)`
        return doc(
            document, value.doc if value.precedence == 0 or _redundant(value) else value.whole
        )

    def public_names(self, node: cst.Assign) -> Doc:
        """`__all__`: the classes of the file by the names that they have in the port."""
        code = self.module.expressions(node.value)
        for part in code.doc:
            for item in part.items if isinstance(part, Group) else ():
                name = flat(item.doc).strip("\"'")
                if name in self.module.classes:
                    item.doc = (f'"{self.module.classes[name].port_name}"',)
        return doc("__all__ = ", code.doc)

    def own_attribute(self, target: cst.BaseExpression) -> str | None:
        """The name of `self.name`."""
        if (
            isinstance(target, cst.Attribute)
            and isinstance(target.value, cst.Name)
            and target.value.value == self.module.scope.self_name
        ):
            return target.attr.value
        return None

    def annotated(self, node: cst.AnnAssign) -> Doc | None:
        module = self.module
        annotation = module.annotation(node.annotation.annotation)
        if node.value is None:
            return doc(module.target_doc(node.target), f": {annotation}")
        attribute = self.own_attribute(node.target)
        if attribute is not None:
            module.scope.assigning = attribute
        try:
            value = module.expressions(node.value)
        finally:
            module.scope.assigning = None
        known = module.kind_of_annotation(node.annotation.annotation)
        module.bind_target(node.target, value.kind if not value.kind.is_unknown else known)
        return doc(
            module.target_doc(node.target),
            f": {annotation} = ",
            value.doc if _redundant(value) else value.whole,
        )

    def augmented(self, node: cst.AugAssign) -> Doc | None:
        module = self.module
        symbol, _, function = BINARY[AUGMENTED[type(node.operator)]]
        value = module.expressions(node.value)
        if isinstance(node.target, cst.Subscript):
            document = module.subscripts.assign(node.target, value, symbol)
            if document is not None:
                return document
        target = module.expressions(node.target)
        kind = module.expressions.binary_kind(symbol, target.kind, value.kind)
        if target.kind.is_tensor:
            module.stats.operations += 1
        if module.expressions.needs_function(symbol, target.kind, value.kind):
            function = module.expressions.function_for(symbol, function, target.kind, value.kind)
            update = module.calls.ops_call(function, [target, value], kind)
            module.bind_target(node.target, kind)
            return doc(module.target_doc(node.target), " = ", update.doc)
        module.bind_target(node.target, kind)
        return doc(module.target_doc(node.target), f" {symbol}= ", value.doc)

    # Compound statements

    def if_(self, node: cst.If, indent: str, word: str = "if") -> list[str]:
        module = self.module
        module.symbolic = False
        saved_pending = module.take_comments()
        test = module.expressions(node.test)
        symbolic = module.symbolic or test.kind.is_tensor
        module.pending = [*saved_pending, *module.pending]
        constant = module.constant(test.text)
        if constant is None and symbolic and node.orelse is None and _only_raises(node.body):
            return []
        if constant is None and symbolic and word == "if":
            branch = self.branch(node)
            if branch is not None:
                return (indent + statement(branch, indent)).split("\n")
        if constant is True:
            return self.inline(node.body, indent, word)
        if constant is False:
            return self.otherwise(node.orelse, indent, word)
        before = dict(module.scope.names)
        head = statement(
            doc(f"{word} ", test.doc if not _breaks(test, indent + word) else test.operand(), ":"),
            indent,
        )
        comments = [indent + c for c in module.take_comments()]
        lines = [*comments, *(indent + head).split("\n")]
        trailing = node.body.header.comment if isinstance(node.body, cst.IndentedBlock) else None
        if trailing is not None and len(lines[-1]) + len(trailing.value) + 2 <= 119:
            lines[-1] += f"  {trailing.value}"
            body = self.block(
                node.body.with_changes(header=cst.TrailingWhitespace()), indent + "    "
            )
        else:
            body = self.block(node.body, indent + "    ")
        after_body = module.scope.names
        module.scope.names = dict(before)
        rest = self.otherwise(node.orelse, indent, "elif") if node.orelse is not None else []
        if _leaves(node.body):
            pass
        elif (
            node.orelse is not None
            and isinstance(node.orelse, cst.Else)
            and _leaves(node.orelse.body)
        ):
            module.scope.names = after_body
        else:
            module.scope.names = _join(after_body, module.scope.names)
        return [*lines, *body, *rest]

    def branch(self, node: cst.If) -> Doc | None:
        """A condition on sizes that decides between two tensors, as one expression; None for other
        forms.
        """
        module = self.module
        body = _only_statement(node.body)
        other = _only_statement(node.orelse.body) if isinstance(node.orelse, cst.Else) else None
        if (
            isinstance(body, cst.Return)
            and isinstance(other, cst.Return)
            and body.value
            and other.value
        ):
            head: Doc = ("return ",)
            values = [module.expressions(body.value), module.expressions(other.value)]
        elif isinstance(body, cst.Assign) and isinstance(body.targets[0].target, cst.Name):
            name = body.targets[0].target
            if isinstance(other, cst.Assign) and other.targets[0].target.deep_equals(name):
                last = other.value
            elif node.orelse is None and name.value in module.scope.names:
                last = name
            else:
                return None
            head = (f"{name.value} = ",)
            values = [module.expressions(body.value), module.expressions(last)]
            module.bind_target(name, values[0].kind)
        else:
            return None
        if not any(v.kind.is_tensor for v in values) or any(v.kind.is_python for v in values):
            return None
        module.imports.need("keraform.runtime", "ops", "kf")
        module.graph_test = True
        test = module.expressions(node.test)
        module.graph_test = False
        items = [Item(test.doc), *(Item(doc("lambda: ", v.doc)) for v in values)]
        return doc(head, "kf.cond", Group("(", items, ")"))

    def otherwise(self, node: cst.If | cst.Else | None, indent: str, word: str) -> list[str]:
        """What follows a condition; with `word` "if", the first condition is gone."""
        if node is None:
            return []
        head = self.leading(node.leading_lines, indent)
        if isinstance(node, cst.If):
            lines = self.if_(node, indent, word)
            first = next(
                (
                    line.strip()
                    for line in lines
                    if line.strip() and not line.lstrip().startswith("#")
                ),
                "",
            )
            if word == "elif" and lines and not first.startswith(("elif ", "else:")):
                lines = [
                    f"{indent}else:",
                    *("    " + line if line.strip() else line for line in lines),
                ]
            return [*head, *lines] if lines else []
        if word == "if":
            return [*head, *self.inline(node.body, indent, "if")]
        body = self.block(node.body, indent + "    ")
        if [line.strip() for line in body] == ["pass"]:
            return []
        return [*head, f"{indent}else:", *body]

    def inline(self, body: cst.BaseSuite, indent: str, word: str) -> list[str]:
        """A block whose condition is always true."""
        lines = self.block(body, indent if word == "if" else indent + "    ")
        if [line.strip() for line in lines] == ["pass"]:
            return []
        return lines if word == "if" else [f"{indent}else:", *lines]

    def for_(self, node: cst.For, indent: str) -> list[str]:
        module = self.module
        scanned = self.scans.translate(node, indent)
        if scanned is not None:
            return scanned
        iterable = module.expressions(node.iter)
        module.bind_target(node.target, module.expressions.element_kind(iterable))
        head = statement(
            doc("for ", module.target_doc(node.target), " in ", iterable.whole, ":"), indent
        )
        before = dict(module.scope.names)
        lines = [*(indent + head).split("\n"), *self.block(node.body, indent + "    ")]
        module.scope.names = _join(before, module.scope.names)
        if node.orelse is not None:
            lines += [f"{indent}else:", *self.block(node.orelse.body, indent + "    ")]
        return lines

    def while_(self, node: cst.While, indent: str) -> list[str]:
        test = self.module.expressions(node.test)
        head = statement(doc("while ", test.whole, ":"), indent)
        return [*(indent + head).split("\n"), *self.block(node.body, indent + "    ")]

    def with_(self, node: cst.With, indent: str) -> list[str]:
        module = self.module
        kept = []
        for item in node.items:
            call = item.item
            dotted = module.dotted(call.func if isinstance(call, cst.Call) else call)
            name = (canonical(dotted) or dotted) if dotted is not None else ""
            if name in DROPPED_CONTEXTS or name.rsplit(".", 1)[-1] in DROPPED_CONTEXTS:
                continue
            code = module.expressions(call)
            alias = doc(" as ", module.target_doc(item.asname.name)) if item.asname else ()
            if item.asname is not None:
                module.bind_target(item.asname.name, UNKNOWN)
            kept.append(doc(code.doc, alias))
        if not kept:
            return self.inline(node.body, indent, "if")
        document: Doc = ("with ",)
        for number, part in enumerate(kept):
            document = doc(document, ", " if number else "", part)
        return [
            indent + statement(doc(document, ":"), indent),
            *self.block(node.body, indent + "    "),
        ]

    def try_(self, node: cst.Try, indent: str) -> list[str]:
        lines = [f"{indent}try:", *self.block(node.body, indent + "    ")]
        for handler in node.handlers:
            head = "except"
            if handler.type is not None:
                head += f" {self.module.expressions(handler.type).text}"
                if handler.name is not None:
                    head += f" as {self.module.text(handler.name.name)}"
            lines += [
                *self.leading(handler.leading_lines, indent),
                f"{indent}{head}:",
                *self.block(handler.body, indent + "    "),
            ]
        if node.orelse is not None:
            lines += [f"{indent}else:", *self.block(node.orelse.body, indent + "    ")]
        if node.finalbody is not None:
            lines += [f"{indent}finally:", *self.block(node.finalbody.body, indent + "    ")]
        return lines


def _chain_root(target: cst.BaseExpression) -> cst.BaseExpression:
    """`x` in `x.mul_(2).clamp_(min=0)`: what a chain of in-place methods writes to."""
    while (
        isinstance(target, cst.Call)
        and isinstance(target.func, cst.Attribute)
        and target.func.attr.value.endswith("_")
    ):
        target = target.func.value
    return target


def _only_raises(body: cst.BaseSuite) -> bool:
    statements = body.body
    if isinstance(body, cst.IndentedBlock):
        return all(
            isinstance(s, cst.SimpleStatementLine)
            and all(isinstance(x, (cst.Raise, cst.Assert)) for x in s.body)
            for s in statements
        )
    return all(isinstance(s, (cst.Raise, cst.Assert)) for s in statements)


def _only_statement(body: cst.BaseSuite) -> cst.BaseSmallStatement | None:
    """The statement of a block that has just one simple one."""
    statements = body.body
    if (
        isinstance(body, cst.IndentedBlock)
        and len(statements) == 1
        and isinstance(statements[0], cst.SimpleStatementLine)
    ):
        statements = statements[0].body
    return (
        statements[0]
        if len(statements) == 1 and isinstance(statements[0], cst.BaseSmallStatement)
        else None
    )


def _leaves(body: cst.BaseSuite) -> bool:
    """Whether a block ends by leaving the function or loop."""
    last = body.body[-1]
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise, cst.Continue, cst.Break))


def _join(a: dict[str, Kind], b: dict[str, Kind]) -> dict[str, Kind]:
    result = {name: join(kind, b[name]) if name in b else kind for name, kind in a.items()}
    return result | {name: kind for name, kind in b.items() if name not in a}


def _redundant(code: Code) -> bool:
    """Whether parentheses of the source only served to break a long line."""
    return code.parenthesized and code.precedence >= 0


def _breaks(code: Code, head: str) -> bool:
    """Whether `head code:` needs parentheses to stand on several lines."""
    return len(f"{head} {flat(code.doc)}:") > WIDTH and code.precedence < 14


__all__ = ["BOOL", "Group", "Item", "StatementTranslator"]
