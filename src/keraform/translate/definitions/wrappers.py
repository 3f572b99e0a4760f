"""The wrapper of a split model: a Keras model that holds the main layer and passes its arguments
on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.definitions.decorators import (
    decorator_arguments,
    decorator_lines,
    named_decorators,
)
from keraform.translate.definitions.parameters import ParameterTranslator
from keraform.translate.docstring_literals import docstring_lines, split_docstring
from keraform.translate.layout import Doc, called, doc, group, statement
from keraform.translate.scope import ClassInfo, Scope

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class WrapperTranslator:
    """Emits `TFBertModel` around `TFBertMainLayer`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.parameters = ParameterTranslator(module)

    def wrapper(self, info: ClassInfo) -> list[str]:
        """The lines of the wrapper class."""
        module = self.module
        module.imports.need("keraform.modeling", "Model")
        module.imports.need("keraform.modeling", "unpack_inputs")
        bases = [self.base_name(b) for b in info.bases]
        wrapped = self.wrapped(info)
        attribute = self.base_model_prefix(wrapped[-1] if wrapped else info)
        lines = [f"class {info.port_name}({', '.join([*bases, 'Model'])}):"]
        text, _ = split_docstring(info.node.body)
        arguments = decorator_arguments(module, info.node.decorators, "auto_docstring")
        if arguments is not None:
            extra = docstring_lines(module.docstrings.class_(info, text, arguments), "    ")
            module.stats.doc_lines += len(extra)
            lines += [*extra, ""] if extra else []
        lines += [f'    main_layer = "{attribute}"', ""]
        lines += self.constructor(info, attribute, wrapped[-1] if wrapped else None)
        forward = info.methods.get("forward")
        if forward is not None:
            lines += ["", *self.call(info, forward, attribute)]
        return lines

    def wrapped(self, info: ClassInfo) -> list[ClassInfo]:
        """The bases of a class that are wrappers themselves; it takes the place of their layer."""
        lineage = self.module.analysis.lineage(info)
        return [each for each in lineage if each is not info and each.is_split]

    def base_name(self, base: str) -> str:
        """A base class of the wrapper."""
        info = self.module.classes.get(base)
        if info is not None:
            return info.port_name
        return self.module.expressions(cst.parse_expression(base)).text

    def base_model_prefix(self, info: ClassInfo) -> str:
        """The attribute that holds the main layer."""
        for owner in self.module.analysis.lineage(info):
            for node in owner.node.body.body:
                if isinstance(node, cst.SimpleStatementLine) and isinstance(
                    node.body[0], cst.Assign
                ):
                    assign = node.body[0]
                    if self.module.text(assign.targets[0].target) == "base_model_prefix":
                        path = self.module.text(assign.value).strip("\"'")
                        return path.rsplit(".", 1)[-1] or "model"  # of a path in a larger model
        return "model"

    def constructor(
        self, info: ClassInfo, attribute: str, base: ClassInfo | None = None
    ) -> list[str]:
        """The lines of `__init__`, which makes the main layer; that of a base, which would make
        another one, is passed by.
        """
        above = "super()" if base is None else f"super({base.port_name}, self)"
        node = info.methods.get("__init__")
        documents: list[Doc] = [("self",), ("config",), ("**kwargs",)]
        names = ["config"]
        if node is not None and node.params.params[1:]:  # more than `*args, **kwargs`
            scope = Scope(owner=info, function=node)
            with self.module.within(scope):
                documents = self.parameters.parameters(node.params, scope, info, "__init__")
            names = [p.name.value for p in node.params.params[1:] if p.name.value != "device"]
        head = statement(doc("def __init__", group("(", documents, ")"), ":"), "    ")
        arguments = [(name if name == "config" else f"{name}={name}",) for name in names]
        layer = called(info.component_name, *arguments, (f'name="{attribute}"',))
        build = statement(doc(f"self.{attribute} = ", layer), "        ")
        return [
            *("    " + head).split("\n"),
            f"        {above}.__init__(config, **kwargs)",
            *("        " + build).split("\n"),
            "        self.post_init()",
        ]

    def call(self, info: ClassInfo, forward: cst.FunctionDef, attribute: str) -> list[str]:
        """The lines of `call`, which hands its arguments to the main layer."""
        scope = Scope(owner=info, function=forward)
        with self.module.within(scope):
            documents = self.parameters.parameters(forward.params, scope, None, "call")
            returns = self.module.annotations.returns(forward)
        if forward.params.star_kwarg is not None:
            documents.insert(-1, ("training=None",))
        else:
            documents += [("training=None",), ("**kwargs",)]
        parameters = group("(", documents, ")", exploded=len(documents) > 4)
        head = statement(doc("def call", parameters, f"{returns}:"), "    ")
        renaming = named_decorators(self.module, forward.decorators, "deprecate_kwarg")
        decorators = decorator_lines(self.module, renaming, "    ")
        lines = ["    @unpack_inputs", *decorators, *("    " + head).split("\n")]
        lines += self.call_docstring(info, forward)
        passed = called(f"self.{attribute}", *_passed_arguments(forward.params))
        body = statement(doc("return ", passed), "        ")
        return [*lines, *("        " + body).split("\n")]

    def call_docstring(self, info: ClassInfo, forward: cst.FunctionDef) -> list[str]:
        """The lines of the docstring of `call`."""
        module = self.module
        arguments = decorator_arguments(module, forward.decorators, "auto_docstring")
        if arguments is None:
            return []
        text, _ = split_docstring(forward.body)
        expanded = module.docstrings.call(forward, info, text, arguments)
        lines = docstring_lines(expanded, "        ")
        module.stats.doc_lines += len(lines)
        return lines


def _passed_arguments(parameters: cst.Parameters) -> list[Doc]:
    """The parameters of `call` as the arguments of the main layer."""
    every = [*parameters.params[1:], *parameters.kwonly_params]
    names = [each.name.value for each in every if each.name.value != "device"]
    star = parameters.star_kwarg
    rest = star.name.value if star is not None else "kwargs"
    return [*((f"{name}={name}",) for name in names), (f"**{rest}",)]
