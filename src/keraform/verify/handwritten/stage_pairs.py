"""Which torch module and which Keras layer are the same stage: by the weights that they hold, then
by their names.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from keraform.verify.handwritten.likeness import words_of
from keraform.verify.handwritten.matching import Relation, relation
from keraform.verify.handwritten.trace import Trace
from keraform.verify.handwritten.weight_map import WeightMap
from keraform.verify.handwritten.weight_pairs import whole_key
from keraform.verify.leaves import Leaf, Leaves, Stage


@dataclass(frozen=True)
class StagePair:
    """A stage that both sides have.

    Args:
        torch: the module's path.
        keras: the layer's path.
        outputs: how what they give differs.
        inputs: how what they are given differs, the worst of it; None where nothing is comparable.
    """

    torch: str
    keras: str
    outputs: Relation
    inputs: Relation | None


def stage_pairs(torch: Trace, keras: Trace, weight_map: WeightMap, limit: float) -> list[StagePair]:
    """The stages of both sides that belong together, in the order in which torch's ended."""
    held_torch = _held(torch, [(pair.torch[0], n) for n, pair in enumerate(weight_map.pairs)])
    held_keras = _held(keras, [(pair.keras, n) for n, pair in enumerate(weight_map.pairs)])
    by_weights: dict[frozenset[int], list[str]] = defaultdict(list)
    for path, weights in held_keras.items():
        by_weights[weights].append(path)
    partners: dict[str, str] = {}
    for path, weights in held_torch.items():
        candidates = [each for each in by_weights[weights] if each not in partners.values()]
        if candidates:
            partners[path] = _best(torch, keras, path, candidates, limit)
    free = {
        words_of(path): path
        for path in _paths(keras)
        if path not in partners.values() and path not in held_keras
    }
    for path in _paths(torch):
        if path not in held_torch and words_of(path) in free:
            partners[path] = free[words_of(path)]
    return [
        _pair(torch.recording.stages[name], keras.recording.stages[other], limit)
        for name in torch.recording.stages
        if (other := _same_call(name, partners)) in keras.recording.stages
    ]


def _same_call(name: str, partners: dict[str, str]) -> str:
    path, mark, count = name.partition("#")
    return partners.get(path, "?") + mark + count


def _paths(trace: Trace) -> list[str]:
    return [name for name in trace.recording.stages if "#" not in name]


def _held(trace: Trace, weights: list[tuple[str, int]]) -> dict[str, frozenset[int]]:
    """The pairs of weights below each stage that has any, the innermost stages first."""
    paths = _paths(trace)
    found = {}
    for path in paths:
        inside = {n for name, n in weights if whole_key(name).startswith(f"{path}.")}
        if inside:
            found[path] = frozenset(inside)
    return dict(sorted(found.items(), key=lambda each: -each[0].count(".")))


def _best(torch: Trace, keras: Trace, path: str, candidates: list[str], limit: float) -> str:
    """Of several stages around the same weights, one that gives the same, else the innermost."""
    mine = torch.recording.stages[path]
    for each in candidates:
        if best_relation(mine.outputs, keras.recording.stages[each].outputs, limit).within(limit):
            return each
    return candidates[0]


def _pair(torch: Stage, keras: Stage, limit: float) -> StagePair:
    outputs = best_relation(_first(torch.outputs), keras.outputs, limit)
    given = [
        best_relation({name: leaf}, keras.inputs, limit)
        for name, leaf in torch.inputs.items()
        if _comparable(leaf, keras.inputs)
    ]
    worst = max(given, key=lambda each: each.error, default=None)
    return StagePair(torch.name, keras.name, outputs, worst)


def _first(outputs: Leaves) -> Leaves:
    """A stage's first output speaks for it; the rest may be left out on the other side."""
    return dict(list(outputs.items())[:1])


def _comparable(leaf: Leaf, others: Leaves) -> bool:
    """Floats, and integers where the other side has some too (ids); masks take other forms."""
    kind, size = leaf.array.dtype.kind, leaf.array.size
    ids = any(each.array.dtype.kind in "iu" and each.array.size == size for each in others.values())
    return size > 1 and (kind in "fc" or (kind in "iu" and ids))


def best_relation(torch: Leaves, keras: Leaves, limit: float) -> Relation:
    """The worst of torch's leaves, each beside the Keras leaf that is nearest to it."""
    worst = Relation(0.0)
    for leaf in torch.values():
        found = [relation(leaf, other, limit) for other in keras.values()]
        best = min(found, key=lambda each: each.error, default=Relation(float("inf"), "", "absent"))
        worst = max(worst, best, key=lambda each: each.error)
    return worst
