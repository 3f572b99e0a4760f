"""Runs the matrix: worker processes, a class at a time.

Importing Keras, TensorFlow and torch costs seconds, so a worker takes many classes, those of one
type in a row, because what it knows of their file serves all of them; it is replaced after a number
of classes, since memory is not all given back, and when it dies or takes too long, which costs one
row.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as TimedOut
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from pebble import ProcessExpired, ProcessPool

from keraform import support
from keraform.translate.cache import translator_version
from keraform.verify.backends import JAX, shared
from keraform.verify.matrix import workers
from keraform.verify.matrix.rows import Row, broken

CLASSES_A_WORKER = 60
SECONDS_A_CLASS = 600
# Arrays come and go by the thousand: memory given back to the system each time, and asked for again
# page by page, is half of a worker's time. Only glibc reads these.
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}

# Told after each piece: (what, done, known so far).
Progress = Callable[[str, int, int], None]
# A model type and the name of one of its torch classes.
Key = tuple[str, str]
# What is asked for and the arguments of the work.
Call = tuple[Any, tuple[Any, ...]]


@dataclass
class Matrix:
    """The ladder of the classes of model types.

    Args:
        types: the model types.
        rungs: to climb.
        jobs: worker processes.
        known: an earlier table, whose rows are kept where the generated file is the same; of other
            versions nothing is.
        versions: of the packages that the table is computed with.
        again: compute also what is known; its other types are kept all the same.
    """

    types: list[str]
    rungs: set[int]
    jobs: int = 1
    known: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    again: bool = False

    def __post_init__(self) -> None:
        if support.versions(self.known) != self.versions:
            self.known = {}
        kept = dict(self.known.get("types", {}))
        if self.again:
            kept = {name: entry for name, entry in kept.items() if name not in self.types}
        self.table: dict[str, Any] = {**self.versions, "types": kept}
        if "translator" in self.known:
            self.table["translator"] = self.known["translator"]

    def run(self, progress: Progress) -> Iterator[dict[str, Any]]:
        """The table, whole each time a class is done; before rung 9 with its counts."""
        here, there = self.rungs - {workers.JAX_RUNG}, self.rungs & {workers.JAX_RUNG}
        with self._workers({}) as pools:
            asked = self._classes(pools, progress)
            self._drop_all_but(asked)
            if here:
                yield from self._climb(pools, asked, here, progress)
            self._count(pools, progress)
            self._sign()
            yield self.table
        if there:
            with TemporaryDirectory() as compiled, self._workers(JAX | shared(compiled)) as pools:
                yield from self._climb(pools, asked, there, progress)

    def _classes(self, pools: list[ProcessPool], progress: Progress) -> list[Key]:
        """The classes of each type, in the order of the types."""
        found = dict(self._all(pools, workers.classes_in, self.types, "classes of", progress))
        return [(each, name) for each in self.types for name in found.get(each, ())]

    def _climb(
        self, pools: list[ProcessPool], asked: list[Key], rungs: set[int], progress: Progress
    ) -> Iterator[dict[str, Any]]:
        """The table after each class whose rungs were run."""
        groups = (
            [(key, (*key, rungs, self._row(key))) for key in keys]
            for _, keys in itertools.groupby(asked, key=lambda key: key[0])
        )
        found = _results(pools, workers.row_of, groups)
        for done, (key, result) in enumerate(found, start=1):
            progress(" ".join(key), done, len(asked))
            if isinstance(result, str):
                result = broken(rungs, self._row(key), result)
            self._put(key, result)
            yield self.table

    def _sign(self) -> None:
        """Which translator the hashes are of, where it is one for all of them."""
        current = translator_version()
        if self.table["types"].keys() <= set(self.types):
            self.table["translator"] = current
        elif self.table.get("translator") != current:
            self.table.pop("translator", None)

    def _count(self, pools: list[ProcessPool], progress: Progress) -> None:
        """How much the ports decide at run time, file by file; what is known of the files of other
        types stays.
        """
        types = self.table["types"]
        every = {row["source"] for entry in types.values() for row in _rows(entry)} - {""}
        asked = {
            row["source"] for each in self.types if each in types for row in _rows(types[each])
        }
        known = self.known.get("files", {})
        files = sorted(every & (asked | (every - known.keys())))
        counts = dict(self._all(pools, workers.counts_of, files, "operations of", progress))
        self.table["files"] = dict(
            sorted((each, row) for each, row in {**known, **counts}.items() if each in every)
        )

    def _all(
        self,
        pools: list[ProcessPool],
        work: Callable[[str], Any],
        names: list[str],
        what: str,
        progress: Progress,
    ) -> Iterator[tuple[str, Any]]:
        """What some work gives for each name, but for those at which it failed."""
        groups = ([(each, (each,))] for each in names)
        for done, (name, result) in enumerate(_results(pools, work, groups)):
            progress(f"{what} {name}", done, len(names))
            if not isinstance(result, str):
                yield name, result

    def _drop_all_but(self, asked: list[Key]) -> None:
        """Classes of the asked types that are no more."""
        kept = {(model_type, f"TF{name}") for model_type, name in asked}
        for model_type in self.types:
            rows = support.rows(self.table, model_type)
            for name in [each for each in rows if (model_type, each) not in kept]:
                del rows[name]

    def _row(self, key: Key) -> Row | None:
        model_type, name = key
        row = support.rows(self.table, model_type).get(f"TF{name}")
        return None if row is None else {"source": self.table["types"][model_type]["source"], **row}

    def _put(self, key: Key, row: Row) -> None:
        model_type, name = key
        entry = self.table["types"].setdefault(model_type, {"source": "", "classes": {}})
        entry["source"] = entry["source"] or row["source"]
        if row["source"] == entry["source"]:
            del row["source"]  # but that of a class which stands in another file
        entry["classes"][f"TF{name}"] = row
        self.table["types"] = dict(sorted(self.table["types"].items()))

    @contextmanager
    def _workers(self, environment: dict[str, str]) -> Iterator[list[ProcessPool]]:
        """Pools of one worker, each with its share of the cores."""
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        own = dict.fromkeys(
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), threads
        )
        before = dict(os.environ)
        # workers are started anew, and inherit it
        os.environ.update(own | KEPT_MEMORY | environment)
        spawn = multiprocessing.get_context("spawn")
        pools = [
            ProcessPool(1, max_tasks=CLASSES_A_WORKER, context=spawn) for _ in range(self.jobs)
        ]
        try:
            yield pools
            for pool in pools:
                pool.close()
        except BaseException:
            for pool in pools:
                pool.stop()
            raise
        finally:
            for pool in pools:
                pool.join()
            os.environ.clear()
            os.environ.update(before)


def _results(
    pools: list[ProcessPool], work: Callable[..., Any], groups: Iterable[list[Call]]
) -> Iterator[tuple[Any, Any]]:
    """Each call's key with what it gave, in the order in which they end; for a worker that died or
    was too slow what happened, in words. The calls of a group are one worker's.
    """
    waiting: dict[Any, tuple[Any, ProcessPool]] = {}
    groups = iter(groups)
    while True:
        busy = {id(pool) for _, pool in waiting.values()}
        idle = (pool for pool in pools if id(pool) not in busy)
        for pool, calls in zip(idle, groups, strict=False):
            for key, arguments in calls:
                future: Any = pool.schedule(work, args=arguments, timeout=SECONDS_A_CLASS)
                waiting[future] = key, pool
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            yield waiting.pop(future)[0], _outcome(future)


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.result()
    except TimedOut:
        return f"not done after {SECONDS_A_CLASS} s"
    except ProcessExpired as error:
        return f"the process ended with exit code {error.exitcode}"
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _rows(entry: dict[str, Any]) -> Iterable[Row]:
    return ({"source": entry["source"], **row} for row in entry["classes"].values())
