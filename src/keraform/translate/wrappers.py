"""The wrapper of a split model: a Keras model that holds the main layer and passes its arguments
on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.definitions import docstring_lines, split_docstring
from keraform.translate.layout import Doc, Group, Item, doc, statement
from keraform.translate.scope import ClassInfo, Scope

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class WrapperTranslator:
    """Emits `TFBertModel` around `TFBertMainLayer`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def wrapper(self, info: ClassInfo) -> list[str]:
        """The lines of the wrapper class."""
        module = self.module
        module.imports.need("keraform.modeling", "Model")
        module.imports.need("keraform.modeling", "unpack_inputs")
        bases = [self.base_name(b) for b in info.bases]
        attribute = module.base_model_prefix(info)
        lines = [f"class {info.port_name}({', '.join([*bases, 'Model'])}):"]
        text, _ = split_docstring(info.node.body)
        arguments = module.decorator_arguments(info.node.decorators, "auto_docstring")
        if arguments is not None:
            expanded = module.docstrings.class_(info, text, arguments)
            extra = docstring_lines(expanded, "    ")
            module.stats.doc_lines += len(extra)
            lines += [*extra, ""] if extra else []
        lines += [f'    main_layer = "{attribute}"', ""]
        lines += self.constructor(info, attribute)
        forward = info.methods.get("forward")
        if forward is not None:
            lines += ["", *self.call(info, forward, attribute)]
        return lines

    def base_name(self, base: str) -> str:
        """A base class of the wrapper."""
        info = self.module.classes.get(base)
        if info is not None:
            return info.port_name
        node = cst.parse_expression(base)
        return self.module.expressions(node).text

    def constructor(self, info: ClassInfo, attribute: str) -> list[str]:
        module = self.module
        node = info.methods.get("__init__")
        scope = Scope(owner=info, function=node)
        outer, module.scope = module.scope, scope
        try:
            if node is not None:
                documents = module.definitions.parameters(node.params, scope, info, "__init__")
                names = [p.name.value for p in node.params.params[1:] if p.name.value != "device"]
            else:
                documents, names = [("self",), ("config",), ("**kwargs",)], ["config"]
        finally:
            module.scope = outer
        head = statement(
            doc("def __init__", Group("(", [Item(d) for d in documents], ")"), ":"), "    "
        )
        arguments = [Item((n if n == "config" else f"{n}={n}",)) for n in names] + [
            Item((f'name="{attribute}"',))
        ]
        build = statement(
            doc(f"self.{attribute} = {info.component_name}", Group("(", arguments, ")")), "        "
        )
        return [
            *("    " + head).split("\n"),
            "        super().__init__(config, **kwargs)",
            *("        " + build).split("\n"),
            "        self.post_init()",
        ]

    def call(self, info: ClassInfo, forward: cst.FunctionDef, attribute: str) -> list[str]:
        module = self.module
        scope = Scope(owner=info, function=forward)
        outer, module.scope = module.scope, scope
        module.main_layer = False
        try:
            documents = module.definitions.parameters(forward.params, scope, None, "call")
            returns = (
                f" -> {module.annotation(forward.returns.annotation)}"
                if forward.returns is not None
                else ""
            )
        finally:
            module.scope = outer
        position = len(documents) - 1 if forward.params.star_kwarg is not None else len(documents)
        documents.insert(position, ("training=None",))
        if forward.params.star_kwarg is None:
            documents.append(("**kwargs",))
        head = statement(
            doc(
                "def call",
                Group("(", [Item(d) for d in documents], ")", len(documents) > 4),
                f"{returns}:",
            ),
            "    ",
        )
        text, _ = split_docstring(forward.body)
        lines = ["    @unpack_inputs", *("    " + head).split("\n")]
        arguments = module.decorator_arguments(forward.decorators, "auto_docstring")
        if arguments is not None:
            expanded = module.docstrings.call(forward, info, text, arguments)
            extra = docstring_lines(expanded, "        ")
            module.stats.doc_lines += len(extra)
            lines += extra
        names = [
            p.name.value
            for p in (*forward.params.params[1:], *forward.params.kwonly_params)
            if p.name.value != "device"
        ]
        star = (
            forward.params.star_kwarg.name.value
            if forward.params.star_kwarg is not None
            else "kwargs"
        )
        items = [Item((f"{n}={n}",)) for n in names] + [Item((f"**{star}",))]
        passed: Doc = doc(f"return self.{attribute}", Group("(", items, ")"))
        return [*lines, *("        " + statement(passed, "        ")).split("\n")]
