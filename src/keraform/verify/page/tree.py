"""The module tree of a page: stages nested by their paths, guilty branches open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keraform.verify.findings import Finding
from keraform.verify.outcome import StageError
from keraform.verify.page.heat import COLUMNS, Column, Limits, heat, words, worst

# Stages whose name has this are outputs of the whole model, which no module gave.
OUTPUT = "/"


@dataclass
class Node:
    """A module, or a container of modules that is never called; `name` is its full path."""

    label: str
    name: str
    children: dict[str, Node] = field(default_factory=dict)
    stage: StageError | None = None

    def stages(self) -> Iterator[StageError]:
        """Its own stage and all below it."""
        if self.stage is not None:
            yield self.stage
        for child in self.children.values():
            yield from child.stages()


def parts_of(name: str) -> list[str]:
    """The steps from the root to a stage: `outputs/loss` is `outputs/`, then `loss`."""
    head, slash, rest = name.rpartition(OUTPUT)
    return [part for part in (head + slash, *rest.split(".")) if part]


def grow(stages: Mapping[str, StageError], others: Sequence[str] = ()) -> Node:
    """The tree of all stages, in the order of the run, and of `others`, which have no numbers."""
    root = Node("", "")
    for name in (*stages, *others):
        node = root
        for part in parts_of(name):
            dot = "." if node.name and not node.name.endswith(OUTPUT) else ""
            node = node.children.setdefault(part, Node(part, f"{node.name}{dot}{part}"))
        node.stage = stages.get(name)
    return root


def run_order(stages: Mapping[str, StageError]) -> dict[str, int]:
    """The number of each stage in the order of the run, from 1; outputs have none."""
    names = (name for name in stages if OUTPUT not in name)
    return {name: number for number, name in enumerate(names, 1)}


def marks_of(
    stages: Mapping[str, StageError], findings: Sequence[Finding], limits: Limits
) -> dict[str, str]:
    """The stages to point at, and why: those found guilty, else the first beyond its limit."""
    marks: dict[str, str] = {}
    for number, finding in enumerate(findings, 1):
        marks.setdefault(finding.stage, f"finding {number}")
    for name, stage in stages.items():
        if limits.exceeds(stage, COLUMNS[0]):
            marks.setdefault(name, "wrong on its own")
    if not marks:
        first = next((name for name, stage in stages.items() if limits.exceeded(stage)), None)
        if first is not None:
            marks[first] = "first beyond its limit"
    return marks


@dataclass(frozen=True)
class Cell:
    """One number of a row; `title` says what it is to those who do not see columns."""

    title: str
    text: str
    heat: int | None
    beyond: bool


@dataclass(frozen=True)
class Row:
    """A line of the tree.

    Args:
        label: the last step of its path.
        layer: the class of the port's layer.
        number: its place in the order of the run.
        cells: one for each column.
        mark: why it is pointed at, "" where it is not.
        gathered: it is never called itself; its numbers are the largest below it.
        beyond: how many stages below it are beyond their limits.
        open: whether a marked stage is below it.
        children: the lines below it.
    """

    label: str
    layer: str
    number: int | None
    cells: tuple[Cell, ...]
    mark: str
    gathered: bool
    beyond: int
    open: bool
    children: tuple[Row, ...]


@dataclass(frozen=True)
class Drawing:
    """What the lines of one tree are drawn from."""

    limits: Limits
    marks: Mapping[str, str]
    order: Mapping[str, int]

    def row(self, node: Node) -> Row:
        """A node's line, with the lines below it."""
        children = tuple(self.row(child) for child in node.children.values())
        below = [stage for child in node.children.values() for stage in child.stages()]
        shown = [node.stage] if node.stage is not None else below
        return Row(
            label=node.label,
            layer=node.stage.layer if node.stage is not None else "",
            number=self.order.get(node.name),
            cells=tuple(_cell(shown, column, self.limits) for column in COLUMNS),
            mark=self.marks.get(node.name, ""),
            gathered=node.stage is None and bool(below),
            beyond=sum(self.limits.exceeded(stage) is not None for stage in below),
            open=any(child.open or child.mark for child in children),
            children=children,
        )


def rows_of(
    stages: Mapping[str, StageError], marks: Mapping[str, str], limits: Limits
) -> tuple[Row, ...]:
    """The tree's lines; the model itself comes first where it was measured or is guilty."""
    root = grow(stages, tuple(marks))
    itself = Node("the model itself", "", stage=root.stage)
    first = [itself] if root.stage is not None or "" in marks else []
    drawing = Drawing(limits, marks, run_order(stages))
    return tuple(drawing.row(node) for node in (*first, *root.children.values()))


def _cell(stages: Sequence[StageError], column: Column, limits: Limits) -> Cell:
    stage = worst(stages, column)
    if stage is None:
        return Cell(column.title, words(None), None, False)
    error = getattr(stage, column.field)
    level = heat(error, limits.of(stage, column))
    return Cell(column.title, words(error), level, limits.exceeds(stage, column))
