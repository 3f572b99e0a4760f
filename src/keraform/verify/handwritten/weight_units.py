"""What a Keras variable can be made of: torch's tensors, their parts, sums and joins, wherever the
other side's shapes ask for those.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from keraform.verify.handwritten.likeness import words_of
from keraform.verify.handwritten.roles import TORCH_GRUS, TORCH_RECURRENT
from keraform.verify.handwritten.weight_pairs import Shape, Weight, part_key

COUNTER = "num_batches_tracked"  # batch normalisation's; Keras counts nothing
THIRDS = ("query", "key", "value")
FUSED = frozenset({"attention", "query", "key", "value", "qkv", "kv", "in"})
PART_NAMES = {3: THIRDS, 2: ("key", "value")}


@dataclass(frozen=True)
class Unit:
    """Torch tensors that together are one weight.

    Args:
        weight: the weight as if torch held it so; its name says what the parts are.
        keys: the tensors, in the order in which they are combined.
        combine: how, one of `COMBINATIONS`.
    """

    weight: Weight
    keys: tuple[str, ...]
    combine: str = "one"


def size_of(shape: Shape) -> int:
    """How many numbers a tensor of this shape has."""
    return math.prod(shape)


def units_of(torch: Iterable[Weight], keras: Iterable[Weight]) -> list[Unit]:
    """Torch's weights as units, in torch's order; aliases and counters are left out."""
    own = [each for each in torch if each.alias is None and each.attribute != COUNTER]
    wanted = Counter(size_of(each.shape) for each in keras)
    given = Counter(size_of(each.shape) for each in own)
    joined = {each.name: unit for unit, members in _joins(own, given, wanted) for each in members}
    splits = _splits(own, given, wanted)
    units: list[Unit] = []
    for each in own:
        if each.name in joined:
            units.append(joined[each.name])
        elif each.layer in TORCH_RECURRENT:
            units += _recurrent(each, given, wanted)
        elif each.name in splits:
            units += _parts(each, splits[each.name])
        else:
            units.append(Unit(each, (each.name,)))
    return list(dict.fromkeys(units))


def _splits(weights: list[Weight], given: Counter[int], wanted: Counter[int]) -> dict[str, int]:
    """Into how many parts each tensor falls apart: as many tensors of a size as Keras has too few
    of it, those first that are called attention or the like.
    """
    found: dict[str, int] = {}
    for parts in PART_NAMES:
        for size in [size for size in given if given[size] > wanted[size]]:
            lacking = (wanted[size // parts] - given[size // parts]) // parts
            candidates = [
                each
                for each in weights
                if size_of(each.shape) == size
                and each.name not in found
                and each.shape[0] % parts == 0
                and each.layer not in TORCH_RECURRENT
            ]
            candidates.sort(key=lambda each: not FUSED & {*words_of(each.name)})
            for each in candidates[: max(0, min(lacking, given[size] - wanted[size]))]:
                found[each.name] = parts
    return found


def _parts(weight: Weight, parts: int) -> list[Unit]:
    """The equal parts of a tensor (fused query, key and value)."""
    shape = (weight.shape[0] // parts, *weight.shape[1:])
    attribute = weight.attribute.replace("in_proj_", "")
    return [
        Unit(
            replace(weight, name=f"{weight.owner}.{name}.{attribute}", shape=shape),
            (part_key(weight.name, index, parts),),
        )
        for index, name in enumerate(PART_NAMES[parts])
    ]


def _joins(
    weights: list[Weight], given: Counter[int], wanted: Counter[int]
) -> Iterator[tuple[Unit, list[Weight]]]:
    """Query, key and value of one parent where Keras has one weight three times as large."""
    families: dict[tuple[str, str], dict[str, Weight]] = {}
    for each in weights:
        above, _, last = each.owner.rpartition(".")
        name = next((word for word in words_of(last) if word in THIRDS), None)
        if name is not None:
            families.setdefault((above, each.attribute), {})[name] = each
    for (above, attribute), found in families.items():
        members = [found[name] for name in THIRDS if name in found]
        if len(members) < 3 or len({each.shape for each in members}) > 1:
            continue
        shape = members[0].shape
        size = size_of(shape)
        if wanted[3 * size] > given[3 * size] and wanted[size] < given[size]:
            name = f"{above}.query_key_value.{attribute}".lstrip(".")
            whole = replace(members[0], name=name, shape=(3 * shape[0], *shape[1:]))
            yield Unit(whole, tuple(each.name for each in members), "join"), members


def _recurrent(weight: Weight, given: Counter[int], wanted: Counter[int]) -> list[Unit]:
    """Torch has two biases where Keras has one, or one of two rows (GRU)."""
    kind, _, place = weight.attribute.partition("_")  # bias, ih_l0_reverse
    layer = place.partition("_")[2]
    owner = ".".join(part for part in (weight.owner, layer) if part)
    named = replace(weight, name=f"{owner}.{weight.attribute}")
    size = size_of(weight.shape)
    if kind != "bias" or wanted[size] >= given[size]:
        return [Unit(named, (weight.name,))]
    other = weight.name.replace("_ih", "_hh")
    first = weight.name.replace("_hh", "_ih")
    if weight.layer in TORCH_GRUS and wanted[2 * size] > given[2 * size]:
        stacked = replace(weight, name=f"{owner}.bias", shape=(2, *weight.shape))
        return [Unit(stacked, (first, other.replace("_ih", "_hh")), "stack")]
    summed = replace(weight, name=f"{owner}.bias")
    return [Unit(summed, (first, first.replace("_ih", "_hh")), "sum")]
