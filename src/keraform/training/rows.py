"""Where rows come from: columns, lists and Arrow tables by number; streams one after the other."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keraform.errors import KeraformError

Row = dict[str, Any]
Choose = Callable[[list[str]], list[str]]

SHUFFLE_BUFFER = 1000  # rows of a stream that are held to be shuffled
_PAIRS = 8  # pairs of rows that are looked at before training


@dataclass(frozen=True)
class Indexed:
    """Rows that are read by their numbers, when they are needed.

    Args:
        size: How many there are.
        read: Gives the rows of some numbers.
    """

    size: int
    read: Callable[[list[int]], list[Row]]

    def sample(self) -> Iterator[list[Row]]:
        """A few pairs of rows from all over the place."""
        places = np.linspace(0, self.size - 1, min(self.size, 2 * _PAIRS), dtype="int64").tolist()
        return (self.read(places[start : start + 2]) for start in range(0, len(places), 2))

    def batches(self, batch_size: int, seed: tuple[int, int] | None) -> Iterator[list[Row]]:
        """All rows of an epoch.

        Args:
            batch_size: Rows of a batch; the last one may have fewer.
            seed: What decides the order, together with the epoch; None for no shuffling.
        """
        order: Any = range(self.size)
        if seed is not None:
            order = np.random.default_rng(seed).permutation(self.size)
        for start in range(0, self.size, batch_size):
            yield self.read([int(place) for place in order[start : start + batch_size]])


@dataclass(frozen=True)
class Streamed:
    """Rows that come one after the other.

    Args:
        start: Gives the rows of an epoch from the first one on.
    """

    start: Callable[[int], Iterator[Row]]
    size: None = None

    def sample(self) -> Iterator[list[Row]]:
        """The first few rows, in pairs."""
        return _grouped(itertools.islice(self.start(0), 2 * _PAIRS), 2)

    def batches(self, batch_size: int, seed: tuple[int, int] | None) -> Iterator[list[Row]]:
        """All rows of an epoch.

        Args:
            batch_size: Rows of a batch; the last one may have fewer.
            seed: What decides the order, together with the epoch; None for no shuffling.
        """
        rows = self.start(0 if seed is None else seed[1])
        return _grouped(rows if seed is None else _shuffled(rows, seed), batch_size)


def _grouped(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while group := list(itertools.islice(rows, size)):
        yield group


def _shuffled(rows: Iterator[Row], seed: tuple[int, int]) -> Iterator[Row]:
    rng = np.random.default_rng(seed)
    held = list(itertools.islice(rows, SHUFFLE_BUFFER))
    for row in rows:
        place = int(rng.integers(len(held)))
        yield held[place]
        held[place] = row
    yield from (held[place] for place in rng.permutation(len(held)))


def rows_of(data: Any, main_input: str, choose: Choose) -> Indexed | Streamed:
    """The rows of whatever a user has.

    Args:
        data: A `datasets.Dataset` or `IterableDataset`; a mapping of columns (lists or arrays); an
            array of the main input; a list of rows, or anything with rows by number; a
            `tf.data.Dataset` of rows; anything that can be iterated over again and again.
        main_input: The name of the model's main input.
        choose: Tells which of the names of columns to read.

    Raises:
        KeraformError: There are several datasets, no rows, or only one epoch of them.
    """
    if isinstance(data, np.ndarray):
        data = {main_input: data}
    library: Any = sys.modules.get("datasets")
    if library is not None and isinstance(data, library.Dataset):
        return _of_table(data, choose)
    if library is not None and isinstance(data, library.IterableDataset):
        return _of_stream(data.with_format("numpy"), choose)
    if isinstance(data, Mapping) or (hasattr(data, "keys") and hasattr(data, "data")):
        return _of_columns(data, choose)
    if hasattr(data, "as_numpy_iterator"):
        return _of_stream(_Numpy(data), choose)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        _check_size(len(data))
        keep = choose(_names(data[0]))
        return Indexed(len(data), lambda places: [_only(data[place], keep) for place in places])
    if not hasattr(data, "__iter__") or iter(data) is data:
        once = ", which gives them once" if hasattr(data, "__iter__") else ""
        raise KeraformError(
            expected="rows that can be read again in each epoch",
            got=f"{type(data).__name__}{once}",
            try_next="datasets.IterableDataset.from_generator(function_that_yields_rows)",
        )
    return _of_stream(data, choose)


def _of_table(data: Any, choose: Choose) -> Indexed:
    _check_size(len(data))
    if data.format["type"] == "custom":  # a transform makes the columns, of whichever it needs
        keep = choose(list(data[0]))
    else:
        keep = choose(data.column_names)
        data = data.select_columns(keep).with_format("numpy")

    def read(places: list[int]) -> list[Row]:
        found = data[places]
        return [{name: found[name][row] for name in keep} for row in range(len(places))]

    return Indexed(len(data), read)


def _of_columns(data: Any, choose: Choose) -> Indexed:
    columns = {name: data[name] for name in data.keys() if data[name] is not None}
    first = next(iter(columns.values()), ())
    if any(hasattr(each, "column_names") for each in columns.values()):
        raise KeraformError(
            expected="one dataset",
            got=f"{type(data).__name__} of {', '.join(columns)}",
            try_next=f"prepare_tf_dataset(dataset[{next(iter(columns))!r}], ...)",
        )
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise KeraformError(
            expected="columns of one length",
            got=", ".join(f"{name} of {size}" for name, size in sizes.items()),
            try_next="prepare_tf_dataset({'input_ids': [...], 'labels': [...]})",
        )
    _check_size(len(first))
    keep = choose(list(columns))
    return Indexed(
        len(first),
        lambda places: [{name: columns[name][place] for name in keep} for place in places],
    )


def _of_stream(data: Iterable[Row], choose: Choose) -> Streamed:
    first = next(iter(data), None)
    _check_size(0 if first is None else 1)
    keep = choose(_names(first))

    def start(epoch: int) -> Iterator[Row]:
        if hasattr(data, "set_epoch"):  # another order of the shards in each epoch
            data.set_epoch(epoch)
        return (_only(row, keep) for row in data)

    return Streamed(start)


class _Numpy:
    """The elements of a `tf.data.Dataset` as arrays, again and again."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        return self.data.as_numpy_iterator()


def _only(row: Any, keep: list[str]) -> Row:
    return {name: row[name] for name in keep}


def _names(row: Any) -> list[str]:
    if not hasattr(row, "keys"):
        raise KeraformError(
            expected="rows that are dicts, a value for each column",
            got=f"a row of type {type(row).__name__}",
            try_next="[{'input_ids': [...], 'labels': 0}, ...]",
        )
    return list(row.keys())


def _check_size(size: int) -> None:
    if not size:
        raise KeraformError(
            expected="at least one row", got="none", try_next="another dataset, or another split"
        )
