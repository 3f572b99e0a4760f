"""Translation of one file: what its translators share, the walk over its statements, and the text
of the port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property, lru_cache

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from keraform.errors import KeraformError
from keraform.translate.analysis import Analysis, analyse, analyse_module
from keraform.translate.annotations import AnnotationTranslator
from keraform.translate.calls import CallTranslator
from keraform.translate.collisions import ALIASES, own_names, separate
from keraform.translate.comments import Comments, comments_of, leading
from keraform.translate.docmacros import Docstrings
from keraform.translate.docstring_literals import literal_docstring
from keraform.translate.expressions import ExpressionTranslator
from keraform.translate.expressions.subscripts import SubscriptTranslator
from keraform.translate.generation_only import generation_only
from keraform.translate.imports import ImportTable
from keraform.translate.inference import KindInference
from keraform.translate.kinds import Kind
from keraform.translate.learned import Learned
from keraform.translate.mutators import Written, mutators
from keraform.translate.overrides import load_override
from keraform.translate.recorded_kinds import RecordedKinds
from keraform.translate.report import RefusalRecord, Stats, Translation
from keraform.translate.rules.record import Refusal
from keraform.translate.rules.seams import GENERATION_MODULE, SHARED_MODULES
from keraform.translate.rules.torch_names import canonical
from keraform.translate.scope import Scope
from keraform.translate.source import Source
from keraform.translate.statements import StatementTranslator
from keraform.translate.targets import TargetTranslator
from keraform.translate.uses import ParameterUses

PASSES = 3  # at most, in which a file is learned from: kinds go from call to call
# Where the cache puts its banner, which needs the rules' version.
BANNER = ("#", "# KERAFORM-BANNER", "#")


class ModuleTranslator:
    """Translates one PyTorch file."""

    def __init__(self, source: Source, facts: Mapping[str, str] | None = None):
        self.source = source
        self.tree, self.positions, self.uses = _read(source)
        # What is known
        self.analysis: Analysis = analyse(self.tree, source.module)
        self.classes = self.analysis.classes
        self.functions = self.analysis.functions
        self.recorded = RecordedKinds(facts or {}, self.positions)
        self.inference = KindInference(self)
        self.globals: dict[str, Kind] = {}
        self.scope = Scope()
        self.main_layer = False
        self.learned = Learned()
        # What is collected
        self.stats = Stats()
        self.refusals: list[RefusalRecord] = []
        self.left_out: list[RefusalRecord] = []
        self.comments = Comments()
        package = self.source.module.rpartition(".")[0] if self.is_of_generation else ""
        self.imports = ImportTable(_component_name, package)
        self.override = load_override(source.module)
        for imported in self.override.imports:
            self.imports.need(*imported)
        for local, origin in self.analysis.origins.items():
            self.imports.bind(local, origin)
        self.origins = self.imports.origins
        self.own_names = own_names(source.text, self.origins)
        # What translates
        self.annotations = AnnotationTranslator(self)
        self.targets = TargetTranslator(self)
        self.calls = CallTranslator(self)
        self.subscripts = SubscriptTranslator(self)
        self.expressions = ExpressionTranslator(self)
        self.statements = StatementTranslator(self)
        self.docstrings = Docstrings(self)

    # The whole file

    def translate(self) -> Translation:
        """Translates the file; a first time to learn, unless everything was recorded."""
        if not self.recorded.facts:
            self.learned = deepcopy(learn(self.source))  # it goes on noting
        header = "\n".join(leading(self.tree.header, "")).rstrip()
        docstring, body = self.module_docstring()
        lines = self.lines(body)
        self.override.check(self.source.path)
        text = _without_gaps("\n".join(lines)).strip("\n") + "\n"
        if self.own_names:
            text = separate(text, self.own_names)
            self.imports.rename({name: ALIASES[name] for name in self.own_names})
        gap = [""] * (2 if text.startswith(("class ", "def ", "@")) else 1)
        head = [header] if header else []
        late = [f"from {package} import {leaf}" for package, leaf in sorted(self.imports.late)]
        if late:
            late = ["", "# at the end, since it imports this file", *late, ""]
        parts = [*head, *BANNER, docstring, "", self.imports.text(text), *gap, text, *late]
        code = _without_gaps("\n".join(parts)).lstrip("\n")
        self.measure(code)
        return Translation(code, self.refusals, self.stats, self.left_out)

    def lines(self, body: list[cst.BaseStatement]) -> list[str]:
        """The lines of the statements of the file, and what stands below them."""
        for info in self.classes.values():
            self.inference.learn_attributes(info)
            self.inference.learn_changes(info)
        lines = [line for node in body for line in self.statement(node)]
        return lines + leading(self.tree.footer, "")

    def statement(self, node: cst.BaseStatement) -> list[str]:
        """The lines of a statement at the top of the file."""
        if isinstance(node, cst.ClassDef) and node.name.value in self.analysis.flash_attention:
            return []
        if self.is_of_generation:
            return self.of_generation(node)
        if self.skipped(node):
            above = leading(getattr(node, "leading_lines", ()), "")
            instead = [line for each in _stand_ins(node) for line in self.statement(each)]
            return [line for line in above if line.strip()] + instead
        return self.statements.statement(node, "")

    @property
    def is_of_generation(self) -> bool:
        """Whether the file holds how a model generates: Python around tensors, and no annotations
        that would tell the one from the other.
        """
        return GENERATION_MODULE.fullmatch(self.source.module) is not None

    def of_generation(self, node: cst.BaseStatement) -> list[str]:
        """The lines of a statement in a module of generation, or none if it is refused: models need
        little of these modules, such as caches and configs, and to generate their mixins.
        """
        first = len(self.refusals)
        lines = self.statements.statement(node, "")
        found = self.refusals[first:]
        del self.refusals[first:]
        self.left_out += found
        is_class = any(line.startswith("class ") for line in lines)
        return lines if is_class or not found else []

    def module_docstring(self) -> tuple[str, list[cst.BaseStatement]]:
        """The docstring of the file with the comments above it, and the other statements."""
        body = list(self.tree.body)
        text = literal_docstring(body)
        if text is None:
            return "", body
        above = leading(body[0].leading_lines, "")
        return "\n".join([*above, text.replace("PyTorch", "Keras")]), body[1:]

    def skipped(self, node: cst.BaseStatement) -> bool:
        """Statements at the top of a file that have no place in a port: conditional imports,
        unwanted classes.
        """
        wanted = SHARED_MODULES.get(self.source.module)
        if isinstance(node, (cst.ClassDef, cst.FunctionDef)) and wanted is not None:
            return re.fullmatch(wanted, node.name.value) is None
        if isinstance(node, cst.If) and re.match(r"__name__\s*==", self.text(node.test)):
            return True  # what the file does as a script
        if isinstance(node, cst.If) and re.search(r"\bis_\w+|TYPE_CHECKING", self.text(node.test)):
            for inner in node.body.body:
                if isinstance(inner, cst.FunctionDef):
                    self.functions.pop(inner.name.value, None)
            return True
        return isinstance(node, cst.Try)

    def measure(self, code: str) -> None:
        """Lines and comments of source and port."""
        self.stats.source_lines = self.source.text.count("\n")
        self.stats.lines = code.count("\n")
        comments = comments_of(self.source.text)
        self.stats.comments = comments.total()
        self.stats.comments_kept = (comments & comments_of(code)).total()

    # Reports

    def refuse(self, refusal: Refusal, node: cst.CSTNode, indent: str) -> list[str]:
        """Records a refusal; a `raise` stands where the construct was."""
        path, position = self.source.path, self.positions.get(node)
        line = position.start.line if position is not None else 0
        self.refusals.append(RefusalRecord(refusal.rule, path, line, refusal.reason))
        return [f"{indent}{_raise(self.refusals[-1].text)}"]

    def leave_out(self, name: str, first: int, indent: str) -> list[str] | None:
        """The body of a function that generation alone reaches and in which something was refused,
        from the refusal number `first` on: it raises at once. None for other functions.
        """
        if len(self.refusals) == first or name not in self.generation_only:
            return None
        found = self.refusals[first:]
        self.left_out += found
        del self.refusals[first:]
        why = f"{name}() is left out of this port; call the model itself. Refused: {found[0].text}"
        return [f"{indent}{_raise(why)}"]

    @cached_property
    def mutators(self) -> dict[str, Written]:
        """The functions of the file that write into a tensor they are given, and which one."""
        return mutators(self.source.text)

    @cached_property
    def generation_only(self) -> frozenset[str]:
        """The functions and methods of the file that generation alone reaches."""
        return generation_only(self.source.text)

    def count_helper(self, reason: str) -> None:
        """Counts a call of a run-time dispatch helper."""
        self.stats.helper_calls += 1
        self.stats.helper_reasons[reason] = self.stats.helper_reasons.get(reason, 0) + 1

    def note_rule(self, rule: str) -> None:
        """Told of each rule that is applied; a translation that keeps a line map listens."""

    # Text and names

    def line_of(self, node: cst.CSTNode) -> int:
        """The line of a statement in the source."""
        return self.positions[node].start.line

    def text(self, node: cst.CSTNode) -> str:
        """The source text of a node."""
        return self.tree.code_for_node(node)

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

    # Scopes

    @contextmanager
    def within(self, scope: Scope) -> Iterator[None]:
        """While it lasts, what is translated stands in another scope."""
        outer, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = outer

    @contextmanager
    def locals(self, names: Mapping[str, Kind]) -> Iterator[None]:
        """Names that are bound for a while; what is bound in between is forgotten too."""
        saved = dict(self.scope.names)
        self.scope.names.update(names)
        try:
            yield
        finally:
            self.scope.names = saved


@lru_cache(maxsize=2)
def learn(source: Source) -> Learned:
    """What a first translation of a file tells of its functions, and further ones where that
    changes what the one before knew; its line map needs it again.
    """
    found = _learned(source, None)
    for _ in range(PASSES - 1):
        if not found.revises:
            break
        found = _learned(source, found)
    return found


def _learned(source: Source, known: Learned | None) -> Learned:
    module = ModuleTranslator(source)
    module.learned.known = known
    module.lines(module.module_docstring()[1])
    module.learned.solve()
    return module.learned


# Each of the translations of a file, to learn, to write and to map it, reads the same tree.
@lru_cache(maxsize=2)
def _read(source: Source) -> tuple[cst.Module, dict[cst.CSTNode, CodeRange], ParameterUses]:
    """The tree of a file, where its nodes stand, and how its parameters are used."""
    tree = _parse(source)
    wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
    return tree, dict(wrapper.resolve(PositionProvider)), ParameterUses(tree)


def _parse(source: Source) -> cst.Module:
    try:
        return cst.parse_module(source.text)
    except cst.ParserSyntaxError as error:
        raise KeraformError(
            f"expected a Python file, got a syntax error in {source.path}, "
            f"line {error.raw_line}: {error.message}; correct the file and try again"
        ) from error


def _raise(message: str) -> str:
    message = message.replace('"', "'").replace("{", "{{").replace("}", "}}")
    return f'raise NotImplementedError("{message}")'


def _stand_ins(node: cst.BaseStatement) -> Sequence[cst.BaseStatement]:
    """What a file defines where a package is missing that ports never use."""
    otherwise = node.orelse if isinstance(node, cst.If) else None
    body = otherwise.body.body if isinstance(otherwise, cst.Else) else ()
    return body if any(isinstance(each, cst.ClassDef) for each in body) else ()  # type: ignore[return-value]


def _without_gaps(text: str) -> str:
    """The text with at most two blank lines in a row."""
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _component_name(module: str, name: str) -> str:
    """The port's name of a class of another upstream module."""
    info = analyse_module(module).classes.get(name)
    return info.component_name if info is not None else f"TF{name}"


__all__ = ["ModuleTranslator", "Translation"]
