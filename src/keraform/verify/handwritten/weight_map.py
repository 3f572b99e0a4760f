"""The weight map of two models that somebody wrote: guessed by names, shapes and order, shown with
its reasons, and corrected by the user.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from keraform.errors import KeraformError
from keraform.verify.handwritten.likeness import Words, alike, ranked
from keraform.verify.handwritten.roles import (
    KERAS_GRUS,
    TORCH_GRUS,
    contradiction,
    keras_role,
    natural_layout,
    torch_role,
)
from keraform.verify.handwritten.weight_pairs import (
    COMBINATIONS,
    LAYOUTS,
    Shape,
    Weight,
    WeightPair,
    kernel_axes,
    whole_key,
)
from keraform.verify.handwritten.weight_units import COUNTER, Unit, size_of, units_of

IMPOSSIBLE = 1e6
# What speaks against a pair, each from 0 to 1, and how much it counts.
COSTS = {"role": 4.0, "names": 3.0, "trained": 1.0, "layout": 1.0, "order": 1.0, "neighbours": 3.0}
ALONE = 3.0  # what a weight without a partner costs when a module looks for its layer
SURE = 0.75  # below it a pair is shown as doubtful


@dataclass
class WeightMap:
    """Pairs in Keras's order, and what has no partner.

    Args:
        pairs: one for each Keras variable that has a partner.
        torch_left: keys of torch's parameters and buffers without one.
        keras_left: paths of Keras's variables without one.
        remarks: where names and shapes contradict each other.
    """

    pairs: list[WeightPair] = field(default_factory=list)
    torch_left: list[str] = field(default_factory=list)
    keras_left: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The form of `--save-map` and `--map`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> WeightMap:
        """The map of a record of that form; only `pairs` has to be there.

        Raises:
            KeyError, TypeError: it has another form.
        """
        pairs = [
            WeightPair(
                **{
                    **each,
                    "torch": tuple(each["torch"]),
                    "other_layouts": tuple(each.get("other_layouts", ())),
                }
            )
            for each in record["pairs"]
        ]
        lists = ("torch_left", "keras_left", "remarks")
        return cls(pairs, **{name: list(record.get(name, ())) for name in lists})


def read_map(path: str, torch: Sequence[Weight], keras: Sequence[Weight]) -> list[WeightPair]:
    """The pairs of a user's file; what the file leaves out is guessed as before.

    Raises:
        KeraformError: it is no map, or does not fit the two models.
    """
    try:
        pairs = WeightMap.from_json(json.loads(Path(path).read_text("utf-8"))).pairs
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeraformError(
            expected='a weight map: {"pairs": [{"torch": ["a.weight"], "keras": "a.kernel", '
            '"layout": "kernel"}]}',
            got=f"{path}: {type(error).__name__}: {error}",
            try_next="the same command with --save-map map.json, and an edit of that file",
        ) from error
    ours, theirs = {each.name for each in keras}, {each.name for each in torch}
    for pair in pairs:
        unknown = [
            *({pair.keras} - ours),
            *({whole_key(key) for key in pair.torch} - theirs),
            *({pair.layout} - LAYOUTS.keys()),
            *({pair.combine} - COMBINATIONS.keys()),
        ]
        if unknown:
            raise KeraformError(
                expected=f"torch keys, Keras variables, and a layout of {', '.join(LAYOUTS)}",
                got=f"{path}: {', '.join(map(repr, unknown))}",
                try_next="the same command with --save-map map.json, which lists them all",
            )
    return [replace(pair, confidence=1.0, reason="given") for pair in pairs]


def guess(
    torch: Sequence[Weight], keras: Sequence[Weight], given: Sequence[WeightPair] = ()
) -> WeightMap:
    """Pairs Keras's variables with torch's tensors, each at most once, at the least cost."""
    taken = {whole_key(key) for pair in given for key in pair.torch}
    told = {pair.keras for pair in given}
    free = [each for each in torch if each.name not in taken]
    open_ = [each for each in keras if each.name not in told]
    pairs = [*given, *_assign(units_of(free, open_), open_)]
    rest = [each for each in open_ if each.name not in {pair.keras for pair in pairs}]
    again = [Unit(each, (each.name,)) for each in free if each.alias is not None]
    pairs += _assign(again, rest)  # one torch tensor for two variables
    order = {each.name: index for index, each in enumerate(keras)}
    found = WeightMap(sorted(pairs, key=lambda pair: order[pair.keras]))
    used = {whole_key(key) for pair in pairs for key in pair.torch}
    found.torch_left = [
        each.name
        for each in torch
        if each.name not in used and each.alias not in used and each.attribute != COUNTER
    ]
    found.keras_left = [each.name for each in keras if each.name not in {p.keras for p in pairs}]
    found.remarks = list(_conflicts(torch, keras, found))
    return found


def _assign(units: list[Unit], keras: list[Weight]) -> list[WeightPair]:
    if not units or not keras:
        return []
    problem = _Problem(units, keras)
    costs = problem.costs()
    costs += COSTS["neighbours"] * problem.strangers(costs)
    return [problem.pair(i, j, costs) for i, j in _cheapest(costs)]


def _cheapest(costs: np.ndarray) -> list[tuple[int, int]]:
    """The possible pairs of the assignment at the least cost."""
    rows, columns = linear_sum_assignment(costs)
    found = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(i, j) for i, j in found if costs[i, j] < IMPOSSIBLE]


class _Problem:
    """Units against variables: who may be whose, and what speaks against it."""

    def __init__(self, units: list[Unit], keras: list[Weight]) -> None:
        self.units, self.keras = units, keras
        self.torch_words = ranked([unit.weight.name for unit in units])
        self.keras_words = ranked([weight.name for weight in keras])
        self.torch_ranks = _ranks([unit.weight for unit in units], torch_role)
        self.keras_ranks = _ranks(keras, keras_role)
        self.layouts = {
            (i, j): found
            for i, unit in enumerate(units)
            for j, weight in enumerate(keras)
            if (found := layouts_between(unit, weight))
        }

    def costs(self) -> np.ndarray:
        """The matrix of costs, each pair by itself."""
        costs = np.full((len(self.units), len(self.keras)), IMPOSSIBLE)
        for i, j in self.layouts:
            costs[i, j] = sum(COSTS[name] * value for name, value in self.against(i, j).items())
        return costs

    def strangers(self, costs: np.ndarray) -> np.ndarray:
        """0 where the torch module and the Keras layer that hold a pair belong together, as far as
        all of their weights say, else 1.
        """
        modules = _groups([unit.weight.owner for unit in self.units])
        layers = _groups([weight.owner for weight in self.keras])
        between = np.array(
            [[_mean_cost(costs[np.ix_(i, j)]) for j in layers.values()] for i in modules.values()]
        )
        found = np.ones_like(costs)
        rows, columns = list(modules.values()), list(layers.values())
        for a, b in _cheapest(between):
            found[np.ix_(rows[a], columns[b])] = 0
        return found

    def against(self, i: int, j: int) -> dict[str, float]:
        """What speaks against a pair by itself."""
        torch, keras = self.units[i].weight, self.keras[j]
        return {
            "role": contradiction(torch_role(torch), keras_role(keras)),
            "names": 1 - self.likeness(i, j),
            "trained": float(torch.trained != keras.trained),
            "layout": self.layouts[i, j][0][1],
            "order": abs(self.torch_ranks[i] - self.keras_ranks[j]),
        }

    def likeness(self, i: int, j: int) -> float:
        """How alike the names are, from 0 to 1."""
        return alike(
            self.torch_words[self.units[i].weight.name], self.keras_words[self.keras[j].name]
        )

    def pair(self, i: int, j: int, costs: np.ndarray) -> WeightPair:
        """The pair with its confidence, by what the next best would cost, and its reason."""
        unit, keras = self.units[i], self.keras[j]
        layouts = [name for name, _ in self.layouts[i, j]]
        rivals = np.concatenate([np.delete(costs[i], j), np.delete(costs[:, j], i)])
        possible = rivals[rivals < IMPOSSIBLE]
        if not possible.size:
            sure, why = 1.0, "the only one of its size"
        else:
            sure = float(1 - 0.5 * np.exp(-max(0.0, possible.min() - costs[i, j])))
            why = "by name" if self.likeness(i, j) > 0.5 else "by its neighbours and order"
        natural, reason = natural_layout(unit.weight, keras)
        if len(layouts) > 1 and natural == layouts[0].partition(",")[0] and not reason:
            sure, reason = min(sure, 0.6), f"square, {layouts[0]!r} is a guess"
        elif len(layouts) == 1:
            reason = ""
        return WeightPair(
            keras.name,
            unit.keys,
            layouts[0],
            unit.combine,
            round(sure, 2),
            "; ".join(part for part in (why, reason) if part),
            tuple(layouts[1:]),
        )


def _groups(owners: list[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, owner in enumerate(owners):
        found.setdefault(owner, []).append(index)
    return found


def _mean_cost(costs: np.ndarray) -> float:
    """What a module and a layer cost together: their pairs, and those that find no partner."""
    pairs = _cheapest(costs)
    if not pairs:
        return IMPOSSIBLE
    alone = sum(costs.shape) - 2 * len(pairs)
    return (sum(float(costs[i, j]) for i, j in pairs) + ALONE * alone) / sum(costs.shape)


def layouts_between(unit: Unit, keras: Weight) -> list[tuple[str, float]]:
    """The layouts under which a unit fits a variable, the natural one first, with a cost from 0 (by
    nature) to 1.
    """
    torch = unit.weight
    if size_of(torch.shape) != size_of(keras.shape):
        return []
    gated = torch.layer in TORCH_GRUS and keras.layer in KERAS_GRUS
    found = [(name + ", gates" if gated else name) for name in _plain_layouts(torch, keras)]
    found = ["gates" if name == "same, gates" else name for name in found]
    natural, _ = natural_layout(torch, keras)
    found.sort(key=lambda name: name.partition(",")[0] != natural)
    exact = _exact(torch.shape, keras.shape)
    return [(name, 0.0 if exact and n == 0 else 0.5) for n, name in enumerate(found)]


def _plain_layouts(torch: Weight, keras: Weight) -> list[str]:
    if keras.attribute == "depthwise_kernel" and len(torch.shape) > 2:
        return ["depthwise"]
    if len(torch.shape) < 2 or torch.attribute.startswith("bias"):
        return ["same"]
    exact = _exact(torch.shape, keras.shape)
    if exact:
        return exact
    # heads apart, patches as rows: the same numbers in another number of axes
    return ["kernel", "same"] if torch.layer or keras.layer else ["same", "kernel"]


def _exact(torch: Shape, keras: Shape) -> list[str]:
    """The layouts that give just this shape, axes of size 1 apart."""
    moved = tuple(torch[axis] for axis in kernel_axes(len(torch))) if len(torch) > 1 else torch
    return [
        name
        for name, shape in (("same", torch), ("kernel", moved))
        if _squeezed(shape) == _squeezed(keras) and (name == "same" or len(torch) > 1)
    ]


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _ranks(weights: list[Weight], role: Callable[[Weight], str]) -> list[float]:
    """Each weight's place among those of its size and role, from 0 (first) to 1 (last)."""
    groups: dict[tuple[int, str], list[int]] = {}
    for index, each in enumerate(weights):
        groups.setdefault((size_of(each.shape), role(each)), []).append(index)
    ranks = [0.0] * len(weights)
    for members in groups.values():
        for rank, index in enumerate(members):
            ranks[index] = rank / max(1, len(members) - 1)
    return ranks


def _conflicts(torch: Sequence[Weight], keras: Sequence[Weight], found: WeightMap) -> Iterator[str]:
    """What is left over on both sides although its names are alike: the shapes do not fit."""
    ours = {each.name: each for each in keras if each.name in found.keras_left}
    theirs = {each.name: each for each in torch if each.name in found.torch_left}
    torch_words, keras_words = ranked(each.name for each in torch), ranked(e.name for e in keras)
    for name, weight in theirs.items():

        def nearness(other: str, words: Words = torch_words[name]) -> float:
            return alike(words, keras_words[other])

        best = max(ours, key=nearness, default=None)
        if best is not None and nearness(best) > 0.6:
            yield (
                f"{name} {list(weight.shape)} and {best} {list(ours[best].shape)} are called "
                "alike, but their shapes do not fit"
            )


def doubtful(pair: WeightPair) -> bool:
    """Whether the user should look at a pair."""
    return pair.confidence < SURE
