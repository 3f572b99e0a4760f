"""Translation of functions and classes, and the short wrapper that turns a main layer into a Keras
model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DEVICE, DICT, TUPLE, UNKNOWN, Kind
from keraform.translate.layout import Doc, Group, Item, doc, flat, statement
from keraform.translate.rules.record import Refusal
from keraform.translate.rules.seams import DROPPED_DECORATORS
from keraform.translate.rules.torch_names import canonical
from keraform.translate.scope import ClassInfo, Scope

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

TORCH_ONLY_METHODS = frozenset(
    {
        "extra_repr",
        "_load_from_state_dict",
        "reset_parameters_hook",
        "_register_load_state_dict_pre_hook",
    }
)


class DefinitionTranslator:
    """Translates `def` and `class`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    # Functions

    def function(self, node: cst.FunctionDef, indent: str) -> list[str]:
        """The lines of a function or method."""
        module = self.module
        if node.asynchronous is not None:
            raise Refusal("python", "asynchronous functions are not translated")
        outer = module.scope
        owner = outer.owner if outer.function is None else None
        name = node.name.value
        method_of = owner if owner is not None and indent else None
        replaced = module.override.lines(self.override_name(name, method_of), indent)
        if replaced is not None:
            return replaced
        decorators = self.decorators(node.decorators, indent)
        static = any("staticmethod" in line for line in decorators)
        if method_of is not None and method_of.is_layer and name == "forward":
            name = "call"
        scope = Scope(owner=method_of or outer.owner, function=node)
        parameters = node.params
        if outer.function is not None:
            scope.names.update(outer.names)
            scope.self_name = outer.self_name
        if method_of is not None and not static and parameters.params:
            scope.self_name = parameters.params[0].name.value
        module.scope = scope
        saved_returns, module.returns = module.returns, []
        try:
            documents = self.parameters(parameters, scope, method_of, name)
            if outer.function is None and method_of is None:
                scope.borrowed = {parameter.name.value for parameter in parameters.params}
            documents, doc_lines, body = self.docstring(
                node, documents, method_of, name, indent + "    "
            )
            returns = (
                f" -> {module.annotation(node.returns.annotation)}"
                if node.returns is not None
                else ""
            )
            exploded = _exploded(parameters)
            group = Group(
                "(",
                self.with_comments(node, documents),
                ")",
                exploded,
                not (documents and str(documents[-1][0]).startswith("**") and False),
            )
            head = statement(doc(f"def {name}", group, f"{returns}:"), indent)
            trailing = (
                node.body.header.comment if isinstance(node.body, cst.IndentedBlock) else None
            )
            if name == "call" and method_of is not None and self.is_entry(method_of):
                decorators.insert(
                    0, f"{indent}@{module.imports.need('keraform.modeling', 'unpack_inputs')}"
                )
            between = [
                line
                for line in module.statements.leading(node.lines_after_decorators, indent)
                if line
            ]
            lines = [*decorators, *between, *(indent + head).split("\n")]
            if trailing is not None:
                lines[-1] += f"  {trailing.value}"
            lines += doc_lines + module.statements.block(body, indent + "    ")
        finally:
            module.scope = outer
            module.returns = saved_returns
        return _drop_needless_pass(lines, doc_lines, indent)

    @staticmethod
    def override_name(name: str, owner: ClassInfo | None) -> str:
        """The name by which an override replaces a function or method."""
        if owner is None:
            return name
        return f"{owner.component_name}.{'call' if name == 'forward' else name}"

    def docstring(
        self,
        node: cst.FunctionDef,
        documents: list[Doc],
        owner: ClassInfo | None,
        name: str,
        indent: str,
    ) -> tuple[list[Doc], list[str], cst.BaseSuite]:
        """Takes the docstring out of the body and expands Transformers' macros."""
        body = node.body
        text, rest = split_docstring(body)
        expanded = None
        if self.module.has_decorator(node.decorators, "auto_docstring"):
            expanded = self.module.docstrings.call(
                node,
                owner,
                text,
                self.module.decorator_arguments(node.decorators, "auto_docstring"),
            )
        if rest is None:
            rest = body
        if isinstance(rest, cst.IndentedBlock) and rest.header.comment is not None:
            rest = rest.with_changes(header=cst.TrailingWhitespace())
        lines = docstring_lines(expanded if expanded is not None else text, indent)
        if expanded is not None:
            self.module.stats.doc_lines += max(
                len(lines) - (text.count("\n") + 1 if text else 0), 0
            )
        return documents, lines, rest

    def decorators(self, decorators: object, indent: str) -> list[str]:
        """The decorators that remain."""
        lines = []
        for decorator in decorators:  # type: ignore[attr-defined]
            node = decorator.decorator
            callee = node.func if isinstance(node, cst.Call) else node
            dotted = self.module.dotted(callee) or self.module.text(callee)
            name = canonical(dotted) or dotted
            short = name.rsplit(".", 1)[-1]
            lines.extend(self.module.statements.leading(decorator.leading_lines, indent))
            if name in DROPPED_DECORATORS or short in DROPPED_DECORATORS:
                continue
            comment = decorator.trailing_whitespace.comment
            lines.append(
                f"{indent}@{self.module.expressions(node).text}"
                + (f"  {comment.value}" if comment is not None else "")
            )
        return lines

    def parameters(
        self, node: cst.Parameters, scope: Scope, owner: ClassInfo | None, name: str
    ) -> list[Doc]:
        """The parameters of a function; binds their kinds in `scope`."""
        result: list[Doc] = []
        layer = owner is not None and owner.is_layer
        for parameter in node.posonly_params:
            result.append(self.parameter(parameter, scope))
        for parameter in node.params:
            if parameter.name.value == "device" or self._is_device(parameter):
                scope.names[parameter.name.value] = DEVICE
                continue
            result.append(self.parameter(parameter, scope))
        if isinstance(node.star_arg, cst.Param):
            scope.names[node.star_arg.name.value] = TUPLE
            result.append((f"*{node.star_arg.name.value}",))
        elif isinstance(node.star_arg, cst.ParamStar):
            result.append(("*",))
        for parameter in node.kwonly_params:
            if parameter.name.value == "device":
                scope.names["device"] = DEVICE
                continue
            result.append(self.parameter(parameter, scope))
        if owner is not None and name == "call" and self.is_entry(owner):
            result.append(("training=None",))
        if node.star_kwarg is not None:
            scope.names[node.star_kwarg.name.value] = DICT
            result.append((f"**{node.star_kwarg.name.value}",))
        elif layer and name == "__init__":
            scope.names["kwargs"] = DICT
            result.append(("**kwargs",))
        return result

    def with_comments(self, node: cst.FunctionDef, documents: list[Doc]) -> list[Item]:
        """The parameters with the comments that stand beside or above them."""
        split = self.module.split_comments
        every = [
            *node.params.posonly_params,
            *node.params.params,
            node.params.star_arg,
            *node.params.kwonly_params,
            node.params.star_kwarg,
        ]
        beside: dict[str, str] = {}
        above: dict[str, list[str]] = {}
        first, pending = split(node.whitespace_before_params)
        pending = [*([first] if first else []), *pending]
        for parameter in every:
            if not isinstance(parameter, cst.Param):
                continue
            name = parameter.name.value
            above[name] = pending
            comma = (
                parameter.comma.whitespace_after
                if isinstance(parameter.comma, cst.Comma)
                else parameter.whitespace_after_param
            )
            beside[name], pending = split(comma)
            if isinstance(parameter.comma, cst.Comma) and not (beside[name] or pending):
                beside[name], pending = split(parameter.whitespace_after_param)
        items = []
        for document in documents:
            name = re.match(r"\**(\w*)", flat(document)).group(1)  # type: ignore[union-attr]
            items.append(Item(document, tuple(above.get(name, ())), beside.get(name, "")))
        return items

    def is_entry(self, owner: ClassInfo) -> bool:
        """Whether users call the class itself: Keras models, and mixins that give a model its
        `call`.
        """
        if not owner.is_layer or self.module.main_layer:
            return False
        return self.module.is_keras_model(owner) if owner.is_model else not owner.bases

    @staticmethod
    def _is_device(parameter: cst.Param) -> bool:
        text = parameter.annotation.annotation if parameter.annotation else None
        return isinstance(text, cst.Attribute) and text.attr.value == "device"

    def parameter(self, node: cst.Param, scope: Scope) -> Doc:
        """One parameter with its annotation and default."""
        module = self.module
        name = node.name.value
        kind = UNKNOWN
        text: Doc = (name,)
        if node.annotation is not None:
            kind = module.kind_of_annotation(node.annotation.annotation)
            text = (f"{name}: {module.annotation(node.annotation.annotation)}",)
        elif name == "config":
            kind = Kind("config")
        if node.default is not None:
            default = module.expressions(node.default)
            text = doc(text, " = " if node.annotation is not None else "=", default.whole)
            if kind.is_unknown and default.kind.tag in ("int", "float", "bool", "str"):
                kind = Kind("py")
        fact = module.parameter_fact(scope.function, name) if scope.function is not None else None
        scope.names[name] = module.merge_fact(kind, fact)
        return text

    # Classes

    def class_(self, node: cst.ClassDef, indent: str) -> list[str]:
        """The lines of a class; a split model gives its main layer and its wrapper."""
        module = self.module
        info = module.classes.get(node.name.value)
        if info is None or indent:
            info = ClassInfo(node.name.value, node, [])
        if any(b in ("torch.autograd.Function", "autograd.Function") for b in info.bases):
            raise Refusal("torch.autograd.Function", "custom gradients are not translated")
        outer = module.scope
        module.scope = Scope(owner=info)
        module.main_layer = info.is_split
        try:
            lines = self.class_lines(node, info, indent)
        finally:
            module.scope = outer
            module.main_layer = False
        if info.is_split:
            lines += ["", "", *module.wrappers.wrapper(info)]
        return lines

    def class_lines(self, node: cst.ClassDef, info: ClassInfo, indent: str) -> list[str]:
        module = self.module
        decorators = self.decorators(node.decorators, indent)
        bases = self.bases(node, info)
        name = info.component_name if info.is_split else info.port_name
        for keyword in node.keywords:
            bases.append(
                f"{keyword.keyword.value}={module.text(keyword.value)}"
                if keyword.keyword
                else module.text(keyword.value)
            )
        head = statement(
            doc(
                f"class {name}", Group("(", [Item((b,)) for b in bases], ")") if bases else "", ":"
            ),
            indent,
        )
        text, rest = split_docstring(node.body)
        arguments = module.decorator_arguments(node.decorators, "auto_docstring")
        doc_lines: list[str] = []
        if not info.is_split and arguments is not None:
            expanded = module.docstrings.class_(info, text, arguments)
            doc_lines = docstring_lines(expanded if expanded is not None else text, indent + "    ")
            if expanded is not None:
                module.stats.doc_lines += max(
                    len(doc_lines) - (text.count("\n") + 1 if text else 0), 0
                )
        else:
            doc_lines = docstring_lines(text, indent + "    ")
        body = module.statements.block(self.kept_methods(rest, info), indent + "    ")
        trailing = node.body.header.comment if isinstance(node.body, cst.IndentedBlock) else None
        head_lines = (indent + head).split("\n")
        if trailing is not None:
            head_lines[-1] += f"  {trailing.value}"
        body = (
            body[1:]
            if trailing is not None and body and body[0].strip() == trailing.value
            else body
        )
        if len(doc_lines) > 1 and body and body[0].strip():
            doc_lines = [*doc_lines, ""]
        between = [
            line for line in module.statements.leading(node.lines_after_decorators, indent) if line
        ]
        lines = [*decorators, *between, *head_lines, *doc_lines, *body]
        return _drop_needless_pass(lines, doc_lines, indent)

    def kept_methods(self, body: cst.BaseSuite, info: ClassInfo) -> cst.BaseSuite:
        """The body without methods that only torch calls, and without gradient-only machinery."""
        if not info.is_layer or not isinstance(body, cst.IndentedBlock):
            return body
        kept = [s for s in body.body if not (isinstance(s, cst.FunctionDef) and self.torch_only(s))]
        return body.with_changes(body=kept)

    def torch_only(self, node: cst.FunctionDef) -> bool:
        """Whether a method only serves torch: printing, hooks of its state dict, loading of its
        files.
        """
        return node.name.value in TORCH_ONLY_METHODS or "torch.load(" in self.module.text(node.body)

    def bases(self, node: cst.ClassDef, info: ClassInfo) -> list[str]:
        """The base classes in the port."""
        module = self.module
        result = []
        for base in node.bases:
            dotted = module.dotted(base.value)
            name = canonical(dotted) if dotted is not None else None
            local = module.text(base.value)
            if name == "nn.Module":
                result.append(module.imports.need("keraform.runtime.layers", "Layer"))
            elif local in module.classes:
                other = module.classes[local]
                result.append(
                    other.component_name if info.is_split or not info.is_public else other.port_name
                )
            else:
                result.append(module.expressions(base.value).text)
        if info.is_model and module.needs_keras_base(info):
            result.append(
                module.imports.need(
                    "keraform.modeling",
                    "Model" if module.is_keras_model(info) and not info.is_split else "MainLayer",
                )
            )
            if module.is_keras_model(info) and not info.is_split:
                module.imports.need("keraform.modeling", "unpack_inputs")
        return result


