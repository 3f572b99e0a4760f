"""Expansion of `@auto_docstring` for the classes and calls of the file being translated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.docstring_literals import (
    content,
    docstring_lines,
    quoted,
    split_docstring,
)
from keraform.translate.docstrings import expand_call_docstring, expand_class_docstring
from keraform.translate.scope import ClassInfo

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class Docstrings:
    """Turns the macros of one file into docstrings."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    @property
    def model_type(self) -> str:
        """The folder of the model, which stands for its type in the tables."""
        parts = self.module.source.module.split(".")
        return parts[2] if len(parts) > 3 and parts[1] == "models" else ""

    def config_name(self, info: ClassInfo | None) -> str | None:
        """The configuration class that the constructor names."""
        init = info.methods.get("__init__") if info is not None else None
        for parameter in init.params.params if init is not None else ():
            if parameter.name.value == "config" and parameter.annotation is not None:
                return self.module.text(parameter.annotation.annotation)
        return next((name for name in self.module.origins if name.endswith("Config")), None)

    def class_(
        self, info: ClassInfo, docstring: str | None, arguments: dict[str, str]
    ) -> str | None:
        """The docstring of a class."""
        init = info.methods.get("__init__")
        inner = None
        if init is not None:
            inner, _ = split_docstring(init.body)
        text = (
            expand_class_docstring(
                info.name,
                content(docstring),
                base=info.bases[0] if info.bases else None,
                custom_intro=arguments.get("custom_intro"),
                config_name=self.config_name(info),
                model_type=self.model_type,
                parameters=self.parameters(init),
                init_docstring=content(inner),
                custom_args=arguments.get("custom_args"),
            )
            if not info.is_output
            else None
        )
        return quoted(text, "    ") if text else docstring

    def call(
        self,
        node: cst.FunctionDef,
        owner: ClassInfo | None,
        docstring: str | None,
        arguments: dict[str, str],
    ) -> str | None:
        """The docstring of a call."""
        if owner is None or self.module.main_layer or not owner.is_public:
            return docstring
        output = self.module.text(node.returns.annotation) if node.returns is not None else None
        text = expand_call_docstring(
            self.parameters(node),
            content(docstring),
            class_name=owner.name,
            config_name=self.config_name(owner),
            output_name=output,
            custom_intro=arguments.get("custom_intro"),
            checkpoint=arguments.get("checkpoint"),
            custom_args=arguments.get("custom_args"),
            model_type=self.model_type,
            method="call" if node.name.value == "forward" else node.name.value,
        )
        return quoted(text, "        ") if text else docstring

    def lines(self, docstring: str | None, expanded: str | None, indent: str) -> list[str]:
        """The lines of an expanded docstring; those beyond the source's are counted."""
        lines = docstring_lines(expanded, indent)
        written = docstring.count("\n") + 1 if docstring else 0
        self.module.stats.doc_lines += max(len(lines) - written, 0)
        return lines

    def parameters(self, node: cst.FunctionDef | None) -> list[tuple[str, str | None, str | None]]:
        """Names, annotations and defaults of a function, as source text."""
        if node is None:
            return []
        return [
            (
                p.name.value,
                self.module.text(p.annotation.annotation) if p.annotation is not None else None,
                self.module.text(p.default) if p.default is not None else None,
            )
            for p in (*node.params.params, *node.params.kwonly_params)
            if p.name.value != "self"
        ]
