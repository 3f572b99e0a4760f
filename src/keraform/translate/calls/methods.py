"""Translation of method calls: of self, of tensors, of modules, and of other objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import (
    DIM,
    DISTRIBUTION,
    FLOAT_TENSOR,
    LIST,
    MODULE_DICT,
    NUMPY,
    PY,
    SIZE,
    STR,
    TENSOR,
    UNKNOWN,
    Kind,
    join,
)
from keraform.translate.layout import Group, Item, called, doc
from keraform.translate.rules import idioms, prefixes
from keraform.translate.rules.methods import AMBIGUOUS, METHODS
from keraform.translate.rules.record import Arguments, Code, Refusal
from keraform.translate.rules.seams import TREE_METHODS
from keraform.translate.rules.tensor_attributes import TENSOR_ATTRIBUTES

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

TREE_WALKS = frozenset({*TREE_METHODS, "children", "modules"})
# Methods of scalars that leave a size as it is.
UNCHANGED_SIZE = frozenset({"clone", "detach", "item", "to", "contiguous", "cpu"})
# Methods of Python's containers that tensors do not have.
OF_CONTAINERS = frozenset({"append", "extend", "insert", "items", "keys", "update", "setdefault"})
# Methods that place a module; its dtype may stay, since Keras's operations promote.
PLACING = frozenset({"to", "cpu", "cuda"})
# Modules that give what they are given, of whatever dtype.
PASSING = frozenset({"nn.Dropout", "nn.Identity"})
# Attributes that hold an activation (`self.act_fn(x)`).
ACTIVATIONS = frozenset({"act", "act_fn", "activation", "activation_fn", "intermediate_act_fn"})


class MethodTranslator:
    """Translates `receiver.method(...)`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def call(self, func: cst.Attribute, node: cst.Call) -> Code:
        """A call of a method, by the kind of its receiver."""
        module = self.module
        name = func.attr.value
        if _is_super(func.value):
            return module.calls.construction.super_call(name, node)
        dotted = module.dotted(func)
        if dotted is not None:
            function = module.expressions.attributes.attribute(func)
            numpy = dotted.split(".")[0] == "numpy"
            kind = NUMPY if numpy else module.imports.call_kind(dotted)
            return module.calls.generic(function, node, kind=kind)
        if isinstance(func.value, cst.Name) and func.value.value == module.scope.self_name:
            return self.of_self(name, node)
        reduced = prefixes.reduction(module.calls, func, node)
        if reduced is not None:
            return reduced
        receiver = self.receiver(func, node)
        module.comments.keep(func.dot.whitespace_before, func.dot.whitespace_after)
        kind = receiver.kind
        if name in TREE_WALKS and not node.args and not kind.is_tensor:
            return self.tree_walk(receiver, name, node)
        if name == "get_submodule" or (name == "apply" and kind.tag == "layer"):
            return self.tree_walk(receiver, name, node)
        of_torch = kind.is_tensor and name in TENSOR_ATTRIBUTES
        if of_torch or (kind.tag in ("tuple", "list") and _only_of_tensors(name)):
            return self.of_tensor(receiver, name, module.calls.arguments(node))
        if kind.is_unknown and (name.removesuffix("_") in METHODS or name in idioms.METHODS):
            if name in AMBIGUOUS:
                return self.of_unknown(receiver, name, node)
            return self.of_tensor(receiver, name, module.calls.arguments(node))
        code = self.of_object(receiver, name, node)
        if name == "append" and kind.tag == "layers" and isinstance(func.value, cst.Name):
            added = kind.or_layer(module.calls.arguments.kinds[0])
            module.targets.bind(func.value, Kind("layers", name=added.name))
        return code

    def receiver(self, func: cst.Attribute, node: cst.Call) -> Code:
        """What a method is called on; `x[key].append(y)` says that `x` holds lists. What is updated
        by more than one value is no dict.
        """
        name, value = func.attr.value, func.value
        own = name == "update" and len([each for each in node.args if each.keyword is None]) > 1
        if name in OF_CONTAINERS and isinstance(value, cst.Subscript) and not own:
            return self.module.subscripts.of_container(value)
        return self.module.expressions(func.value)

    def of_self(self, name: str, node: cst.Call) -> Code:
        """`self.method(...)`."""
        module = self.module
        if name in idioms.SELF_METHODS:
            module.note_rule(f"Module.{name}")
            return idioms.SELF_METHODS[name](module.calls, node)
        if name == "parameters" and not node.args:
            return Code((f"{module.scope.self_name}.variables",), LIST)
        if name == "__getattr__" and len(node.args) == 1:
            return self.attribute_by_name(node)
        owner = module.scope.owner
        method = module.inference.method(owner, name)
        if method is None and (
            name in ("apply", "get_submodule") or (name in TREE_WALKS and not node.args)
        ):
            return self.tree_walk(Code((module.scope.self_name or "self",)), name, node)
        function = module.expressions.attributes.of_self(name)
        kind = UNKNOWN
        if method is not None:
            kind = module.inference.returned(method)
        elif function.kind.tag == "layer":
            return self.of_layer(function, name, node)
        elif owner is not None and name in ACTIVATIONS:
            kind = FLOAT_TENSOR
        code = module.calls.generic(function, node, kind=kind)
        around = module.scope.function
        constructs = around is not None and around.name.value == "__init__"
        if method is None or not constructs or kind.dtype is not None:
            return code
        names = [each.name.value for each in method.params.params[1:]]
        given = dict(zip(names, module.calls.arguments.kinds, strict=False))
        like = given.get(module.inference.result_like(method) or "", kind)
        return replace(code, kind=replace(kind, tag=like.tag, dtype=like.dtype))

    def attribute_by_name(self, node: cst.Call) -> Code:
        """`self.__getattr__(name)`, a method that torch's modules have."""
        name = self.module.expressions(node.args[0].value)
        return Code(called("getattr", (self.module.scope.self_name or "self",), name.doc), UNKNOWN)

    def of_layer(self, function: Code, name: str, node: cst.Call) -> Code:
        """`self.layer(...)`; what float32 weights give in a model of half precision is float32."""
        module, layer = self.module, function.kind.name or ""
        kind = module.inference.called(function.kind.name)
        if layer.startswith("nn.") and name in module.analysis.kept_in_float32:
            kind = Kind("tensor", "mixed")
        code = module.calls.generic(function, node, kind=kind)
        given = module.calls.arguments.kinds
        if layer in PASSING and given and given[0].dtype in ("float32", "mixed"):
            return replace(code, kind=Kind("tensor", given[0].dtype))
        return code

    def of_object(self, receiver: Code, name: str, node: cst.Call) -> Code:
        """A method of a layer, a size, or a Python object."""
        module, kind = self.module, receiver.kind
        if kind.tag in ("dim", "int") and name in UNCHANGED_SIZE:
            return receiver
        if kind.tag == "layer" and name in PLACING:
            return receiver
        if name == "eval" and not node.args and kind.tag in ("layer", "unknown", "object"):
            return receiver  # each call says whether it is one of training
        if kind.tag == "size" and name == "numel":
            return Code(called("kf.prod", receiver.doc), DIM)
        if name == "parameters" and not node.args:
            return Code(doc(receiver.operand(), ".variables"), LIST)
        if name == "add_module" and kind.tag == "layers":
            # under its number, as lists of layers name them
            items, _, _ = module.calls.arguments.items(node.with_changes(args=node.args[1:]))
            return Code(doc(receiver.operand(), ".append", Group("(", items, ")")), UNKNOWN)
        if name in ("register_buffer", "register_parameter"):
            module.note_rule(f"Module.{name}")
            return idioms.SELF_METHODS[name](module.calls, node)
        if name == "reset_parameters" and self.is_torchs(kind):
            module.imports.need("keraform.runtime", "init")
            return Code(called("init.reset_parameters", receiver.doc), UNKNOWN)
        if name == "forward":
            name = "call"
        attribute = module.expressions.attributes.of(receiver, name)
        result = self.result_kind(kind, name, attribute.kind)
        return module.calls.generic(attribute, node, kind=result, receiver=kind)

    def is_torchs(self, kind: Kind) -> bool:
        """Whether a layer is a module of torch's own, or any where no class of the file resets its
        parameters itself.
        """
        if kind.tag == "layer" and kind.name is not None:
            return "nn." in kind.name
        own = any("reset_parameters" in info.methods for info in self.module.classes.values())
        return kind.tag in ("layer", "unknown") and not own

    def result_kind(self, receiver: Kind, name: str, attribute: Kind) -> Kind:
        """What a method of an object gives; `attribute` is the kind of the bound method."""
        inference = self.module.inference
        if attribute.tag == "layer":
            return inference.called(attribute.name)
        if receiver.tag == "layer":
            method = inference.method(self.module.classes.get(receiver.name or ""), name)
            return inference.returned(method) if method is not None else UNKNOWN
        if receiver.tag == "numpy":
            return NUMPY
        if receiver == DISTRIBUTION:
            return FLOAT_TENSOR
        if receiver.tag == "class" and name == "apply":
            function = inference.method(self.module.classes.get(receiver.name or ""), "forward")
            return TENSOR if function is None else join(inference.returned(function), TENSOR)
        if receiver.tag == "dict" and name == "get":
            return replace(receiver.item(), optional=True)
        if receiver == MODULE_DICT and name not in vars(dict):
            return UNKNOWN  # one of its modules
        if receiver.tag in ("py", "str", "config", "list", "dict"):
            return PY
        return DIM if name in ("get_seq_length", "get_max_length") else UNKNOWN

    def of_tensor(self, receiver: Code, name: str, arguments: Arguments) -> Code:
        """A method of a tensor."""
        calls = self.module.calls
        if name in idioms.METHODS:
            self.module.note_rule(f"Tensor.{name}")
            self.module.stats.operations += 1
            return idioms.METHODS[name](calls, receiver, arguments)
        in_place = name.endswith("_") and not name.endswith("__")
        plain = name.removesuffix("_") if in_place and name not in METHODS else name
        if plain in idioms.METHODS:
            self.module.note_rule(f"Tensor.{plain}")
            return idioms.METHODS[plain](calls, receiver, arguments)
        if plain in METHODS:
            return calls.apply(METHODS[plain], [("self", receiver), *arguments])
        raise Refusal(f"Tensor.{name}", "no rule for this method of a tensor")

    def of_unknown(self, receiver: Code, name: str, node: cst.Call) -> Code:
        """A method that tensors and Python objects share, on a receiver of unknown kind: decided at
        run time.
        """
        self.module.count_helper(name)
        self.module.note_rule(f"kf.dynamic.{name}")
        self.module.stats.operations += 1
        self.module.imports.need("keraform.runtime", "ops", "kf")
        items, exploded, _ = self.module.calls.arguments.items(node)
        kind = UNKNOWN
        if name == "size":
            kind = DIM if items else SIZE
        group = Group("(", [Item(receiver.doc), *items], ")", exploded)
        return Code(doc(f"kf.dynamic.{name}", group), kind)

    def tree_walk(self, receiver: Code, name: str, node: cst.Call) -> Code:
        """`module.named_children()` and its kin walk the layers by torch's names."""
        self.module.imports.need("keraform.runtime", "tree")
        if name == "get_submodule":
            path = self.module.expressions(node.args[0].value)
            return Code(called("tree.submodule", receiver.doc, path.doc), Kind("layer"))
        if name == "apply":
            function = self.module.expressions(node.args[0].value)
            return Code(called("tree.apply", receiver.doc, function.doc), receiver.kind)
        if name in TREE_METHODS:
            element = TENSOR if name == "named_parameters" else Kind("layer")
            pair = Kind("tuple", items=(STR, element))
            walk = called(f"tree.{TREE_METHODS[name]}", receiver.doc)
            return Code(walk, Kind("list", items=(pair,)))
        walk = called(f"tree.{TREE_METHODS[f'named_{name}']}", receiver.doc)
        return Code(doc("[layer for _, layer in ", walk, "]"), Kind("layers"))


def _only_of_tensors(name: str) -> bool:
    """Whether a method belies that its receiver is a tuple or a list."""
    return (name in METHODS or name in idioms.METHODS) and not hasattr(list, name)


def _is_super(node: cst.BaseExpression) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == "super"
    )
