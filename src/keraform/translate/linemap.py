"""The line map: which statements of a port a statement of the source became, by which rules, and
what kinds the translator took the source's expressions for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from keraform.errors import KeraformError
from keraform.translate import cache
from keraform.translate.facts_store import load_facts
from keraform.translate.kinds import Kind
from keraform.translate.mapping import MappingTranslator
from keraform.translate.ports import banner, plain_banner, plain_source, port
from keraform.translate.report import Translation
from keraform.translate.source import read_module


@dataclass(frozen=True, slots=True)
class MappedStatement:
    """A statement of the source; a block's is its header, what stands in it is mapped by itself.

    Args:
        source_line: its line, as `ast` counts them.
        lines: the lines of the port that it became, in order; none when it vanished.
        rules: the rules that were applied to it, in order.
    """

    source_line: int
    lines: tuple[int, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True)
class LineMap:
    """The statements of a source and their places in its port.

    Args:
        statements: in the order in which they were translated, a block's header before the block.
        kinds: what each expression was taken for, by `line:col:end_line:end_col`.
    """

    statements: tuple[MappedStatement, ...]
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @cached_property
    def _by_port_line(self) -> dict[int, MappedStatement]:
        return {n: each for each in reversed(self.statements) for n in each.lines}

    def torch_line(self, port_line: int) -> int | None:
        """The line of the statement of the source that a line of the port comes from; None for what
        the translator added.
        """
        statement = self._by_port_line.get(port_line)
        return statement.source_line if statement is not None else None

    def port_lines(self, source_line: int) -> tuple[int, ...]:
        """The lines of the port that the statements of a line of the source became."""
        found = (each.lines for each in self.statements if each.source_line == source_line)
        return tuple(sorted({n for lines in found for n in lines}))

    def rules(self, port_line: int) -> tuple[str, ...]:
        """The rules that wrote the statement of a line of the port."""
        statement = self._by_port_line.get(port_line)
        return statement.rules if statement is not None else ()


def map_module(module: str) -> LineMap:
    """The line map of the port of an upstream module.

    Raises:
        KeraformError: the cached port is not what is translated now.
    """
    return _map_of(module, port(module).code)


@lru_cache(maxsize=4)
def _map_of(module: str, known: str) -> LineMap:
    source = read_module(module)
    translator = MappingTranslator(source, load_facts(source)[0])
    code = cache.seal(translator.translate().code, banner(source))
    if code != known:
        raise KeraformError(
            expected=f"the port of {module} as it is translated now",
            got="another text in the cache",
            try_next="remove the folder that KERAFORM_CACHE names, and try again",
        )
    return _line_map(translator, code)


def map_source(
    text: str, *, filename: str, module: str | None = None, facts: dict[str, str] | None = None
) -> tuple[Translation, LineMap]:
    """What `translate_source` gives for the same arguments, and its line map."""
    source = plain_source(text, filename, module)
    translator = MappingTranslator(source, facts)
    translation = translator.translate()
    translation.code = cache.seal(translation.code, plain_banner(source))
    return translation, _line_map(translator, translation.code)


def _line_map(translator: MappingTranslator, code: str) -> LineMap:
    translator.number(code)
    statements = tuple(
        MappedStatement(each.source_line, tuple(each.lines), tuple(each.rules))
        for each in translator.mapped
    )
    return LineMap(statements, translator.kinds)