def split_docstring(body: cst.BaseSuite) -> tuple[str | None, cst.BaseSuite]:
    """The docstring of a body (with its quotes), and the body without it."""
    if not isinstance(body, cst.IndentedBlock) or not body.body:
        return None, body
    first = body.body[0]
    if isinstance(first, cst.SimpleStatementLine) and isinstance(first.body[0], cst.Expr):
        value = first.body[0].value
        if isinstance(value, cst.SimpleString) and len(first.body) == 1:
            return value.value, body.with_changes(body=body.body[1:])
    return None, body


def docstring_lines(text: str | None, indent: str) -> list[str]:
    """The lines of a docstring literal; the text keeps its own indentation."""
    if not text:
        return []
    first, *rest = text.split("\n")
    return [indent + first, *rest]


def _exploded(parameters: cst.Parameters) -> bool:
    every = [*parameters.posonly_params, *parameters.params, *parameters.kwonly_params]
    last = parameters.star_kwarg or (every[-1] if every else None)
    return (
        last is not None
        and isinstance(last.comma, cst.Comma)
        and isinstance(last.comma.whitespace_after, cst.ParenthesizedWhitespace)
    ) or (
        last is not None
        and isinstance(last.comma, cst.Comma)
        and isinstance(last.whitespace_after_param, cst.ParenthesizedWhitespace)
    )


def _drop_needless_pass(lines: list[str], doc_lines: list[str], indent: str) -> list[str]:
    if doc_lines and lines[-1] == f"{indent}    pass":
        return lines[:-1]
    return lines
