"""Timing several sides in turn, so that a busy machine disturbs them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PAUSE = 0.05  # seconds, in which the threads of the side before go to sleep


@dataclass(frozen=True)
class Timing:
    """Seconds of one side by the clock and in all threads together, one entry for each round."""

    seconds: tuple[float, ...]
    processor: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The shortest round."""
        return min(self.seconds)

    @property
    def work(self) -> float:
        """Processor seconds of the middle round: steady while other programs run, too."""
        return statistics.median(self.processor)


def in_turn(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Call every side once in each round, after one untimed round; every other round backwards."""
    for call in sides.values():
        call()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    gc.collect()
    gc.disable()  # one pass over the heap of two frameworks takes longer than a small call
    try:
        for number in range(rounds):
            for name in list(sides) if number % 2 == 0 else list(reversed(sides)):
                time.sleep(PAUSE)
                start, work = time.perf_counter(), time.process_time()
                sides[name]()
                found[name].append((time.perf_counter() - start, time.process_time() - work))
    finally:
        gc.enable()
    return {name: Timing(*zip(*rows, strict=True)) for name, rows in found.items()}


def ratio(one: Timing, other: Timing) -> float:
    """The median over rounds of `one / other` by the clock, each round by itself."""
    return statistics.median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))


def work_ratio(one: Timing, other: Timing) -> float:
    """The same in processor seconds."""
    return statistics.median(a / b for a, b in zip(one.processor, other.processor, strict=True))
