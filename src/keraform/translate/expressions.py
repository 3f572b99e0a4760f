"""Translation of expressions: every torch expression becomes Keras code plus what is known of its
value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import (
    BOOL,
    BOOL_TENSOR,
    CONFIG,
    DEVICE,
    DICT,
    DIM,
    DTYPE,
    FLOAT,
    FLOAT_TENSOR,
    FUNCTION,
    INT,
    LIST,
    NONE,
    PY,
    SIZE,
    STR,
    UNKNOWN,
    Kind,
    join,
    kind_from_fact,
)
from keraform.translate.layout import Break, Doc, Group, Item, doc, forced
from keraform.translate.rules.record import ATOM, Code, Refusal
from keraform.translate.rules.torch_names import DTYPES, canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

BINARY = {
    cst.Add: ("+", 9, "add"),
    cst.Subtract: ("-", 9, "subtract"),
    cst.Multiply: ("*", 10, "multiply"),
    cst.Divide: ("/", 10, "divide"),
    cst.FloorDivide: ("//", 10, "floor_divide"),
    cst.Modulo: ("%", 10, "mod"),
    cst.MatrixMultiply: ("@", 10, "matmul"),
    cst.Power: ("**", 12, "power"),
    cst.BitAnd: ("&", 7, "logical_and"),
    cst.BitOr: ("|", 5, "logical_or"),
    cst.BitXor: ("^", 6, "logical_xor"),
    cst.LeftShift: ("<<", 8, "left_shift"),
    cst.RightShift: (">>", 8, "right_shift"),
}
COMPARE = {
    cst.Equal: ("==", "equal"),
    cst.NotEqual: ("!=", "not_equal"),
    cst.LessThan: ("<", "less"),
    cst.LessThanEqual: ("<=", "less_equal"),
    cst.GreaterThan: (">", "greater"),
    cst.GreaterThanEqual: (">=", "greater_equal"),
    cst.Is: ("is", ""),
    cst.IsNot: ("is not", ""),
    cst.In: ("in", ""),
    cst.NotIn: ("not in", ""),
}
ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%", "**"})
NUMBERS = frozenset({"int", "float", "bool", "py"})

# Fields of model outputs, by the names that Transformers uses everywhere.
OUTPUT_FIELDS: dict[str, Kind] = {
    **dict.fromkeys(
        (
            "last_hidden_state",
            "pooler_output",
            "logits",
            "loss",
            "encoder_last_hidden_state",
            "image_embeds",
            "text_embeds",
            "start_logits",
            "end_logits",
        ),
        FLOAT_TENSOR,
    ),
    **dict.fromkeys(
        (
            "hidden_states",
            "attentions",
            "cross_attentions",
            "encoder_hidden_states",
            "decoder_hidden_states",
            "feature_maps",
        ),
        Kind("tuple", items=(FLOAT_TENSOR,)),
    ),
    "past_key_values": Kind("object", name="Cache"),
}


class ExpressionTranslator:
    """Translates the expressions of one file; calls and subscripts are in their own modules."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.handlers: dict[type, Callable[..., Code]] = {
            cst.Name: self.name,
            cst.Attribute: self.attribute,
            cst.Integer: self.number,
            cst.Float: self.number,
            cst.SimpleString: self.string,
            cst.ConcatenatedString: self.concatenated,
            cst.FormattedString: self.formatted,
            cst.Tuple: self.tuple,
            cst.List: self.list,
            cst.Set: self.set,
            cst.Dict: self.dict,
            cst.BinaryOperation: self.binary,
            cst.UnaryOperation: self.unary,
            cst.BooleanOperation: self.boolean,
            cst.Comparison: self.comparison,
            cst.IfExp: self.if_expression,
            cst.Lambda: self.lambda_,
            cst.ListComp: self.comprehension,
            cst.GeneratorExp: self.comprehension,
            cst.SetComp: self.comprehension,
            cst.DictComp: self.dict_comprehension,
            cst.NamedExpr: self.walrus,
            cst.Ellipsis: self.ellipsis,
            cst.Call: module.calls.call,
            cst.Subscript: module.subscripts.subscript,
            cst.Await: self.verbatim,
            cst.Yield: self.yield_,
            cst.Imaginary: self.number,
        }

    # The door

    def __call__(self, node: cst.BaseExpression) -> Code:
        """Translates one expression."""
        handler = self.handlers.get(type(node))
        if handler is None:
            raise Refusal("python", f"no translation for {type(node).__name__}")
        code = handler(node)
        parenthesized = bool(node.lpar)  # type: ignore[attr-defined]
        if parenthesized:
            self.module.comments_in(node.lpar, node.rpar)  # type: ignore[attr-defined]
        kind = self.with_fact(node, code.kind)
        return Code(
            code.doc,
            kind,
            code.precedence,
            parenthesized and not isinstance(node, cst.Tuple),
            code.star,
        )

    def with_fact(self, node: cst.CSTNode, kind: Kind) -> Kind:
        """A recorded fact beats static inference; sizes stay sizes, because the record cannot tell
        them from ints.
        """
        fact = self.module.fact(node)
        if fact is None:
            return kind
        known = kind_from_fact(fact)
        if (
            kind.name == "scanned"
            or known.is_unknown
            or kind.tag in ("dim", "device", "size", "layer", "layers", "class", "config", "dtype")
        ):
            return kind
        if known.tag == "none" and not kind.is_unknown:
            return kind
        if known.tag == "int" and kind.is_unknown:
            return DIM
        if kind.tag == known.tag and kind.items:
            return kind
        return known

    # Leaves

    def name(self, node: cst.Name) -> Code:
        value = node.value
        if value in ("True", "False"):
            return Code((value,), BOOL)
        if value == "None":
            return Code((value,), NONE)
        scope = self.module.scope
        if value in scope.names:
            return Code((value,), scope.names[value])
        if value == scope.self_name:
            return Code((value,), Kind("layer", name=scope.owner.name if scope.owner else None))
        info = self.module.classes.get(value)
        if info is not None:
            return Code((info.component_name,), Kind("class", name=value))
        if value in self.module.functions:
            return Code((value,), Kind("function", name=value))
        origin = self.module.origins.get(value)
        if origin is not None:
            return self.imported(value, origin)
        if value in self.module.globals:
            return Code((value,), self.module.globals[value])
        return Code((value,), UNKNOWN)

    def imported(self, value: str, origin: str) -> Code:
        """A name that an import of the source binds."""
        torch_name = canonical(origin)
        if torch_name is not None:
            return self.torch_name(torch_name)
        local, kind = self.module.imports.use(value)
        return Code((local,), kind)

    def torch_name(self, name: str) -> Code:
        """A torch name that stands alone: a dtype, a class, a constant."""
        if name in DTYPES:
            return Code((f'"{DTYPES[name]}"',), DTYPE)
        if name in (
            "torch.Tensor",
            "torch.FloatTensor",
            "torch.LongTensor",
            "torch.BoolTensor",
            "nn.Parameter",
        ):
            return Code(
                (self.module.imports.need("keraform.runtime.layers", "Tensor"),),
                Kind("torch", name=name),
            )
        if name in ("nn.Module",):
            return Code(
                (self.module.imports.need("keraform.runtime.layers", "Layer"),),
                Kind("torch", name=name),
            )
        if name in ("torch.inf", "torch.pi", "torch.nan", "torch.e"):
            self.module.imports.plain("math")
            return Code((name.replace("torch", "math"),), FLOAT)
        if name == "torch.Size":
            return Code(("tuple",), Kind("torch", name=name))
        layer = self.module.layer_class(name)
        if layer is not None:
            self.module.imports.need("keraform.runtime", "layers")
            return Code((f"layers.{layer}",), Kind("torch", name=name))
        if name in (
            "nn.utils.weight_norm",
            "nn.utils.parametrizations.weight_norm",
            "nn.utils.spectral_norm",
        ):
            self.module.imports.need("keraform.runtime", "layers")
            return Code((f"layers.{name.rsplit('.', 1)[-1]}",), Kind("function", name=name))
        if name in ("nn.ModuleList", "nn.ParameterList"):
            return Code(("list",), Kind("torch", name=name))
        if name == "nn.ModuleDict":
            return Code(("dict",), Kind("torch", name=name))
        if name == "nn.Sequential":
            self.module.imports.need("keraform.runtime", "layers")
            return Code(("layers.Sequential",), Kind("torch", name=name))
        template = self.module.calls.function_reference(name)
        if template is not None:
            return Code((template,), Kind("function", name=name))
        if name in (
            "torch",
            "nn",
            "F",
            "torch.backends",
            "torch.cuda",
            "torch.jit",
            "torch.distributed",
        ):
            return Code((name,), Kind("torch", name=name))
        raise Refusal(name, "no rule for this name of torch")

    def number(self, node: cst.Integer | cst.Float | cst.Imaginary) -> Code:
        return Code((node.value,), INT if isinstance(node, cst.Integer) else FLOAT)

    def string(self, node: cst.SimpleString) -> Code:
        return Code((node.value,), STR)

    def ellipsis(self, _node: cst.Ellipsis) -> Code:
        return Code(("...",), PY)

    def concatenated(self, node: cst.ConcatenatedString) -> Code:
        parts: list[cst.BaseExpression] = []
        current: cst.BaseExpression = node
        while isinstance(current, cst.ConcatenatedString):
            parts.append(current.left)
            self.module.comments_in(current.whitespace_between)
            current = current.right
        parts.append(current)
        codes = [self(part) for part in parts]
        document: Doc = codes[0].doc
        for code in codes[1:]:
            document = doc(document, Break(" ", 13), code.doc)
        return Code(document, STR, 13)

    def formatted(self, node: cst.FormattedString) -> Code:
        text = node.start
        for part in node.parts:
            if isinstance(part, cst.FormattedStringText):
                text += part.value
            else:
                inner = self(part.expression).text
                quote = node.end[0]
                if quote in inner and len(node.end) == 1:
                    inner = inner.replace(quote, "'" if quote == '"' else '"')
                if inner.startswith("{"):
                    inner = " " + inner
                spec = self.module.text(part)
                tail = spec[len("{" + self.module.text(part.expression)) : -1]
                text += "{" + inner + tail.strip() + "}" if tail.strip() else "{" + inner + "}"
        return Code((text + node.end,), STR)

    # Containers

    def elements(self, elements: object) -> list[tuple[Item, Kind]]:
        """The items of a container display, with their comments."""
        result = []
        for element in elements:  # type: ignore[attr-defined]
            above = self.module.take_comments()
            if isinstance(element, cst.StarredElement):
                code = self(element.value)
                result.append((Item(doc("*", code.operand(5))), Kind("unknown", name="star")))
            elif isinstance(element, cst.StarredDictElement):
                code = self(element.value)
                result.append((Item(doc("**", code.operand(5))), UNKNOWN))
            elif isinstance(element, cst.DictElement):
                key, code = self(element.key), self(element.value)
                result.append((Item(doc(key.doc, ": ", code.whole)), code.kind))
            else:
                code = self(element.value)
                result.append((Item(code.whole), code.kind))
            result[-1][0].above = (*above, *self.module.take_comments())
            self._comma_comments(element, result[-1][0], result)
        return result

    def _comma_comments(self, element: cst.CSTNode, item: Item, _result: object) -> None:
        comma = getattr(element, "comma", None)
        if isinstance(comma, cst.Comma):
            beside, rest = self.module.split_comments(comma.whitespace_after)
            item.beside = beside
            self.module.pending.extend(rest)

    def tuple(self, node: cst.Tuple) -> Code:
        items = self.elements(node.elements)
        kinds = tuple(kind for _, kind in items)
        starred = any(kind.name == "star" for kind in kinds)
        kind = Kind("tuple") if starred else Kind("tuple", items=kinds)
        footer = tuple(self.module.take_comments())
        if not node.lpar:
            if len(items) == 1:
                return Code(doc(items[0][0].doc, ","), kind, 0)
            if not any(forced(item.doc) for item, _ in items):
                return Code(doc(Group("", [item for item, _ in items], "")), kind, 0)
            document: Doc = ()
            for number, (item, _) in enumerate(items):
                document = doc(document, ", " if number else "", item.doc)
            return Code(document, kind, 0)
        if starred:
            kind = Kind("tuple")
        close = ",)" if len(items) == 1 else ")"
        return Code(
            doc(Group("(", [i for i, _ in items], close, self._exploded(node), footer=footer)), kind
        )

    @staticmethod
    def _exploded(node: cst.CSTNode) -> bool:
        """Whether the source wrote one element a line, closed by a comma (the formatters' magic
        comma).
        """
        elements = node.elements  # type: ignore[attr-defined]
        if not elements or (len(elements) < 2 and isinstance(node, cst.Tuple)):
            return False
        if not isinstance(elements[-1].comma, cst.Comma):
            return False
        brackets = [getattr(node, name, None) for name in ("rbracket", "rbrace")]
        closing = next((b for b in brackets if b is not None), None) or node.rpar[-1]  # type: ignore[attr-defined]
        return isinstance(closing.whitespace_before, cst.ParenthesizedWhitespace)

    def list(self, node: cst.List) -> Code:
        self.module.comments_in(node.lbracket.whitespace_after)
        items = self.elements(node.elements)
        self.module.comments_in(node.rbracket.whitespace_before)
        kinds = tuple(kind for _, kind in items)
        kind = LIST if any(k.name == "star" for k in kinds) else Kind("list", items=kinds)
        if kinds and all(k.tag == "layer" for k in kinds):
            kind = Kind("layers", name=kinds[0].name)
        footer = tuple(self.module.take_comments())
        return Code(
            doc(Group("[", [i for i, _ in items], "]", self._exploded(node), footer=footer)), kind
        )

    def set(self, node: cst.Set) -> Code:
        items = self.elements(node.elements)
        return Code(doc(Group("{", [i for i, _ in items], "}", self._exploded(node))), PY)

    def dict(self, node: cst.Dict) -> Code:
        self.module.comments_in(node.lbrace.whitespace_after)
        items = self.elements(node.elements)
        self.module.comments_in(node.rbrace.whitespace_before)
        footer = tuple(self.module.take_comments())
        return Code(
            doc(Group("{", [i for i, _ in items], "}", self._exploded(node), footer=footer)), DICT
        )

    # Operators

    def binary(self, node: cst.BinaryOperation) -> Code:
        symbol, precedence, function = BINARY[type(node.operator)]
        left, right = self(node.left), self(node.right)
        self.module.comments_in(node.operator.whitespace_before, node.operator.whitespace_after)  # type: ignore[attr-defined]
        kind = self.binary_kind(symbol, left.kind, right.kind)
        if left.kind.is_tensor or right.kind.is_tensor or kind.is_tensor:
            self.module.stats.operations += 1
        if self.needs_function(symbol, left.kind, right.kind):
            function = self.function_for(symbol, function, left.kind, right.kind)
            return self.module.calls.ops_call(function, [left, right], kind)
        if symbol == "**":
            simple = all(
                isinstance(n, (cst.Name, cst.Attribute, cst.Integer, cst.Float, cst.UnaryOperation))
                for n in (node.left, node.right)
            )
            symbol = "**" if simple else " ** "
            return Code(doc(left.operand(13), symbol, right.operand(11)), kind, precedence)
        document = doc(
            left.operand(precedence),
            Break(f" {symbol} ", precedence),
            right.operand(precedence + 1),
        )
        return Code(document, kind, precedence)

    @staticmethod
    def binary_kind(symbol: str, left: Kind, right: Kind) -> Kind:
        """The kind of `left symbol right`."""
        if left.tag == "str" or right.tag == "str":
            return STR
        if left.is_tensor or right.is_tensor:
            classes = {k.dtype_class for k in (left, right) if k.is_tensor}
            rank = max(
                (k.rank for k in (left, right) if k.is_tensor and k.rank is not None), default=None
            )
            if "float" in classes or symbol == "/" or FLOAT in (left, right):
                floats = {
                    k.dtype for k in (left, right) if k.is_tensor and k.dtype_class == "float"
                }
                exact = (
                    floats.pop()
                    if len(floats) == 1
                    else "float32"
                    if floats == {"float", "float32"}
                    else "float"
                )
                return Kind("tensor", exact, rank)
            if classes == {"int"} or classes == {"int", "bool"}:
                return Kind(
                    "tensor",
                    "int64" if left.dtype == "int64" or right.dtype == "int64" else "int",
                    rank,
                )
            return (
                Kind("tensor", "bool", rank)
                if classes == {"bool"} and symbol in "&|^+*"
                else Kind("tensor", None, rank)
            )
        if "dim" in (left.tag, right.tag):
            return FLOAT if "float" in (left.tag, right.tag) else DIM
        if left.tag in ("size", "tuple", "list") or right.tag in ("size", "tuple", "list"):
            return left if left.tag != "int" else right
        if left.tag in NUMBERS and right.tag in NUMBERS:
            return FLOAT if symbol == "/" else join(left, right)
        return UNKNOWN

    @staticmethod
    def needs_function(symbol: str, left: Kind, right: Kind) -> bool:
        """Whether the operator would raise or mislead: mixed dtypes, sizes as numbers, divided
        integers.
        """
        if not (left.is_tensor or right.is_tensor) or symbol == "@":
            return False
        a, b = left.dtype_class, right.dtype_class
        if left.is_tensor and right.is_tensor:
            if "mixed" in (left.dtype, right.dtype):
                return symbol in "+-*/%//**"
            if (
                a
                and b
                and (a != b or (a == "int" and left.dtype != right.dtype and symbol not in "<<>>"))
            ):
                return True
            if left.dtype and right.dtype and a == b == "float" and left.dtype != right.dtype:
                return True
            if a == b == "bool" and symbol in ("+", "*"):
                return True
            if (a is None) != (b is None) and "float" not in (a, b) and symbol in ARITHMETIC:
                return True  # the unknown one may be of floats
            return symbol == "/" and (a != "float" and b != "float")
        tensor, other = (left, right) if left.is_tensor else (right, left)
        kind = tensor.dtype_class
        if other.tag == "dim" and symbol in ("+", "-", "*", "/", "//", "%", "**"):
            return kind != "int" or tensor.dtype == "int64" or symbol == "/"
        if symbol == "/":
            return kind != "float"
        if kind == "bool" and symbol in ("+", "-", "*"):
            return True
        return kind == "int" and other.tag == "float"

    @staticmethod
    def function_for(symbol: str, function: str, left: Kind, right: Kind) -> str:
        """The function of `keras.ops` for an operator; dtypes tell bits from truth values."""
        classes = {left.dtype_class, right.dtype_class}
        if symbol in "&|^" and "int" in classes:
            return function.replace("logical", "bitwise")
        if classes == {"bool"}:
            return {"+": "logical_or", "*": "logical_and"}.get(symbol, function)
        return function

    def unary(self, node: cst.UnaryOperation) -> Code:
        operand = self(node.expression)
        if isinstance(node.operator, cst.Not):
            constant = self.module.constant(operand.text)
            if constant is not None:
                return Code((str(not constant),), BOOL)
            return Code(doc("not ", operand.operand(3)), BOOL, 3)
        symbol = {cst.Minus: "-", cst.Plus: "+", cst.BitInvert: "~"}[type(node.operator)]
        return Code(doc(symbol, operand.operand(11)), operand.kind, 11)

    def boolean(self, node: cst.BooleanOperation) -> Code:
        word, precedence = ("and", 2) if isinstance(node.operator, cst.And) else ("or", 1)
        left, right = self(node.left), self(node.right)
        self.module.comments_in(node.operator.whitespace_before, node.operator.whitespace_after)
        folded = self.module.fold_boolean(word, left.text, right.text)
        if folded is not None:
            return (
                left if folded == "left" else right if folded == "right" else Code((folded,), BOOL)
            )
        if self.module.graph_test:
            function = "both" if word == "and" else "either"
            return self.module.calls.ops_call(function, [left, right], BOOL, "kf")
        document = doc(
            left.operand(precedence), Break(f" {word} ", precedence), right.operand(precedence + 1)
        )
        kind = BOOL if left.kind == right.kind == BOOL else join(left.kind, right.kind)
        return Code(document, kind, precedence)

    def comparison(self, node: cst.Comparison) -> Code:
        left = self(node.left)
        document, kinds = left.operand(5), [left.kind]
        functions = []
        rights = []
        for target in node.comparisons:
            symbol, function = COMPARE[type(target.operator)]
            right = self(target.comparator)
            document = doc(document, Break(f" {symbol} ", 4), right.operand(5))
            kinds.append(right.kind)
            functions.append(function)
            rights.append(right)
        if DEVICE in kinds:
            # Ports are built like modules on torch's meta device: weights come later.
            differs = isinstance(node.comparisons[0].operator, (cst.NotEqual, cst.IsNot, cst.NotIn))
            return Code((str(differs != ("meta" in self.module.text(node))),), BOOL)
        if all(functions) and any(
            k.tag in ("dim", "size", "tensor") and k.name != "annotated" for k in kinds
        ):
            self.module.symbolic = True
        tensors = [k for k in kinds if k.is_tensor]
        if tensors and all(functions):
            self.module.stats.operations += 1
            classes = {k.dtype_class for k in tensors}
            exact = {k.dtype for k in tensors}
            if (
                len(functions) == 1
                and len(tensors) == 2
                and None not in classes
                and (len(classes) > 1 or len(exact) > 1)
            ):
                return self.module.calls.ops_call(functions[0], [left, rights[0]], BOOL_TENSOR)
            return Code(document, Kind("tensor", "bool", tensors[0].rank), 4)
        return Code(
            document, BOOL if not any(k.is_unknown for k in kinds) or not all(functions) else PY, 4
        )

    def if_expression(self, node: cst.IfExp) -> Code:
        test = self(node.test)
        constant = self.module.constant(test.text)
        if constant is not None:
            return self(node.body if constant else node.orelse)
        body, orelse = self(node.body), self(node.orelse)
        kind = join(body.kind, orelse.kind)
        if body.kind == DEVICE and orelse.kind == DEVICE:
            return Code(("None",), DEVICE)
        if test.kind.is_tensor:
            if kind.is_tensor or {body.kind.tag, orelse.kind.tag} <= NUMBERS | {"tensor"}:
                return self.module.calls.ops_call(
                    "where", [test, body, orelse], Kind("tensor", kind.dtype)
                )
            raise Refusal(
                "control-flow",
                "a condition that depends on tensor values decides between Python values",
            )
        document = doc(
            body.operand(1), Break(" if "), test.operand(1), Break(" else "), orelse.operand(0)
        )
        return Code(document, kind, 0)

    def lambda_(self, node: cst.Lambda) -> Code:
        names = [p.name.value for p in node.params.params]
        with self.module.locals({name: UNKNOWN for name in names}):
            body = self(node.body)
            parameters = self.module.text(node.params)
        return Code(
            doc(f"lambda {parameters}: " if parameters else "lambda: ", body.doc), FUNCTION, 0
        )

    def walrus(self, node: cst.NamedExpr) -> Code:
        value = self(node.value)
        target = self.module.text(node.target)
        self.module.scope.names[target] = value.kind
        return Code(doc(f"{target} := ", value.operand(1)), value.kind, 0)

    def yield_(self, node: cst.Yield) -> Code:
        value = self(node.value) if isinstance(node.value, cst.BaseExpression) else None
        return Code(doc("yield ", value.doc) if value else ("yield",), UNKNOWN, 0)

    def verbatim(self, node: cst.BaseExpression) -> Code:
        return Code((self.module.text(node),), UNKNOWN)

    # Comprehensions

    def comprehension(self, node: cst.ListComp | cst.GeneratorExp | cst.SetComp) -> Code:
        saved = dict(self.module.scope.names)
        clauses = self.clauses(node.for_in)
        element = self(node.elt)
        self.module.scope.names = saved
        open_, close = {cst.ListComp: ("[", "]"), cst.SetComp: ("{", "}")}.get(
            type(node), ("(", ")")
        )
        kind = Kind("list", items=(element.kind,))
        if element.kind.tag == "layer":
            kind = Kind("layers", name=element.kind.name)
        group = Group(open_, [Item(doc(element.doc, clauses))], close, trailing_comma=False)
        return Code(doc(group), kind)

    def dict_comprehension(self, node: cst.DictComp) -> Code:
        saved = dict(self.module.scope.names)
        clauses = self.clauses(node.for_in)
        key, value = self(node.key), self(node.value)
        self.module.scope.names = saved
        item = Item(doc(key.doc, ": ", value.doc, clauses))
        return Code(doc(Group("{", [item], "}", trailing_comma=False)), DICT)

    def clauses(self, node: cst.CompFor) -> Doc:
        iterable = self(node.iter)
        self.module.bind_target(node.target, self.element_kind(iterable))
        document = doc(
            Break(" for "), self.module.target_text(node.target), " in ", iterable.operand(1)
        )
        for clause in node.ifs:
            document = doc(document, Break(" if "), self(clause.test).operand(1))
        if node.inner_for_in is not None:
            document = doc(document, self.clauses(node.inner_for_in))
        return document

    @staticmethod
    def element_kind(iterable: Code) -> Kind:
        """The kind of what iterating over a value yields."""
        kind = iterable.kind
        if kind.name in ("enumerate", "zip"):
            return Kind("tuple", items=kind.items)
        if kind.tag == "layers":
            return Kind("layer", name=kind.name)
        if kind.tag in ("tuple", "list") and kind.items:
            return kind.item()
        if kind.tag == "size":
            return DIM
        if kind.is_tensor:
            return Kind("tensor", kind.dtype, kind.rank - 1 if kind.rank else None)
        return INT if kind.name == "range" else UNKNOWN

    # Attributes

    def attribute(self, node: cst.Attribute) -> Code:
        dotted = self.module.dotted(node)
        if dotted is not None:
            name = canonical(dotted)
            if name is not None:
                return self.torch_name(name)
        attribute = node.attr.value
        if isinstance(node.value, cst.Name) and node.value.value in self.module.origins:
            local = self.imported(node.value.value, self.module.origins[node.value.value])
            if local.kind.tag == "py" or local.kind.is_unknown:
                return Code(
                    doc(local.doc, f".{attribute}"),
                    Kind("function", name="np") if "numpy" in (dotted or "") else UNKNOWN,
                )
        receiver = self(node.value)
        self.module.comments_in(node.dot.whitespace_before, node.dot.whitespace_after)
        if isinstance(node.value, cst.Name) and node.value.value == self.module.scope.self_name:
            return self.own_attribute(attribute)
        return self.attribute_of(receiver, attribute)

    def own_attribute(self, name: str) -> Code:
        """`self.name`."""
        owner = self.module.scope.owner
        kind = self.module.attribute_kind(owner, name) if owner else UNKNOWN
        if name == "device":
            return Code(("None",), DEVICE)
        if name == "forward":
            name = "call"
        return Code((f"{self.module.scope.self_name}.{name}",), kind)

    def attribute_of(self, receiver: Code, name: str) -> Code:
        """`receiver.name`, for any receiver but self."""
        kind = receiver.kind
        tensorlike = kind.is_tensor or kind.is_unknown
        if name == "device" or kind == DEVICE:
            return Code(("None",), DEVICE)
        if name == "shape" and (tensorlike or kind.tag == "object"):
            self.module.imports.need("keras", "ops")
            return Code(doc("ops.shape", Group("(", [Item(receiver.doc)], ")")), SIZE)
        if name == "dtype":
            return Code(doc(receiver.operand(), ".dtype"), DTYPE)
        if tensorlike and name in (
            "data",
            "T",
            "mT",
            "ndim",
            "is_cuda",
            "real",
            "imag",
            "itemsize",
        ):
            return self.tensor_attribute(receiver, name)
        if name == "forward":
            name = "call"
        result = UNKNOWN
        if kind.tag == "layer":
            result = self.module.attribute_kind(
                self.module.classes.get(kind.name or ""), name, torch=kind.name
            )
        elif kind.tag == "config" or kind.tag == "py":
            result = PY
        elif kind.tag in ("object", "unknown") and name in OUTPUT_FIELDS:
            result = OUTPUT_FIELDS[name]
        if name.endswith("config"):
            result = CONFIG
        return Code(doc(receiver.operand(), f".{name}"), result)

    def tensor_attribute(self, receiver: Code, name: str) -> Code:
        if name == "data":
            return receiver
        if name == "is_cuda":
            return Code(("False",), BOOL)
        if name == "ndim":
            return self.module.calls.ops_call("ndim", [receiver], INT)
        function = {"T": "transpose", "mT": "matrix_transpose", "real": "real", "imag": "imag"}.get(
            name
        )
        if function is None:
            raise Refusal(f"Tensor.{name}", "no rule for this attribute of a tensor")
        if name == "mT":
            self.module.imports.need("keras", "ops")
            args = [Item(receiver.doc), Item(("-1",)), Item(("-2",))]
            return Code(doc("ops.swapaxes", Group("(", args, ")")), receiver.kind)
        return self.module.calls.ops_call(function, [receiver], receiver.kind)


__all__ = ["ATOM", "ExpressionTranslator"]
