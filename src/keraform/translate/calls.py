"""Translation of calls: functions of torch, methods of tensors, modules, and everything that is
merely passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import (
    BOOL,
    BOOL_TENSOR,
    DEVICE,
    DIM,
    DTYPE,
    FLOAT,
    FLOAT_TENSOR,
    INT,
    LIST,
    NUMPY,
    PY,
    SIZE,
    STR,
    TENSOR,
    UNKNOWN,
    Kind,
)
from keraform.translate.layout import Doc, Group, Item, doc, flat
from keraform.translate.rules import idioms, prefixes
from keraform.translate.rules.functions import AS_METHOD, FUNCTIONS
from keraform.translate.rules.methods import AMBIGUOUS, METHODS
from keraform.translate.rules.modules import MODULES, NAMELESS
from keraform.translate.rules.record import Code, Refusal, Rule, bind, fill, result_kind
from keraform.translate.rules.seams import CONSTANT_CALLS, DEVICE_CALLS, TREE_METHODS, UNAVAILABLE
from keraform.translate.rules.torch_names import canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

Arguments = list[tuple[str | None, Code]]

BUILTIN_KINDS = {
    "len": DIM,
    "int": DIM,
    "float": FLOAT,
    "bool": BOOL,
    "str": STR,
    "isinstance": BOOL,
    "hasattr": BOOL,
    "list": LIST,
    "range": Kind("py", name="range"),
    "dict": Kind("dict"),
    "round": PY,
    "abs": PY,
    "callable": BOOL,
    "issubclass": BOOL,
    "repr": STR,
    "id": INT,
    "set": PY,
    "sorted": LIST,
    "type": PY,
    "divmod": PY,
    "max": DIM,
    "min": DIM,
    "sum": UNKNOWN,
}


class CallTranslator:
    """Translates calls."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    # The door

    def call(self, node: cst.Call) -> Code:
        """Translates one call."""
        module = self.module
        dotted = module.dotted(node.func)
        if dotted is not None:
            short = dotted.rsplit(".", 1)[-1]
            for name in (
                dotted,
                canonical(dotted) or "",
                short if dotted.startswith("transformers.") else "",
            ):
                if name in CONSTANT_CALLS:
                    return Code((str(CONSTANT_CALLS[name]),), BOOL)
            if UNAVAILABLE.fullmatch(short):
                return Code(("False",), BOOL)
            if short in DEVICE_CALLS or dotted in DEVICE_CALLS:
                return Code(("None",), DEVICE)
            torch_name = canonical(dotted)
            if torch_name is not None:
                return self.torch_call(torch_name, node)
            if ".initialization." in dotted or dotted.startswith("transformers.initialization"):
                return self.initialise(short, node)
            if dotted.endswith("auto_factory") or (
                short == "from_config" and ".models.auto." in dotted
            ):
                return self.auto_from_config(dotted, node)
        if isinstance(node.func, cst.Name):
            return self.named_call(node.func.value, node)
        if isinstance(node.func, cst.Attribute):
            return self.method_call(node.func, node)
        return self.generic(module.expressions(node.func), node)

    # Arguments

    def arguments(self, node: cst.Call) -> Arguments:
        """The arguments, translated; devices are left out."""
        result: Arguments = []
        for arg in node.args:
            code = self.module.expressions(arg.value)
            if isinstance(arg.comma, cst.Comma):
                self.module.comments_in(arg.comma.whitespace_after)
            self.module.comments_in(arg.whitespace_after_arg)
            if code.kind == DEVICE or (arg.keyword is not None and arg.keyword.value == "device"):
                continue
            code = Code(code.doc, code.kind, code.precedence, code.parenthesized, arg.star)
            result.append((arg.keyword.value if arg.keyword else None, code))
        self.module.comments_in(node.whitespace_before_args)
        return result

    def items(self, node: cst.Call) -> tuple[list[Item], bool, tuple[str, ...]]:
        """The arguments as they are written, with comments beside them; whether they stand one a
        line; the footer.
        """
        module = self.module
        items: list[Item] = []
        outer = module.take_comments()
        module.comments_in(node.whitespace_before_args)
        for arg in node.args:
            above = tuple(module.take_comments())
            code = module.expressions(arg.value)
            beside = ""
            if isinstance(arg.comma, cst.Comma):
                beside, rest = module.split_comments(arg.comma.whitespace_after)
                above = (*above, *module.take_comments())
                module.pending.extend(rest)
            after_beside, after = module.split_comments(arg.whitespace_after_arg)
            beside = beside or after_beside
            if code.kind == DEVICE or (arg.keyword is not None and arg.keyword.value == "device"):
                module.pending[:0] = [*above, *([beside] if beside else [])]
                continue
            prefix = f"{arg.keyword.value}=" if arg.keyword else arg.star
            items.append(
                Item(doc(prefix, code.operand(5) if arg.star else code.whole), above, beside)
            )
            module.pending.extend(after)
        footer = tuple(module.take_comments())
        module.pending.extend(outer)
        exploded = bool(node.args) and len(items) > 0 and _one_a_line(node)
        return items, exploded, footer

    def generic(
        self, function: Code, node: cst.Call, extra: tuple[Doc, ...] = (), kind: Kind = UNKNOWN
    ) -> Code:
        """A call that stays a call; `extra` arguments come last (before `**kwargs`)."""
        items, exploded, footer = self.items(node)
        if extra:
            star = next(
                (n for n, item in enumerate(items) if str(item.doc[0]).startswith("**")), len(items)
            )
            items[star:star] = [Item(d) for d in extra]
        only = len(items) == 1 and not extra
        sole = (
            only
            and isinstance(node.args[0].value, cst.GeneratorExp)
            and not node.args[0].value.lpar
        )
        if sole:
            inner = items[0].doc[0]
            if isinstance(inner, Group):
                items = inner.items
        trailing = (
            not (items and str(items[-1].doc[0]).startswith("*") and len(items) == 1) and not sole
        )
        document = doc(
            function.operand(), Group("(", items, ")", exploded and not sole, trailing, footer)
        )
        return Code(document, kind)

    # Rules

    def apply(self, rule: Rule, arguments: Arguments) -> Code:
        """Applies a rule to arguments."""
        bound = bind(rule, arguments)
        if rule.guard is not None:
            reason = rule.guard(bound)
            if reason is not None:
                raise Refusal(rule.id, reason)
        self.module.stats.operations += 1
        if callable(rule.emit):
            return rule.emit(self.module.expressions, bound)
        document = fill(rule.emit, bound)
        self.module.imports.need_for(document)
        precedence = rule.precedence
        if rule.emit in ("{self}", "{input}"):
            source = bound[rule.emit[1:-1]]
            return Code(source.doc, source.kind, source.precedence, source.parenthesized)
        return Code(document, result_kind(rule, bound), precedence)

    def ops_call(
        self, function: str, arguments: list[Code], kind: Kind, prefix: str = "ops"
    ) -> Code:
        """A plain call of `keras.ops`."""
        if prefix == "ops":
            self.module.imports.need("keras", "ops")
        else:
            self.module.imports.need("keraform.runtime", "ops", "kf")
        items = [Item(code.doc) for code in arguments]
        return Code(doc(f"{prefix}.{function}", Group("(", items, ")")), kind)

    def function_reference(self, name: str) -> str | None:
        """A torch function that is passed on as a value (`act = torch.tanh`)."""
        rule = FUNCTIONS.get(name)
        if rule is None or not isinstance(rule.emit, str):
            return None
        target = rule.emit.partition("(")[0]
        self.module.imports.need_for((target,))
        return target

    # Functions of torch

    def torch_call(self, name: str, node: cst.Call) -> Code:
        """A call of a torch name."""
        if name.startswith("nn.") and name.split(".")[1] == "init":
            return self.initialise(name.rsplit(".", 1)[-1], node)
        if name.startswith("nn.") and name.count(".") == 1 and name != "nn.functional":
            return self.torch_module(name, node)
        special = idioms.FUNCTIONS.get(name)
        if special is not None:
            self.module.stats.operations += 1
            return special(self, node)
        rule = FUNCTIONS.get(name)
        if rule is not None:
            return self.apply(rule, self.arguments(node))
        short = name.rsplit(".", 1)[-1]
        if (
            name.startswith(("torch.", "F.", "Tensor."))
            and short in AS_METHOD | {"to"}
            and name.count(".") == 1
        ):
            arguments = self.arguments(node)
            for position, (keyword, code) in enumerate(arguments):
                if keyword in (None, "input"):
                    del arguments[position]
                    return self.tensor_method(
                        Code(
                            code.doc,
                            TENSOR if code.kind.is_unknown else code.kind,
                            code.precedence,
                            code.parenthesized,
                        ),
                        short,
                        arguments,
                    )
        raise Refusal(name, "no rule for this function of torch")

    def torch_module(self, name: str, node: cst.Call) -> Code:
        """The construction of a module of `torch.nn`."""
        special = idioms.MODULES.get(name)
        if special is not None:
            return special(self, node)
        rule = MODULES.get(name)
        if rule is None:
            raise Refusal(name, "no rule for this module of torch")
        self.module.imports.need("keraform.runtime", "layers")
        arguments = self.arguments(node)
        if any(code.star for _, code in arguments):
            items = [
                Item(doc(code.star or (f"{key}=" if key else ""), code.doc))
                for key, code in arguments
            ]
            target = str(rule.emit).partition("(")[0]
            return Code(doc(target, Group("(", items, ")")), Kind("layer", name=name))
        if self.module.scope.assigning and name not in NAMELESS:
            arguments.append(("name", Code((f'"{self.module.scope.assigning}"',), STR)))
        bound = bind(rule, arguments)
        return Code(fill(str(rule.emit), bound), Kind("layer", name=name))

    def initialise(self, name: str, node: cst.Call) -> Code:
        """`init.normal_(module.weight, std=s)` becomes `init.normal_(module, "weight", std=s)`."""
        if name == "calculate_gain" or name.startswith("_calculate"):
            raise Refusal(f"init.{name}", "no rule for this helper of torch.nn.init")
        self.module.imports.need("keraform.runtime", "init")
        target = node.args[0].value
        index: Doc = ()
        if isinstance(target, cst.Subscript):
            elements = self.module.subscripts.elements(target)
            index = doc("index=", self.module.subscripts.index_doc(elements))
            target = target.value
        if isinstance(target, cst.Attribute) and target.attr.value == "data":
            target = target.value
        if isinstance(target, cst.Attribute):
            owner = self.module.expressions(target.value)
            first = [Item(owner.doc), Item((f'"{target.attr.value}"',))]
        elif isinstance(target, cst.Name):
            first = [Item(self.module.expressions(target).doc)]
        else:
            raise Refusal(
                f"init.{name}", "expects an attribute such as `module.weight` as its first argument"
            )
        rest, _, _ = self.items(node.with_changes(args=node.args[1:]))
        if index:
            rest.append(Item(index))
        return Code(doc(f"init.{name}", Group("(", [*first, *rest], ")")), UNKNOWN)

    # Names

    def named_call(self, name: str, node: cst.Call) -> Code:
        """A call of a plain name: a builtin, a class or function of the file, an import."""
        module = self.module
        if name == "super":
            return self.generic(Code(("super",)), node)
        special = idioms.BUILTINS.get(name)
        if special is not None and name not in module.scope.names and name not in module.functions:
            result = special(self, node)
            if result is not None:
                return result
        info = module.classes.get(name)
        if info is not None:
            extra: tuple[Doc, ...] = ()
            if info.is_layer and module.scope.assigning:
                extra = ((f'name="{module.scope.assigning}"',),)
            kind = Kind("layer", name=name) if info.is_layer else Kind("object", name=name)
            return self.generic(Code((info.component_name,)), node, extra, kind)
        function = module.expressions.name(node.func)  # type: ignore[arg-type]
        kind = BUILTIN_KINDS.get(name, UNKNOWN) if name not in module.scope.names else UNKNOWN
        if name in module.functions:
            kind = module.return_kind(module.functions[name])
        elif name in module.origins:
            kind = module.imports.call_kind(module.origins[name])
        if function.kind.tag == "layer":
            kind = module.call_kind(function.kind.name)
        return self.generic(function, node, kind=kind)

    # Methods

    def method_call(self, func: cst.Attribute, node: cst.Call) -> Code:
        """`receiver.method(...)`."""
        module = self.module
        name = func.attr.value
        if _is_super(func.value):
            return self.super_call(name, node)
        dotted = module.dotted(func)
        if dotted is not None:
            root = dotted.split(".")[0]
            function = module.expressions.attribute(func)
            return self.generic(
                function, node, kind=NUMPY if root == "numpy" else module.imports.call_kind(dotted)
            )
        on_self = isinstance(func.value, cst.Name) and func.value.value == module.scope.self_name
        owner = module.scope.owner
        if on_self:
            special = idioms.SELF_METHODS.get(name)
            if special is not None:
                return special(self, node)
            if name == "parameters" and not node.args:
                return Code((f"{module.scope.self_name}.variables",), LIST)
            method = module.method_of(owner, name) if owner else None
            function = module.expressions.own_attribute(name)
            kind = module.return_kind(method) if method is not None else UNKNOWN
            if method is None and owner is not None:
                kind = (
                    module.call_kind(function.kind.name)
                    if function.kind.tag == "layer"
                    else idioms.activation_kind(function)
                )
            return self.generic(function, node, kind=kind)
        reduced = prefixes.reduction(self, func, node)
        if reduced is not None:
            return reduced
        receiver = module.expressions(func.value)
        module.comments_in(func.dot.whitespace_before, func.dot.whitespace_after)
        if (
            name in {**TREE_METHODS, "children": "", "modules": ""}
            and not node.args
            and not receiver.kind.is_tensor
        ):
            return self.tree_walk(receiver, name)
        if receiver.kind.is_tensor or (
            receiver.kind.is_unknown
            and (name.removesuffix("_") in METHODS or name in idioms.METHODS)
        ):
            if receiver.kind.is_unknown and name in AMBIGUOUS:
                return self.unknown_method(receiver, name, node)
            return self.tensor_method(receiver, name, self.arguments(node), node)
        if receiver.kind.tag in ("dim", "int") and name in (
            "clone",
            "detach",
            "item",
            "to",
            "contiguous",
            "cpu",
        ):
            return receiver
        if receiver.kind.tag == "size" and name == "numel":
            return Code(doc("kf.prod", Group("(", [Item(receiver.doc)], ")")), DIM)
        if name == "parameters" and not node.args:
            return Code(doc(receiver.operand(), ".variables"), LIST)
        if (
            name == "reset_parameters"
            and receiver.kind.tag == "layer"
            and "nn." in (receiver.kind.name or "nn.")
        ):
            module.imports.need("keraform.runtime", "init")
            return Code(
                doc("init.reset_parameters", Group("(", [Item(receiver.doc)], ")")), UNKNOWN
            )
        if name == "forward":
            name = "call"
        attribute = module.expressions.attribute_of(receiver, name)
        kind = UNKNOWN
        if attribute.kind.tag == "layer":
            kind = module.call_kind(attribute.kind.name)
        elif receiver.kind.tag == "layer":
            method = module.method_of(module.classes.get(receiver.kind.name or ""), name)
            kind = module.return_kind(method) if method is not None else UNKNOWN
        elif receiver.kind.tag in ("py", "str", "config", "numpy", "list", "dict"):
            kind = NUMPY if receiver.kind.tag == "numpy" else PY
        elif name in ("get_seq_length", "get_max_length"):
            kind = DIM
        return self.generic(attribute, node, kind=kind)

    def tree_walk(self, receiver: Code, name: str) -> Code:
        """`module.named_children()` and its kin walk the layers by torch's names."""
        self.module.imports.need("keraform.runtime", "tree")
        function = TREE_METHODS.get(name) or TREE_METHODS[f"named_{name}"]
        walk = doc(f"tree.{function}", Group("(", [Item(receiver.doc)], ")"))
        if name in TREE_METHODS:
            return Code(
                walk,
                Kind(
                    "list",
                    items=(
                        Kind(
                            "tuple",
                            items=(STR, Kind("layer") if name != "named_parameters" else TENSOR),
                        ),
                    ),
                ),
            )
        return Code(doc("[layer for _, layer in ", walk, "]"), Kind("layers"))

    def unknown_method(self, receiver: Code, name: str, node: cst.Call) -> Code:
        """A method that tensors and Python objects share, on a receiver of unknown kind: decided at
        run time.
        """
        self.module.count_helper(name)
        self.module.stats.operations += 1
        self.module.imports.need("keraform.runtime", "ops", "kf")
        items, exploded, _ = self.items(node)
        kind = UNKNOWN if name not in ("size",) else (DIM if items else SIZE)
        return Code(
            doc(f"kf.dynamic.{name}", Group("(", [Item(receiver.doc), *items], ")", exploded)), kind
        )

    def tensor_method(
        self, receiver: Code, name: str, arguments: Arguments, node: cst.Call | None = None
    ) -> Code:
        """A method of a tensor."""
        special = idioms.METHODS.get(name)
        if special is not None:
            self.module.stats.operations += 1
            return special(self, receiver, arguments)
        in_place = name.endswith("_") and not name.endswith("__")
        rule = METHODS.get(name.removesuffix("_") if in_place and name not in METHODS else name)
        if rule is None and in_place and name.removesuffix("_") in idioms.METHODS:
            return idioms.METHODS[name.removesuffix("_")](self, receiver, arguments)
        if rule is None:
            raise Refusal(f"Tensor.{name}", "no rule for this method of a tensor")
        return self.apply(rule, [("self", receiver), *arguments])

    # super()

    def super_call(self, name: str, node: cst.Call) -> Code:
        """`super().method(...)`; the constructor hands `**kwargs` up to Keras."""
        owner = self.module.scope.owner
        if name == "forward":
            name = "call"
        if name != "__init__" or owner is None or not owner.is_layer:
            kind = TENSOR if name == "call" and owner is not None and owner.torch_base else UNKNOWN
            return self.generic(Code((f"super().{name}",)), node, kind=kind)
        rule = MODULES.get(owner.torch_base or "")
        if rule is None:
            items, exploded, _ = self.items(node)
            if not any(str(item.doc[0]).startswith("**kwargs") for item in items):
                items.append(Item(("**kwargs",)))
            return Code(doc("super().__init__", Group("(", items, ")", exploded)))
        template = str(rule.emit).replace(", name={name})", ")").replace("(name={name})", "()")
        bound = bind(rule, [(k, c) for k, c in self.arguments(node) if not c.star])
        bound.pop("name", None)
        document = fill("super().__init__(" + template.partition("(")[2], bound)
        group = document[-1]
        assert isinstance(group, Group)
        items = [*group.items]
        if not any(str(i.doc[0]).startswith("**") for i in items):
            items.append(Item(("**kwargs",)))
        return Code(doc(*document[:-1], Group("(", items, ")")))

    def auto_from_config(self, dotted: str, node: cst.Call) -> Code:
        """`AutoModel.from_config(c)` inside a model makes the main layer of that type."""
        name = dotted.split(".")[-2]
        suffix = name.removeprefix("AutoModel") if name.startswith("AutoModel") else name
        local = self.module.imports.need("keraform.auto", f"AutoMainLayer{suffix}")
        extra: tuple[Doc, ...] = (
            ((f'name="{self.module.scope.assigning}"',),) if self.module.scope.assigning else ()
        )
        return self.generic(Code((f"{local}.from_config",)), node, extra, Kind("layer", name=None))


def _is_super(node: cst.BaseExpression) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == "super"
    )


def _one_a_line(node: cst.Call) -> bool:
    last = node.args[-1]
    return isinstance(last.comma, cst.Comma) and (
        isinstance(last.whitespace_after_arg, cst.ParenthesizedWhitespace)
        or isinstance(last.comma.whitespace_after, cst.ParenthesizedWhitespace)
    )


__all__ = ["BOOL_TENSOR", "DTYPE", "FLOAT_TENSOR", "Arguments", "CallTranslator", "flat"]
