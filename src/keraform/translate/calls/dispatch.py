"""The door of calls: which translator takes a call, and the calls that stay as they are."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.calls.arguments import ArgumentTranslator
from keraform.translate.calls.construction import ConstructionTranslator
from keraform.translate.calls.functions import FunctionTranslator
from keraform.translate.calls.initialisation import InitialisationTranslator
from keraform.translate.calls.methods import MethodTranslator
from keraform.translate.kinds import (
    BOOL,
    DEVICE,
    DICT,
    DIM,
    FLOAT,
    INT,
    LIST,
    NUMBERS,
    PY,
    STR,
    TENSOR,
    UNKNOWN,
    Kind,
    join_all,
)
from keraform.translate.layout import Doc, Group, Item, begins, called, doc
from keraform.translate.rules import idioms
from keraform.translate.rules.modules import MODULES
from keraform.translate.rules.record import (
    Arguments,
    Code,
    Refusal,
    Rule,
    bind,
    fill,
    result_kind,
    takes_torchs_arguments,
)
from keraform.translate.rules.seams import CONSTANT_CALLS, DEVICE_CALLS, UNAVAILABLE
from keraform.translate.rules.torch_names import canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

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
    "dict": DICT,
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


# What makes the model of a configuration, by each of the names that it is imported under.
AUTO_MODEL = re.compile(r"transformers\.(models\.auto\.)?(\w+\.)?Auto\w+\.from_config")


class CallTranslator:
    """Translates calls."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.arguments = ArgumentTranslator(module)
        self.functions = FunctionTranslator(module)
        self.methods = MethodTranslator(module)
        self.construction = ConstructionTranslator(module)
        self.initialisation = InitialisationTranslator(module)

    # The door

    def call(self, node: cst.Call) -> Code:
        """Translates one call."""
        dotted = self.module.dotted(node.func)
        code = self.imported_call(dotted, node) if dotted is not None else None
        if code is not None:
            return code
        if isinstance(node.func, cst.Name):
            return self.named_call(node.func.value, node)
        if isinstance(node.func, cst.Attribute):
            return self.methods.call(node.func, node)
        filling = self.initialisation.handed_on(node)
        if filling is not None:
            return filling
        function = self.module.expressions(node.func)
        known = function.kind.tag == "layer"
        kind = self.module.inference.called(function.kind.name) if known else UNKNOWN
        code = self.generic(function, node, kind=kind)
        if isinstance(node.func, cst.Subscript) and self.is_activation(node.func):
            return replace(code, kind=self.arguments.kinds[0])
        return code

    def is_activation(self, node: cst.Subscript) -> bool:
        """Whether a function is `ACT2FN[name]`, which gives what it takes."""
        return self.module.expressions(node.value).kind.name == "ACT2FN"

    def imported_call(self, dotted: str, node: cst.Call) -> Code | None:
        """A call of an imported name that has a meaning of its own; None for others."""
        torch_name = canonical(dotted)
        short = dotted.rsplit(".", 1)[-1]
        upstream = dotted.startswith("transformers.")
        for name in (dotted, torch_name or "", short if upstream else ""):
            if name in CONSTANT_CALLS:
                value = CONSTANT_CALLS[name]
                return Code((str(value),), BOOL if isinstance(value, bool) else INT)
        if UNAVAILABLE.fullmatch(short):
            return Code(("False",), BOOL)
        if short in DEVICE_CALLS or dotted in DEVICE_CALLS:
            return Code(("None",), DEVICE)
        if torch_name is not None:
            return self.functions.call(torch_name, node)
        if ".initialization." in dotted or dotted.startswith("transformers.initialization"):
            return self.initialisation.call(short, node)
        if dotted == "copy.deepcopy" and node.args:
            return self.copied(node)
        if AUTO_MODEL.fullmatch(dotted):
            return self.construction.auto_from_config(dotted, node)
        return None

    def copied(self, node: cst.Call) -> Code | None:
        """`copy.deepcopy(self.heads)` of a list of layers: Keras's lists know who holds them."""
        value = self.module.expressions(node.args[0].value)
        if value.kind.tag != "layers":
            return None
        self.module.imports.need("keraform.runtime", "tree")
        return Code(called("tree.copied", value.doc), value.kind)

    def named_call(self, name: str, node: cst.Call) -> Code:
        """A call of a plain name: a builtin, a class or function of the file, an import."""
        module = self.module
        if name == "super":
            return self.generic(Code(("super",)), node)
        local = name in module.scope.names
        special = idioms.BUILTINS.get(name)
        if special is not None and not local and name not in module.functions:
            result = special(self, node)
            if result is not None:
                module.note_rule(name)
                return result
        if name in module.classes:
            return self.construction.of_file(module.classes[name], node)
        function = module.expressions.names.name(node.func)  # type: ignore[arg-type]
        kind = BUILTIN_KINDS.get(name, UNKNOWN) if not local else UNKNOWN
        if name in module.functions:
            kind = module.inference.returned(module.functions[name])
        elif name in module.origins:
            kind = module.imports.call_kind(module.origins[name])
        if function.kind.tag == "layer":
            kind = module.inference.called(function.kind.name)
        if function.kind.tag == "torch" and function.kind.name in MODULES:  # `Norm = nn.LayerNorm`
            return self.construction.torch_module(function.kind.name, node)
        code = self.generic(function, node, kind=kind)
        if name in ("max", "min") and code.kind == DIM:
            return replace(code, kind=_extreme(self.arguments.kinds))
        return code

    # Calls that are written

    def generic(
        self,
        function: Code,
        node: cst.Call,
        extra: tuple[Doc, ...] = (),
        kind: Kind = UNKNOWN,
        receiver: Kind = UNKNOWN,
    ) -> Code:
        """A call that stays a call; `extra` arguments come last (before `**kwargs`); `receiver` is
        the object whose method is called.
        """
        items, exploded, footer = self.arguments.items(node)
        self.note_arguments(function.kind, receiver, node)
        if len(items) == 1 and not extra and _is_sole_generator(node.args[0].value):
            inner = items[0].doc[0]
            assert isinstance(inner, Group)
            group = Group("(", inner.items, ")", trailing_comma=False, footer=footer)
            return Code(doc(function.operand(), group), kind)
        if extra:
            stars = [n for n, item in enumerate(items) if begins(item.doc, "**")]
            place = stars[0] if stars else len(items)
            items[place:place] = [Item(each) for each in extra]
        starred = len(items) == 1 and begins(items[0].doc, "*")
        group = Group("(", items, ")", exploded, not starred, footer)
        return Code(doc(function.operand(), group), kind)

    def note_arguments(self, function: Kind, receiver: Kind, node: cst.Call) -> None:
        """Tells what a function of the file is called with."""
        module = self.module
        targets: list[cst.FunctionDef | None] = []
        starred = any(arg.star == "*" for arg in node.args)
        if isinstance(node.func, cst.Name) and "Output" in node.func.value and not starred:
            for arg, kind in zip(node.args, self.arguments.kinds, strict=True):
                if arg.keyword is not None:
                    module.learned.note_field(arg.keyword.value, kind, arg.value)
        if isinstance(node.func, cst.Name) and node.func.value not in module.scope.names:
            targets = [module.functions.get(node.func.value)]
            info = module.classes.get(node.func.value)
            if info is not None and info.is_layer:
                targets = [module.inference.method(info, "__init__")]
        elif function.tag == "layer":
            infos = map(module.classes.get, (function.name or "").split("|"))
            targets = [module.inference.method(info, "forward") for info in infos]
        elif isinstance(node.func, cst.Attribute):
            own = _is_self(module, node.func.value)
            info = module.scope.owner if own else module.classes.get(receiver.name or "")
            targets = [module.inference.method(info, node.func.attr.value)]
        if starred:
            return
        given = [
            (arg.keyword.value if arg.keyword else place, kind, arg.value)
            for place, (arg, kind) in enumerate(zip(node.args, self.arguments.kinds, strict=True))
            if not arg.star
        ]
        for target in targets:
            if target is not None:
                module.learned.note_call(module, target, given)

    def ops_call(
        self, function: str, arguments: list[Code], kind: Kind, prefix: str = "ops"
    ) -> Code:
        """A plain call of `keras.ops`, or of Keraform's own operations with the prefix `kf`."""
        if prefix == "ops":
            self.module.imports.need("keras", "ops")
        else:
            self.module.imports.need("keraform.runtime", "ops", "kf")
        return Code(called(f"{prefix}.{function}", *(code.doc for code in arguments)), kind)

    def apply(self, rule: Rule, arguments: Arguments) -> Code:
        """Applies a rule to arguments."""
        if any(code.star for _, code in arguments) and takes_torchs_arguments(rule):
            return self.starred(rule, arguments)
        options = []
        if rule.parameters and rule.parameters[0].variadic:  # `torch.zeros(2, n, **options)`
            options = [Item(doc("**", code.doc)) for _, code in arguments if code.star == "**"]
            arguments = [each for each in arguments if each[1].star != "**"]
        bound = bind(rule, arguments)
        reason = rule.guard(bound) if rule.guard is not None else None
        if reason is not None:
            raise Refusal(rule.id, reason)
        self.module.note_rule(rule.id)
        self.module.stats.operations += 1
        document = fill(rule.emit, bound)
        if options and isinstance(document[-1], Group):
            document[-1].items.extend(options)
        self.module.imports.need_for(document)
        if rule.emit in ("{self}", "{input}"):
            source = bound[rule.emit[1:-1]]
            return Code(source.doc, source.kind, source.precedence, source.parenthesized)
        kind = self.of_default(result_kind(rule, bound))
        return Code(document, kind, rule.precedence)

    def of_default(self, kind: Kind) -> Kind:
        """Torch's default dtype is the model's own while that is constructed, and float32 when it
        is called.
        """
        if kind.dtype not in ("default", "constructed"):
            return kind
        function, analysis = self.module.scope.function, self.module.analysis
        if function is None or function.name.value in analysis.construction:
            return replace(kind, dtype="float")
        return replace(kind, dtype="float32" if kind.dtype == "default" else None)

    def starred(self, rule: Rule, arguments: Arguments) -> Code:
        """A call with `*args` or `**kwargs` of a function that has torch's parameters."""
        self.module.note_rule(rule.id)
        self.module.stats.operations += 1
        self.module.imports.need_for((rule.emit,))
        items = [
            Item(doc(code.star or (f"{keyword}=" if keyword else ""), code.doc))
            for keyword, code in arguments
        ]
        function = rule.emit.partition("(")[0]
        return Code(doc(function, Group("(", items, ")")), TENSOR)


def _extreme(kinds: list[Kind]) -> Kind:
    """What `max` and `min` give of several values; one argument is a sequence of sizes."""
    if len(kinds) > 1 and all(kind.is_unknown or kind.is_tensor for kind in kinds):
        return join_all(tuple(kinds))
    if len(kinds) > 1 and all(kind.tag in NUMBERS for kind in kinds):
        return join_all(tuple(kinds))
    return DIM if len(kinds) > 1 and kinds[0].tag == "dim" else Kind("dim", "mixed")


def _is_self(module: ModuleTranslator, node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Name) and node.value == module.scope.self_name


def _is_sole_generator(node: cst.BaseExpression) -> bool:
    """Whether an argument is a generator that shares the call's parentheses."""
    return isinstance(node, cst.GeneratorExp) and not node.lpar
