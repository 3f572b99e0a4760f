"""Translation of one file: analysis of its classes, the walk over its statements, and the text of
the port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from keraform.errors import KeraformError
from keraform.translate.analysis import Analysis, analyse
from keraform.translate.calls import CallTranslator
from keraform.translate.definitions import DefinitionTranslator
from keraform.translate.docmacros import Docstrings
from keraform.translate.expressions import ExpressionTranslator
from keraform.translate.imports import ImportTable
from keraform.translate.kinds import CONFIG, FLOAT_TENSOR, PY, TENSOR, UNKNOWN, Kind, kind_from_fact
from keraform.translate.layout import Doc, doc, flat
from keraform.translate.overrides import load_override
from keraform.translate.report import RefusalRecord, Stats, Translation
from keraform.translate.rules.modules import layer_class
from keraform.translate.rules.record import Refusal
from keraform.translate.rules.seams import CONSTANT_CALLS, SHARED_MODULES
from keraform.translate.rules.torch_names import canonical
from keraform.translate.scope import ClassInfo, Scope
from keraform.translate.source import Source
from keraform.translate.statements import StatementTranslator
from keraform.translate.subscripts import SubscriptTranslator
from keraform.translate.wrappers import WrapperTranslator

TENSOR_ANNOTATIONS = {
    "torch.Tensor": TENSOR,
    "torch.FloatTensor": FLOAT_TENSOR,
    "torch.LongTensor": Kind("tensor", "int64"),
    "torch.BoolTensor": Kind("tensor", "bool"),
    "torch.IntTensor": Kind("tensor", "int32"),
    "nn.Parameter": FLOAT_TENSOR,
    "torch.HalfTensor": FLOAT_TENSOR,
    "torch.ByteTensor": Kind("tensor", "uint8"),
}
PLAIN_ANNOTATIONS = {
    "int": Kind("dim", name="annotated"),
    "float": Kind("float"),
    "bool": Kind("bool"),
    "str": Kind("str"),
    "dict": Kind("dict"),
    "list": Kind("list"),
    "tuple": Kind("tuple"),
    "None": Kind("none"),
    "Callable": Kind("function"),
}


class ModuleTranslator:
    """Translates one PyTorch file."""

    def __init__(self, source: Source, facts: Mapping[str, str] | None = None):
        self.source = source
        try:
            tree = cst.parse_module(source.text)
        except cst.ParserSyntaxError as error:
            raise KeraformError(
                f"expected a Python file, got a syntax error in {source.path}, "
                f"line {error.raw_line}: "
                f"{error.message}; "
                "correct the file and try again"
            ) from error
        self.tree = tree
        self.positions: Mapping[cst.CSTNode, CodeRange] = MetadataWrapper(
            tree, unsafe_skip_copy=True
        ).resolve(PositionProvider)
        self.facts = facts or {}
        self.stats = Stats()
        self.refusals: list[RefusalRecord] = []
        self.pending: list[str] = []
        self.returns: list[Kind] = []
        self.in_annotation = False
        self.symbolic = False
        self.graph_test = False
        self.main_layer = False
        self.unpacking: str | None = None
        self.scope = Scope()
        self.globals: dict[str, Kind] = {}
        self.imports = ImportTable(component_name)
        self.override = load_override(source.module)
        for imported in self.override.imports:
            self.imports.need(*imported)
        self.calls = CallTranslator(self)
        self.subscripts = SubscriptTranslator(self)
        self.expressions = ExpressionTranslator(self)
        self.statements = StatementTranslator(self)
        self.definitions = DefinitionTranslator(self)
        self.wrappers = WrapperTranslator(self)
        self.docstrings = Docstrings(self)
        self.analysis: Analysis = analyse(tree, source.module)
        self.classes = self.analysis.classes
        self.functions = self.analysis.functions
        for local, origin in self.analysis.origins.items():
            self.imports.bind(local, origin)
        self.origins = self.imports.origins
        self._returning: set[int] = set()

    # The whole file

    def translate(self) -> Translation:
        """Translates the file."""
        for info in self.classes.values():
            self.learn_attributes(info)
        header = self.statements.leading(self.tree.header, "")
        lines: list[str] = []
        docstring: list[str] = []
        body = list(self.tree.body)
        if (
            body
            and isinstance(body[0], cst.SimpleStatementLine)
            and isinstance(body[0].body[0], cst.Expr)
        ):
            value = body[0].body[0].value
            if isinstance(value, cst.SimpleString):
                docstring = [
                    *self.statements.leading(body[0].leading_lines, ""),
                    value.value.replace("PyTorch", "Keras"),
                ]
                body = body[1:]
        for node in body:
            if self.skipped(node):
                lines.extend(
                    line
                    for line in self.statements.leading(getattr(node, "leading_lines", ()), "")
                    if line.strip()
                )
                continue
            lines.extend(self.statements.statement(node, ""))
        lines.extend(self.statements.leading(self.tree.footer, ""))
        self.override.check(self.source.path)
        text = "\n".join(lines)
        text = re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"
        imports = self.imports.text(text)
        gap = [""] * (2 if text.startswith(("class ", "def ", "@")) else 1)
        parts = [
            "\n".join(header).rstrip(),
            *self.banner(),
            "\n".join(docstring),
            "",
            imports,
            *gap,
            text,
        ]
        code = "\n".join(part for number, part in enumerate(parts) if part or number > 3)
        code = re.sub(r"\n{4,}", "\n\n\n", code).lstrip("\n")
        self.measure(code)
        return Translation(code, self.refusals, self.stats)

    def banner(self) -> list[str]:
        """The comment that says where the file comes from; filled in by the cache, which knows the
        rules' version.
        """
        return ["#", "# KERAFORM-BANNER", "#"]

    def skipped(self, node: cst.BaseStatement | cst.SimpleStatementLine) -> bool:
        """Statements at the top of a file that have no place in a port: conditional imports,
        unwanted classes.
        """
        if (
            isinstance(node, (cst.ClassDef, cst.FunctionDef))
            and self.source.module in SHARED_MODULES
        ):
            return re.fullmatch(SHARED_MODULES[self.source.module], node.name.value) is None
        if isinstance(node, cst.If):
            test = self.text(node.test)
            names = re.findall(r"\bis_\w+|TYPE_CHECKING", test)
            if names:
                for inner in node.body.body:
                    for function in [inner] if isinstance(inner, cst.FunctionDef) else []:
                        self.functions.pop(function.name.value, None)
                return True
        return isinstance(node, cst.Try)

    def measure(self, code: str) -> None:
        """Lines and comments of source and port."""
        self.stats.source_lines = self.source.text.count("\n")
        self.stats.lines = code.count("\n")
        comment = re.compile(r"^\s*#|\s{2}#", re.M)
        self.stats.comments = len(comment.findall(self.source.text))
        self.stats.comments_kept = len(comment.findall(code)) - 3

    # Reports

    def refuse(self, refusal: Refusal, node: cst.CSTNode, indent: str) -> list[str]:
        """Records a refusal; a `raise` stands where the construct was."""
        line = self.line(node)
        self.refusals.append(RefusalRecord(refusal.rule, self.source.path, line, refusal.reason))
        message = (
            f"{self.source.path}:{line}: {refusal.rule}: {refusal.reason}".replace('"', "'")
            .replace("{", "{{")
            .replace("}", "}}")
        )
        return [f'{indent}raise NotImplementedError("{message}")']

    def count_helper(self, reason: str) -> None:
        """Counts a call of a run-time dispatch helper."""
        self.stats.helper_calls += 1
        self.stats.helper_reasons[reason] = self.stats.helper_reasons.get(reason, 0) + 1

    def line(self, node: cst.CSTNode) -> int:
        """The line of a node in the source."""
        position = self.positions.get(node)
        return position.start.line if position is not None else 0

    # Text and comments

    def text(self, node: cst.CSTNode) -> str:
        """The source text of a node."""
        return self.tree.code_for_node(node)

    def comments_in(self, *nodes: object) -> None:
        """Keeps the comments that stand between brackets, for the line above the statement."""
        for node in nodes:
            if isinstance(node, cst.SimpleWhitespace):
                continue
            if isinstance(node, (list, tuple)):
                self.comments_in(*node)
            elif isinstance(node, cst.CSTNode):
                self.pending.extend(_comments(node))

    def take_comments(self) -> list[str]:
        """The kept comments, once."""
        result, self.pending = self.pending, []
        return result

    def split_comments(
        self, whitespace: cst.BaseParenthesizableWhitespace
    ) -> tuple[str, list[str]]:
        """The comment beside an element, and those on the lines after it."""
        if not isinstance(whitespace, cst.ParenthesizedWhitespace):
            return "", []
        beside = (
            whitespace.first_line.comment.value if whitespace.first_line.comment is not None else ""
        )
        return beside, [
            line.comment.value for line in whitespace.empty_lines if line.comment is not None
        ]

    # Names

    def dotted(self, node: cst.CSTNode) -> str | None:
        """`nn.functional.gelu` as `torch.nn.functional.gelu`, when its root is an import."""
        parts: list[str] = []
        current = node
        while isinstance(current, cst.Attribute):
            parts.append(current.attr.value)
            current = current.value
        if not isinstance(current, cst.Name) or current.value in self.scope.names:
            return None
        origin = self.origins.get(current.value)
        if origin is None or current.value in self.classes:
            return None
        return ".".join([origin, *reversed(parts)])

    def torch_callee(self, node: cst.BaseExpression) -> str:
        """The canonical torch name that a call calls, or an empty text."""
        dotted = self.dotted(node.func) if isinstance(node, cst.Call) else None
        return (canonical(dotted) or "") if dotted is not None else ""

    @staticmethod
    def layer_class(name: str) -> str | None:
        """The Keraform layer of a module class."""
        return layer_class(name)

    def collect_import(self, node: cst.Import | cst.ImportFrom) -> None:
        """An import inside a function."""
        from keraform.translate.analysis import import_origins

        for local, origin in import_origins(node, self.source.module):
            self.imports.bind(local, origin)

    @contextmanager
    def locals(self, names: dict[str, Kind]) -> Iterator[None]:
        """Names that are bound for a while."""
        saved = dict(self.scope.names)
        self.scope.names.update(names)
        try:
            yield
        finally:
            self.scope.names = saved

    # Facts and kinds

    def fact(self, node: cst.CSTNode) -> str | None:
        """The recorded kind of an expression."""
        if not self.facts:
            return None
        position = self.positions.get(node)
        if position is None:
            return None
        start, end = position.start, position.end
        return self.facts.get(f"{start.line}:{start.column}:{end.line}:{end.column}")

    def parameter_fact(self, function: cst.FunctionDef, name: str) -> str | None:
        """The recorded kind of a parameter: what its first uses in the body saw."""
        if not self.facts:
            return None
        position = self.positions.get(function)
        return self.facts.get(f"{position.start.line}:{name}") if position is not None else None

    def merge_fact(self, kind: Kind, fact: str | None) -> Kind:
        """A recorded fact beats an annotation."""
        if fact is None:
            return kind
        known = kind_from_fact(fact)
        return kind if known.is_unknown or known.tag == "none" else known

    def dtype_of(self, text: str) -> str | None:
        """The dtype class of `x.dtype` written as text."""
        name = text.removesuffix(".dtype")
        return (
            self.scope.names[name].dtype
            if name in self.scope.names and text.endswith(".dtype")
            else None
        )

    def annotation(self, node: cst.BaseExpression) -> str:
        """An annotation in the port: every tensor class is `Tensor`, unions keep one of each."""
        if isinstance(node, cst.Subscript) and self.text(node.value).endswith("Unpack"):
            return "dict"
        self.in_annotation = True
        try:
            text = self.expressions(node).text
        except Refusal:
            return "object"
        finally:
            self.in_annotation = False
        return re.sub(r"\bTensor(?: \| Tensor)+", "Tensor", text)

    def kind_of_annotation(self, node: cst.BaseExpression) -> Kind:
        """What an annotation says."""
        if isinstance(node, cst.BinaryOperation):
            left, right = self.kind_of_annotation(node.left), self.kind_of_annotation(node.right)
            from keraform.translate.kinds import join

            return join(left, right)
        if isinstance(node, cst.SimpleString):
            return (
                self.kind_of_annotation(cst.parse_expression(node.evaluated_value))
                if node.evaluated_value
                else UNKNOWN
            )  # type: ignore[arg-type]
        if isinstance(node, cst.Subscript):
            base = self.text(node.value).split(".")[-1]
            inner = [e.slice.value for e in node.slice if isinstance(e.slice, cst.Index)]
            if base == "Optional":
                kind = self.kind_of_annotation(inner[0])
                return Kind(kind.tag, kind.dtype, kind.rank, kind.items, kind.name, True)
            if base == "Union":
                from keraform.translate.kinds import join_all

                return join_all(tuple(self.kind_of_annotation(i) for i in inner))
            if base.lower() in ("tuple", "list"):
                kinds = tuple(
                    self.kind_of_annotation(i) for i in inner if not isinstance(i, cst.Ellipsis)
                )
                return Kind(base.lower(), items=kinds)
            return Kind("dict") if base.lower() == "dict" else UNKNOWN
        dotted = self.dotted(node)
        name = canonical(dotted) if dotted is not None else None
        if name in TENSOR_ANNOTATIONS:
            return TENSOR_ANNOTATIONS[name]
        if name == "torch.Size":
            return Kind("size")
        if name == "torch.dtype":
            return Kind("dtype")
        if name == "torch.device":
            return Kind("device")
        text = self.text(node).strip("\"'")
        if text in PLAIN_ANNOTATIONS:
            return PLAIN_ANNOTATIONS[text]
        if text.endswith("Config"):
            return CONFIG
        if text in self.classes and self.classes[text].is_layer:
            return Kind("layer", name=text)
        if text.endswith(("Cache", "Output")) or "Output" in text or text in self.classes:
            return Kind("object", name=text)
        return Kind("layer") if name == "nn.Module" else UNKNOWN

    def learn_attributes(self, info: ClassInfo) -> None:
        """What `self.x = ...` in the constructor says about `self.x`."""
        init = info.methods.get("__init__")
        if init is None:
            return
        for node in _walk_statements(init.body):
            if isinstance(node, (cst.Assign, cst.AnnAssign)) and node.value is not None:
                target = node.targets[0].target if isinstance(node, cst.Assign) else node.target
                if (
                    isinstance(target, cst.Attribute)
                    and isinstance(target.value, cst.Name)
                    and target.value.value == "self"
                ):
                    info.attributes.setdefault(target.attr.value, self.quick_kind(node.value))

    def quick_kind(self, node: cst.BaseExpression) -> Kind:
        """A kind from the form of an expression alone."""
        if isinstance(node, cst.Call):
            name = self.torch_callee(node)
            if name in ("nn.Parameter", "nn.Buffer"):
                return FLOAT_TENSOR if name == "nn.Parameter" else TENSOR
            if name in ("nn.ModuleList", "nn.ModuleDict"):
                inner = node.args[0].value if node.args else None
                element = (
                    self.quick_kind(inner.elt)
                    if isinstance(inner, (cst.ListComp, cst.GeneratorExp))
                    else UNKNOWN
                )
                return (
                    Kind("layers", name=element.name) if name == "nn.ModuleList" else Kind("dict")
                )
            if name.startswith("nn."):
                return Kind("layer", name=name)
            if isinstance(node.func, cst.Name) and node.func.value in self.classes:
                info = self.classes[node.func.value]
                return (
                    Kind("layer", name=info.name)
                    if info.is_layer
                    else Kind("object", name=info.name)
                )
            return (
                PY
                if isinstance(node.func, cst.Name)
                and node.func.value
                in ("int", "float", "bool", "str", "len", "getattr", "max", "min")
                else UNKNOWN
            )
        if isinstance(node, cst.Subscript) and self.text(node.value) == "ACT2FN":
            return Kind("layer", name="nn.Module")
        if isinstance(node, (cst.Integer, cst.Float)):
            return PY
        text = self.text(node)
        if text == "config" or text.endswith(".config"):
            return CONFIG
        if re.match(r"(self\.)?config\.\w+$", text):
            return CONFIG if text.endswith("config") else PY
        if isinstance(node, cst.List) or (
            isinstance(node, cst.BinaryOperation) and isinstance(node.left, cst.List)
        ):
            return Kind("list")
        if isinstance(node, cst.Dict):
            return Kind("dict")
        if isinstance(node, cst.BinaryOperation):
            kinds = {self.quick_kind(node.left).tag, self.quick_kind(node.right).tag}
            return PY if kinds == {"py"} else UNKNOWN
        if (
            isinstance(node, cst.Attribute)
            and isinstance(node.value, cst.Name)
            and node.value.value == "self"
            and self.scope.owner
        ):
            return self.scope.owner.attributes.get(node.attr.value, UNKNOWN)
        return UNKNOWN

    def attribute_kind(self, info: ClassInfo | None, name: str, torch: str | None = None) -> Kind:
        """The kind of an attribute of a layer."""
        while info is not None:
            if name in info.attributes:
                return info.attributes[name]
            info = next((self.classes[b] for b in info.bases if b in self.classes), None)
        if name in ("weight", "bias") and torch is not None:
            return FLOAT_TENSOR
        if name == "config":
            return CONFIG
        if name in ("training", "gradient_checkpointing"):
            return Kind("bool")
        if name == "dtype":
            return Kind("dtype")
        return PY if torch is not None and torch.startswith("nn.") else UNKNOWN

    def method_of(self, info: ClassInfo | None, name: str) -> cst.FunctionDef | None:
        """A method of a class of the file, or of its bases in the file."""
        while info is not None:
            if name in info.methods:
                return info.methods[name]
            info = next((self.classes[b] for b in info.bases if b in self.classes), None)
        return None

    def return_kind(self, function: cst.FunctionDef) -> Kind:
        """What the annotation of a function's result says."""
        if function.returns is None or id(function) in self._returning:
            return UNKNOWN
        return self.kind_of_annotation(function.returns.annotation)

    def call_kind(self, name: str | None) -> Kind:
        """What calling a layer gives."""
        if name is None:
            return UNKNOWN
        if name.startswith("nn."):
            return (
                UNKNOWN if name in ("nn.LSTM", "nn.GRU", "nn.MultiheadAttention") else FLOAT_TENSOR
            )
        info = self.classes.get(name)
        if info is not None and info.torch_base and "forward" not in info.methods:
            return FLOAT_TENSOR
        forward = self.method_of(info, "forward")
        return self.return_kind(forward) if forward is not None else UNKNOWN

    # Targets

    def bind_target(self, target: cst.BaseExpression, kind: Kind) -> None:
        """Records the kind of an assigned name."""
        if isinstance(target, cst.Name):
            self.scope.borrowed.discard(target.value)
            self.scope.names[target.value] = self.expressions.with_fact(target, kind)
            if not self.scope.function:
                self.globals[target.value] = kind
        elif isinstance(target, (cst.Tuple, cst.List)):
            for number, element in enumerate(target.elements):
                inner = (
                    kind.item(number)
                    if kind.tag in ("tuple", "list", "py") and kind.items
                    else Kind("dim")
                    if kind.tag == "size"
                    else UNKNOWN
                )
                if isinstance(element, cst.StarredElement):
                    inner = Kind("size") if kind.tag == "size" else Kind("list")
                if kind.is_tensor:
                    inner = Kind("tensor", kind.dtype)
                self.bind_target(element.value, inner)
        elif (
            isinstance(target, cst.Attribute)
            and isinstance(target.value, cst.Name)
            and target.value.value == self.scope.self_name
        ):
            if self.scope.owner is not None:
                known = self.scope.owner.attributes.get(target.attr.value, UNKNOWN)
                if known.is_unknown or not kind.is_unknown:
                    self.scope.owner.attributes[target.attr.value] = kind

    def target_text(self, target: cst.BaseExpression) -> str:
        """The text of an assignment target."""
        return flat(self.target_doc(target))

    def target_doc(self, target: cst.BaseExpression) -> Doc:
        """An assignment target in the port."""
        if isinstance(target, cst.Tuple):
            result: Doc = ()
            for number, element in enumerate(target.elements):
                star = "*" if isinstance(element, cst.StarredElement) else ""
                result = doc(result, ", " if number else "", star, self.target_doc(element.value))
            if len(target.elements) == 1:
                result = doc(result, ",")
            return doc("(", result, ")") if target.lpar else result
        if isinstance(target, cst.Name):
            return (target.value,)
        if isinstance(target, cst.Attribute):
            return doc(self.expressions(target.value).operand(), f".{target.attr.value}")
        return self.expressions(target).doc

    # Conditions

    @staticmethod
    def constant(text: str) -> bool | None:
        """The value of a condition that is known."""
        return {"True": True, "False": False, "not True": False, "not False": True}.get(text)

    def fold_boolean(self, word: str, left: str, right: str) -> str | None:
        """Simplifies `and` and `or` with a known side."""
        a, b = self.constant(left), self.constant(right)
        if a is None and b is None:
            return None
        if word == "and":
            return "False" if a is False or b is False else "right" if a is True else "left"
        return "True" if a is True or b is True else "right" if a is False else "left"

    # Classes

    @staticmethod
    def is_keras_model(info: ClassInfo) -> bool:
        """Whether the class is a Keras model (public) or only a layer (private component)."""
        return info.is_model and info.is_public

    def needs_keras_base(self, info: ClassInfo) -> bool:
        """Whether the class gets `Model` or `MainLayer` as its Keras base: it builds something, and
        no base of the file does.
        """
        if info.name in self.analysis.abstract:
            return False
        return not any(
            b in self.classes and b not in self.analysis.abstract and self.classes[b].is_model
            for b in info.bases
        )

    def base_model_prefix(self, info: ClassInfo) -> str:
        """The attribute that holds the main layer in its wrapper."""
        current: ClassInfo | None = info
        while current is not None:
            for node in current.node.body.body:
                if isinstance(node, cst.SimpleStatementLine) and isinstance(
                    node.body[0], cst.Assign
                ):
                    assign = node.body[0]
                    if self.text(assign.targets[0].target) == "base_model_prefix":
                        value = self.text(assign.value).strip("\"'")
                        return value or "model"
            current = next((self.classes[b] for b in current.bases if b in self.classes), None)
        return "model"

    # Decorators

    def has_decorator(self, decorators: object, name: str) -> bool:
        """Whether a definition has a decorator."""
        return self.decorator_arguments(decorators, name) is not None

    def decorator_arguments(self, decorators: object, name: str) -> dict[str, str] | None:
        """The literal keyword arguments of a decorator, or None when it is not there."""
        for decorator in decorators:  # type: ignore[attr-defined]
            node = decorator.decorator
            callee = node.func if isinstance(node, cst.Call) else node
            if self.text(callee).split(".")[-1] == name:
                result = {}
                for arg in node.args if isinstance(node, cst.Call) else ():
                    if arg.keyword is not None and isinstance(
                        arg.value, (cst.SimpleString, cst.ConcatenatedString)
                    ):
                        result[arg.keyword.value] = str(arg.value.evaluated_value)
                return result
        return None


def component_name(module: str, name: str) -> str:
    """The port's name of a class of another upstream module."""
    from keraform.translate.analysis import analyse_module

    analysis = analyse_module(module)
    info = analysis.classes.get(name)
    return info.component_name if info is not None else f"TF{name}"


def _comments(node: cst.CSTNode) -> list[str]:
    if isinstance(node, cst.Comment):
        return [node.value]
    return [comment for child in node.children for comment in _comments(child)]


def _walk_statements(body: cst.CSTNode) -> Iterator[cst.BaseSmallStatement]:
    for child in body.children:
        if isinstance(child, cst.BaseSmallStatement):
            yield child
        elif isinstance(
            child, (cst.BaseStatement, cst.BaseSuite, cst.SimpleStatementLine, cst.Else)
        ):
            yield from _walk_statements(child)


__all__ = ["CONSTANT_CALLS", "ModuleTranslator", "Translation"]
