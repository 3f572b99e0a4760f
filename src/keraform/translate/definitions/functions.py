"""Translation of functions and methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.definitions.bases import BaseTranslator
from keraform.translate.definitions.decorators import decorator_arguments, decorator_lines
from keraform.translate.definitions.heads import drop_needless_pass, head_lines
from keraform.translate.definitions.parameters import ParameterTranslator, one_a_line
from keraform.translate.docstring_literals import docstring_lines, split_docstring
from keraform.translate.layout import Group, doc
from keraform.translate.rules.record import Refusal
from keraform.translate.scope import ClassInfo, Scope

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class FunctionDefinitionTranslator:
    """Translates `def`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.bases = BaseTranslator(module)
        self.parameters = ParameterTranslator(module)

    def function(self, node: cst.FunctionDef, indent: str) -> list[str]:
        """The lines of a function, or of a method of the class around it."""
        module = self.module
        if node.asynchronous is not None:
            raise Refusal("python", "asynchronous functions are not translated")
        outer = module.scope
        owner = outer.owner if outer.function is None and indent else None
        replaced = module.override.lines(_override_name(node.name.value, owner), indent)
        if replaced is not None:
            return replaced
        decorators = decorator_lines(module, node.decorators, indent)
        static = any("staticmethod" in line for line in decorators)
        try:
            with module.within(_inner_scope(node, outer, owner, static)):
                return self.lines(node, owner, decorators, indent)
        except Refusal as refusal:
            if node.name.value not in module.generation_only:
                raise
            return self.left_out(node, refusal, indent)

    def lines(
        self, node: cst.FunctionDef, owner: ClassInfo | None, decorators: list[str], indent: str
    ) -> list[str]:
        """The lines of a function whose scope is the present one."""
        module = self.module
        name = node.name.value
        if owner is not None and owner.is_layer and name == "forward":
            name = "call"
        documents = self.parameters.parameters(node.params, module.scope, owner, name)
        doc_lines, body = self.docstring(node, owner, indent + "    ")
        items = self.parameters.with_comments(node, documents)
        group = Group("(", items, ")", one_a_line(node.params))
        head = doc(f"def {name}", group, f"{module.annotations.returns(node)}:")
        if name == "call" and owner is not None and self.bases.is_entry(owner):
            unpack = module.imports.need("keraform.modeling", "unpack_inputs")
            decorators = [f"{indent}@{unpack}", *decorators]
        lines = [*decorators, *head_lines(head, node, indent), *doc_lines]
        lines += self.body(node, body, indent + "    ")
        if node.name.value in module.mutators:
            lines.append(f"{indent}    return {module.mutators[node.name.value].name}")
        return drop_needless_pass(lines, doc_lines, indent)

    def body(self, node: cst.FunctionDef, body: cst.BaseSuite, indent: str) -> list[str]:
        """The lines of the body; what serves generation alone is left out rather than refused."""
        first = len(self.module.refusals)
        lines = self.module.statements.block(body, indent)
        return self.module.leave_out(node.name.value, first, indent) or lines

    def left_out(self, node: cst.FunctionDef, refusal: Refusal, indent: str) -> list[str]:
        """The lines of a function of generation whose parameters are refused already."""
        first = len(self.module.refusals)
        self.module.refuse(refusal, node, indent)
        body = self.module.leave_out(node.name.value, first, indent + "    ")
        return [f"{indent}def {node.name.value}(*args, **kwargs):", *(body or [])]

    def docstring(
        self, node: cst.FunctionDef, owner: ClassInfo | None, indent: str
    ) -> tuple[list[str], cst.BaseSuite]:
        """The lines of the docstring, with Transformers' macros expanded, and the rest of the
        body.
        """
        text, rest = split_docstring(node.body)
        arguments = decorator_arguments(self.module, node.decorators, "auto_docstring")
        if arguments is None:
            return docstring_lines(text, indent), rest
        expanded = self.module.docstrings.call(node, owner, text, arguments)
        return self.module.docstrings.lines(text, expanded, indent), rest


def _override_name(name: str, owner: ClassInfo | None) -> str:
    """The name by which an override replaces a function or method."""
    if owner is None:
        return name
    return f"{owner.component_name}.{'call' if name == 'forward' else name}"


def _inner_scope(
    node: cst.FunctionDef, outer: Scope, owner: ClassInfo | None, static: bool
) -> Scope:
    """The scope of a function before its parameters are known."""
    scope = Scope(owner=owner or outer.owner, function=node)
    parameters = [each.name.value for each in node.params.params]
    if outer.function is not None:
        scope.names.update(outer.names)
        scope.self_name = outer.self_name
    elif owner is None:
        scope.borrowed = set(parameters)
    if owner is not None and not static and parameters:
        scope.self_name = parameters[0]
    return scope
