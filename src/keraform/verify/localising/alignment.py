"""Alignment: the executions of a stage's statements on both sides, paired by the translator's line
map, and the first pair that differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from keraform.verify.compare import Difference, compare_leaf
from keraform.verify.leaves import Leaf, Leaves
from keraform.verify.localising.recorder import Execution
from keraform.verify.localising.statements import Statement


class Lines(Protocol):
    """Which line of a torch source a line of a port comes from, and by which rules."""

    def torch_line(self, port_line: int) -> int | None:
        """The first line of the source statement."""

    def rules(self, port_line: int) -> tuple[str, ...]:
        """The ids of the rules that wrote the statement."""


class HasLines(Protocol):
    """A generated file's origin."""

    @property
    def torch_file(self) -> str:
        """The torch file."""

    @property
    def lines(self) -> Lines:
        """The line map."""


@dataclass(frozen=True)
class Pair:
    """One execution of a statement on both sides."""

    torch: Execution
    keras: Execution


def pairs(
    torch: list[Execution],
    keras: list[Execution],
    origins: Mapping[str, HasLines],
    exact: bool = True,
) -> Iterator[Pair]:
    """Executions of one stage's own code that belong together, in torch's order.

    The n-th execution of a source statement belongs to the n-th of the statement that came of it;
    where their counts differ (a loop that became a scan), they are left out.

    Args:
        torch: torch's.
        keras: the port's.
        origins: for each generated file its torch file and line map.
        exact: leave out what ran more often on one side; else, where torch did it all twice (as
            its constructors do with some values), the first executions are paired.
    """
    mine: dict[tuple[str, int], list[Execution]] = defaultdict(list)
    for each in keras:
        origin = origins[each.statement.file]
        line = origin.lines.torch_line(each.statement.line)
        if line is not None:
            mine[origin.torch_file, line].append(each)
    its: dict[tuple[str, int], list[Execution]] = defaultdict(list)
    for each in torch:
        its[_key(each)].append(each)
    partners = {key: _representative(its[key][0].statement, mine[key]) for key in its}
    taken: dict[tuple[str, int], int] = defaultdict(int)
    for each in torch:
        key = _key(each)
        number, taken[key] = taken[key], taken[key] + 1
        mine_here, its_here = len(partners[key]), len(its[key])
        again = not exact and mine_here and its_here % mine_here == 0 and number < mine_here
        if mine_here == its_here or again:
            yield Pair(each, partners[key][number])


def _key(execution: Execution) -> tuple[str, int]:
    return execution.statement.file, execution.statement.line


def _representative(torch: Statement, keras: list[Execution]) -> list[Execution]:
    """Those of the port's statements that stand for the whole of a source statement: the one with
    the same targets, else the last.
    """
    statements = sorted({each.statement for each in keras}, key=lambda each: each.line)
    same = [each for each in statements if each.targets == torch.targets]
    chosen = (same or statements)[-1:]
    return [each for each in keras if each.statement in chosen]


def results(pair: Pair) -> Iterator[tuple[str, Leaf, Leaf]]:
    """The values of a pair that can be compared, by name."""
    torch, keras = _result(pair.torch), _result(pair.keras)
    if set(pair.torch.statement.targets) == set(pair.keras.statement.targets):
        torch, keras = _by_target(pair.torch, torch), _by_target(pair.keras, keras)
    shared = [name for name in torch if name in keras]
    if not shared and len(torch) == len(keras) == 1:
        ((name, leaf),) = torch.items()
        yield name, leaf, next(iter(keras.values()))
    for name in shared:
        yield name, torch[name], keras[name]


def _result(execution: Execution) -> Leaves:
    """A statement's result; of `self.register_buffer(...)` its last operation's."""
    if execution.result or execution.statement.targets or not execution.operations:
        return execution.result or {}
    return execution.operations[-1][1]


def _by_target(execution: Execution, result: Leaves) -> Leaves:
    """What several targets got, by their names: `gate, up = ...` may unpack in the wrong order."""
    targets = execution.statement.targets
    if len(targets) < 2 or not all(name.partition(".")[0].isdigit() for name in result):
        return result
    named = {}
    for name, leaf in result.items():
        number, dot, inner = name.partition(".")
        if int(number) >= len(targets):
            return result
        named[f"{targets[int(number)]}{dot}{inner}"] = leaf
    return named


def difference(pair: Pair, limit: float) -> tuple[Difference, Leaf, Leaf | None] | None:
    """The first value of a pair that is off by more than `limit`, with both sides of it."""
    for name, torch, keras in results(pair):
        if _comparable(torch, keras):
            found = compare_leaf(name, torch, keras)
            if not found.within(limit):
                return found, torch, keras
    return _absent(pair)


def _absent(pair: Pair) -> tuple[Difference, Leaf, None] | None:
    """A tensor that torch's function was given, or its statement gave, where the port has None."""
    given, header = pair.keras.result or {}, pair.keras.caller is not None
    names = pair.keras.statement.targets
    for name, leaf in (pair.torch.result or {}).items():
        if leaf.dtype.startswith("python"):
            continue
        if header and name in names and name not in given:
            return (
                Difference(name, float("inf"), f"{name} is not given, torch gives it"),
                leaf,
                None,
            )
        if not header and names and not given and name == "output":
            return Difference(name, float("inf"), "None, torch has a tensor"), leaf, None
    return None


def _comparable(torch: Leaf, keras: Leaf) -> bool:
    """A mask of truth values may be one of numbers on the other side."""
    kinds = {torch.array.dtype.kind == "b", keras.array.dtype.kind == "b"}
    return len(kinds) == 1


FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


def dtype_difference(pair: Pair, wide: bool = True) -> str | None:
    """In what the float dtypes of a pair differ: those of its results, or of its operations.

    Args:
        pair: the pair.
        wide: whether users get float64 where the port has it. On JAX they do not: there it is what
            float32 becomes while verifying, which switches 64 bits on.
    """

    def word(dtype: str) -> str:
        return dtype if wide else dtype.replace("float64", "float32")

    for name, torch, keras in results(pair):
        if {torch.dtype, keras.dtype} <= FLOATS and word(torch.dtype) != word(keras.dtype):
            return f"{name} is {keras.dtype}, torch has {torch.dtype}"
    its, mine = _dtypes(pair.torch), _dtypes(pair.keras)
    # torch adds in place in the dtype of both, which nothing shows but what is added
    inside = its | _dtypes(pair.torch, added=True)
    of_torch = [{word(each) for each in found} for found in (its, inside)]
    if {word(each) for each in mine} not in of_torch and its and mine:
        return f"computes in {_words(mine)}, torch in {_words(its)}"
    return None


def _dtypes(execution: Execution, added: bool = False) -> set[str]:
    """The float dtypes of everything that a statement's operations gave, also of what `x += value`
    adds.
    """
    given: list[Leaves] = [
        found for site, found in execution.operations if not site.reads or (added and site.added)
    ]
    given.append(execution.result or {})
    return {leaf.dtype for found in given for leaf in found.values() if leaf.dtype in FLOATS}


def _words(dtypes: set[str]) -> str:
    return " and ".join(sorted(dtypes))
