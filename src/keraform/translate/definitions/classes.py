"""Translation of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.definitions.bases import BaseTranslator
from keraform.translate.definitions.decorators import decorator_arguments, decorator_lines
from keraform.translate.definitions.heads import drop_needless_pass, head_lines
from keraform.translate.definitions.wrappers import WrapperTranslator
from keraform.translate.docstring_literals import docstring_lines, split_docstring
from keraform.translate.layout import doc, group
from keraform.translate.rules.record import Refusal
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


class ClassDefinitionTranslator:
    """Translates `class`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.bases = BaseTranslator(module)
        self.wrappers = WrapperTranslator(module)

    def class_(self, node: cst.ClassDef, indent: str) -> list[str]:
        """The lines of a class; a split model gives its main layer and its wrapper."""
        module = self.module
        info = module.classes.get(node.name.value)
        if info is None or indent:
            info = ClassInfo(node.name.value, node, [])
        if any(b in ("torch.autograd.Function", "autograd.Function") for b in info.bases):
            raise Refusal("torch.autograd.Function", "custom gradients are not translated")
        module.main_layer = info.is_split
        try:
            with module.within(Scope(owner=info)):
                lines = self.lines(node, info, indent)
        finally:
            module.main_layer = False
        if info.is_split:
            lines += ["", "", *self.wrappers.wrapper(info)]
        return lines

    def lines(self, node: cst.ClassDef, info: ClassInfo, indent: str) -> list[str]:
        """The lines of a class whose scope is the present one."""
        module = self.module
        decorators = decorator_lines(module, node.decorators, indent)
        bases = self.bases.names(node, info)
        for keyword in node.keywords:
            prefix = f"{keyword.keyword.value}=" if keyword.keyword else ""
            bases.append(prefix + module.text(keyword.value))
        name = info.component_name if info.is_split else info.port_name
        brackets = group("(", [(base,) for base in bases], ")") if bases else ""
        head = head_lines(doc(f"class {name}", brackets, ":"), node, indent)
        text, rest = split_docstring(node.body)
        doc_lines = self.docstring(text, node, info, indent + "    ")
        body = module.statements.block(self.kept_methods(rest, info), indent + "    ")
        gap = [""] if len(doc_lines) > 1 and body and body[0].strip() else []
        lines = [*decorators, *head, *doc_lines, *gap, *body]
        return drop_needless_pass(lines, doc_lines, indent)

    def docstring(
        self, text: str | None, node: cst.ClassDef, info: ClassInfo, indent: str
    ) -> list[str]:
        """The lines of the docstring; macros are expanded where users see the class."""
        arguments = decorator_arguments(self.module, node.decorators, "auto_docstring")
        if info.is_split or arguments is None:
            return docstring_lines(text, indent)
        expanded = self.module.docstrings.class_(info, text, arguments)
        return self.module.docstrings.lines(text, expanded, indent)

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
