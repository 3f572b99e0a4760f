"""Translation of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.definitions.bases import BaseTranslator
from keraform.translate.definitions.decorators import decorator_arguments, decorator_lines
from keraform.translate.definitions.heads import drop_needless_pass, head_lines
from keraform.translate.definitions.wrappers import WrapperTranslator
from keraform.translate.docstring_literals import docstring_lines, split_docstring
from keraform.translate.layout import doc, group
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
        if not isinstance(body, cst.IndentedBlock):
            return body
        unwanted = self.torch_only if info.is_layer else self.autograd_only
        kept = [s for s in body.body if not (isinstance(s, cst.FunctionDef) and unwanted(s))]
        return body.with_changes(body=kept)

    def autograd_only(self, node: cst.FunctionDef) -> bool:
        """Whether a method of a function with a gradient says how ONNX writes it, or computes the
        gradient by torch's own, to save memory; Keras finds the same from `forward`.
        """
        if node.name.value == "symbolic":
            return True
        methods = [each for info in self.module.classes.values() for each in info.methods.items()]
        differentiating = {name for name, each in methods if self.differentiates(each)}
        called = m.Call(func=m.Attribute(attr=m.Name()))
        return node.name.value == "backward" and any(
            call.func.attr.value in differentiating  # type: ignore[attr-defined]
            for call in m.findall(node.body, called)
        )

    def differentiates(self, node: cst.FunctionDef) -> bool:
        """Whether a method calls `backward` of a tensor."""
        if ".backward(" not in self.module.source.text:
            return False  # most files; to search them all takes long
        return bool(m.findall(node.body, m.Call(func=m.Attribute(attr=m.Name("backward")))))

    def torch_only(self, node: cst.FunctionDef) -> bool:
        """Whether a method only serves torch: printing, hooks of its state dict, loading of its
        files, gradients.
        """
        if self.differentiates(node) or node.name.value in TORCH_ONLY_METHODS:
            return True
        reads_files = "torch.load("
        if reads_files not in self.module.source.text:
            return False
        _, body = split_docstring(node.body)
        return reads_files in self.module.text(body)
