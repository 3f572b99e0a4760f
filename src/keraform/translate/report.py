"""What a translation reports: the port, what it refused, and its measures."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class RefusalRecord:
    """A construct that was not translated."""

    rule: str
    file: str
    line: int
    reason: str

    @property
    def text(self) -> str:
        """Place, rule and reason on one line."""
        return f"{self.file}:{self.line}: {self.rule}: {self.reason}"


@dataclass(slots=True)
class Stats:
    """Measures of a translation, as `keraform port` prints them."""

    source_lines: int = 0
    lines: int = 0
    doc_lines: int = 0
    operations: int = 0
    helper_calls: int = 0
    comments: int = 0
    comments_kept: int = 0
    helper_reasons: dict[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Lines relative to the source, without expanded docstrings."""
        return (self.lines - self.doc_lines) / max(self.source_lines, 1)

    @property
    def helper_share(self) -> float:
        """Share of operations that go through a run-time dispatch helper."""
        return self.helper_calls / max(self.operations, 1)


@dataclass(slots=True)
class Translation:
    """The port of one file.

    `left_out` are the refusals within methods of generation, which are left out of the port whole.
    """

    code: str
    refusals: list[RefusalRecord] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    left_out: list[RefusalRecord] = field(default_factory=list)
