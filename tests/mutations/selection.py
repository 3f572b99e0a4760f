"""Which faults are seeded: one of each kind in each model, drawn by lot, the lots being hashes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.mutations.faults import Fault, seeded
from tests.mutations.fingerprints import ALIVE, EQUIVALENT, Fingerprints
from tests.mutations.mutators import MUTATORS, UNTIED
from tests.mutations.source import Place, written
from tests.mutations.subjects import Subject
from tests.mutations.weights import tied_constructions, transposed_weights

# How many places of a kind are tried before the model goes without.
TRIES = 10


@dataclass
class Draw:
    """What came of drawing one fault of a kind.

    Args:
        subject: the class that has the fault, None where no place was left.
        fault: the fault.
        equivalent: names of those that were drawn before and cannot be told from the good port.
        stillborn: names of those that raise at once, for which nobody needs a detector.
    """

    subject: Subject | None = None
    fault: Fault | None = None
    equivalent: list[str] = field(default_factory=list)
    stillborn: list[str] = field(default_factory=list)


class Urn:
    """Every fault that could be seeded into a model.

    Args:
        subjects: the classes of the model type; the first that executes a place gets the fault.
    """

    def __init__(self, subjects: list[Subject]) -> None:
        self._pool = [(each, Fingerprints(each), candidates(each)) for each in subjects]

    def draw(self, kind: str, taken: set[int]) -> Draw:
        """The first fault of a kind that can be told from the good port.

        Args:
            kind: the sort of fault.
            taken: lines of statements that have a fault already.
        """
        drawn = Draw()
        for subject, prints, fault in self._of(kind, taken):
            with seeded(subject, fault) as case:
                verdict = prints.verdict(case)
            if verdict == ALIVE:
                drawn.subject, drawn.fault = subject, fault
                break
            (drawn.equivalent if verdict == EQUIVALENT else drawn.stillborn).append(fault.name)
        return drawn

    def _of(self, kind: str, taken: set[int]) -> list[tuple[Subject, Fingerprints, Fault]]:
        names: set[str] = set()
        found = []
        for subject, prints, faults in self._pool:
            for fault in faults.get(kind, ()):
                if fault.line not in taken and fault.name not in names:
                    names.add(fault.name)
                    found.append((subject, prints, fault))
        return found[:TRIES]


def candidates(subject: Subject) -> dict[str, list[Fault]]:
    """Every fault that could be seeded into what a subject executes, by kind, in drawn order."""
    found: dict[str, list[Fault]] = defaultdict(list)
    for fault in (*_textual(subject), *transposed_weights(subject)):
        found[fault.kind].append(fault)
    return {kind: sorted(faults, key=_lot) for kind, faults in found.items()}


def _textual(subject: Subject) -> Iterator[Fault]:
    for place in subject.source.places():
        if not subject.executes(place):
            continue
        for mutator in MUTATORS:
            for new in mutator.spoil(place):
                yield Fault(
                    subject.model_type, subject.class_name, mutator.kind, mutator.name,
                    place.owner, place.statement.lineno, place.statement.end_lineno,
                    written(place.node), written(new),
                    subject.source.replaced(place.statement, place.node, new),
                    _also(subject, mutator.kind, place),
                )  # fmt: skip


def _also(subject: Subject, kind: str, place: Place) -> tuple[int, ...]:
    return tied_constructions(subject, written(place.node)) if kind == UNTIED else ()


def _lot(fault: Fault) -> str:
    return hashlib.sha256(fault.name.encode()).hexdigest()
