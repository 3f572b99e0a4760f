"""Batches that `fit` takes, as a `tf.data.Dataset`, made of rows while the model is trained."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from transformers.data import data_collator as upstream

from keraform.errors import KeraformError
from keraform.training.collators import DataCollatorWithPadding, DefaultDataCollator
from keraform.training.rows import Indexed, Row, Streamed, rows_of

Batch = dict[str, np.ndarray]

# what datasets call labels, and models do not
_SYNONYMS = {"label": "labels", "label_ids": "labels"}
# columns that a collator reads although no model takes them
_READ = {upstream.DataCollatorForLanguageModeling: ("special_tokens_mask", "offset_mapping")}


@dataclass(frozen=True)
class Taken:
    """What a model takes.

    Args:
        model: The class's name, for messages.
        main_input: The input that a bare tensor stands for.
        inputs: Names of inputs, those of labels not among them.
        labels: Names of labels.
    """

    model: str
    main_input: str
    inputs: Sequence[str]
    labels: Sequence[str]

    def columns(self, names: list[str], collate_fn: Any) -> list[str]:
        """Those columns that are read.

        Args:
            names: What columns there are.
            collate_fn: What the user gave to make batches with, or None.

        Raises:
            KeraformError: There is no input among them, and nothing that could make one.
        """
        read = {name for kind in _READ if isinstance(collate_fn, kind) for name in _READ[kind]}
        read |= {*self.inputs, *self.labels, *(_SYNONYMS if self.labels else ())}
        if any(name in self.inputs for name in names):
            return [name for name in names if name in read]
        if collate_fn is None:
            raise self._nothing(names)
        return names  # the function makes the inputs of something else

    def split(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A collated batch without what the model does not take: its inputs, and its labels.

        Args:
            batch: What the collator returned.

        Raises:
            KeraformError: There is no input in it.
        """
        named = {_SYNONYMS.get(name, name) if self.labels else name: batch[name] for name in batch}
        inputs = {name: value for name, value in named.items() if name in self.inputs}
        if not inputs:
            raise self._nothing(list(batch))
        return inputs, {name: value for name, value in named.items() if name in self.labels}

    def _nothing(self, names: list[str]) -> KeraformError:
        return KeraformError(
            expected=f"columns that {self.model} takes: {', '.join([*self.inputs, *self.labels])}",
            got=f"columns {', '.join(names)}",
            try_next="dataset.map(lambda rows: tokenizer(rows['text']), batched=True), or "
            "dataset.rename_column(...)",
        )


def batches(
    dataset: Any,
    taken: Taken,
    *,
    batch_size: int,
    shuffle: bool,
    tokenizer: Any,
    collate_fn: Callable[..., Any] | None,
    collate_fn_args: dict[str, Any] | None,
    drop_remainder: bool | None,
    prefetch: bool,
) -> Any:
    """A `tf.data.Dataset` of inputs, or of inputs and labels; see `Model.prepare_tf_dataset`.

    Args:
        dataset: Rows of some kind; see `rows_of`.
        taken: What the model takes.
        batch_size: Rows of a batch.
        shuffle: Another order in each epoch.
        tokenizer: Pads rows, where there is no `collate_fn`.
        collate_fn: Makes a batch of rows.
        collate_fn_args: More arguments of it.
        drop_remainder: Leave out a last batch that is smaller; None for as `shuffle`.
        prefetch: Make batches while the model is busy with earlier ones.
    """
    import tensorflow as tf

    drop = shuffle if drop_remainder is None else drop_remainder
    rows = rows_of(dataset, taken.main_input, lambda names: taken.columns(names, collate_fn))
    collate = _Collate(tokenizer, collate_fn, collate_fn_args or {}, taken)
    specs = _specs(rows, copy.copy(collate), batch_size if drop else None)
    count = _count(rows, batch_size, drop)
    epochs, seed = itertools.count(), int(np.random.randint(2**31)) if shuffle else None

    def generate() -> Iterator[Any]:
        order = None if seed is None else (seed, next(epochs))
        for group in rows.batches(batch_size, order):
            if len(group) == batch_size or not drop:
                yield _presented(_cast(collate(group), specs), taken)

    signature = _presented(specs, taken)
    made = tf.data.Dataset.from_generator(generate, output_signature=signature)
    if count is not None:
        made = made.apply(tf.data.experimental.assert_cardinality(count))
    return made.prefetch(tf.data.AUTOTUNE) if prefetch else made


class _Collate:
    """Makes arrays of rows: the collator that the user chose, and what the model takes of it."""

    def __init__(
        self, tokenizer: Any, collate_fn: Any, arguments: dict[str, Any], taken: Taken
    ) -> None:
        self.is_own, self.tokenizer = collate_fn is None, tokenizer
        if collate_fn is None and tokenizer is not None:
            collate_fn = DataCollatorWithPadding(tokenizer)
        collate_fn = collate_fn or DefaultDataCollator()
        if hasattr(collate_fn, "return_tensors"):
            collate_fn = copy.copy(collate_fn)
            collate_fn.return_tensors = "np"
        self.function, self.arguments, self.taken = collate_fn, arguments, taken

    def __copy__(self) -> _Collate:
        """With a collator that may draw random numbers without any effect on this one's."""
        twin = object.__new__(_Collate)
        twin.__dict__.update(self.__dict__, function=copy.copy(self.function))
        return twin

    def __call__(self, rows: list[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.is_own:
            self._check_lengths(rows)
        return self.taken.split(self.function(rows, **self.arguments))

    def _check_lengths(self, rows: list[Row]) -> None:
        """Says which values nothing pads, for the collators that are used if none is given."""
        padded = self.tokenizer.model_input_names if self.tokenizer is not None else ()
        uneven = {name: sizes for name, sizes in _lengths(rows).items() if len(sizes) > 1}
        found = [
            f"{name} of lengths {sizes}" for name, sizes in uneven.items() if name not in padded
        ]
        if not found:
            return
        raise KeraformError(
            expected="rows of one length, or something that pads them",
            got="; ".join(found),
            try_next="prepare_tf_dataset(dataset, tokenizer=tokenizer)"
            if self.tokenizer is None
            else "collate_fn=keraform.DataCollatorForTokenClassification(tokenizer), or "
            "DataCollatorForSeq2Seq, which pad labels",
        )


def _lengths(rows: list[Row]) -> dict[str, list[int]]:
    """The lengths that values have, by name."""
    return {
        name: sorted({len(row[name]) for row in rows if np.ndim(row[name])}) for name in rows[0]
    }


def _count(rows: Indexed | Streamed, batch_size: int, drop: bool) -> int | None:
    if rows.size is None:
        return None
    count = rows.size // batch_size if drop else -(-rows.size // batch_size)
    if not count:
        raise KeraformError(
            expected=f"a batch of {batch_size} rows, since smaller ones are dropped",
            got=f"{rows.size} rows",
            try_next="drop_remainder=False, or a smaller batch_size",
        )
    return count


def _specs(
    rows: Indexed | Streamed, collate: _Collate, batch_size: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a batch looks like, from a few small ones."""
    groups = list(rows.sample())
    samples = [[_arrays(part) for part in collate(group)] for group in groups]
    sizes = [len(group) for group in groups]
    inputs, labels = (
        {name: _spec(name, [each[part][name] for each in samples], sizes, batch_size)
         for name in samples[0][part]}
        for part in (0, 1)
    )  # fmt: skip
    return inputs, labels


def _arrays(batch: dict[str, Any]) -> Batch:
    return {name: np.asarray(value) for name, value in batch.items()}


def _spec(name: str, arrays: list[np.ndarray], sizes: list[int], batch_size: int | None) -> Any:
    """The type of an input or label.

    The length of a text is left open even if all samples agree on it, since the next batch may
    differ. Images have static sizes where all samples agree, which some models need under XLA.
    """
    import tensorflow as tf

    kind = arrays[0].dtype
    if kind.kind not in "biuf":
        raise KeraformError(
            expected=f"numbers in {name!r}",
            got=f"{kind} from the collator, as of {arrays[0].ravel()[:1]}",
            try_next="a collate_fn that makes arrays of numbers",
        )
    shape: list[int | None] = [None] * arrays[0].ndim
    if kind.kind == "f" and len(shape) > 3 and len({each.shape[1:] for each in arrays}) == 1:
        shape[1:] = arrays[0].shape[1:]
    if shape and all(len(each) == size for each, size in zip(arrays, sizes, strict=True)):
        shape[0] = batch_size
    wanted = {"b": "bool", "f": keras.config.floatx()}.get(kind.kind, "int64")
    return tf.TensorSpec(shape, wanted, name)


def _cast(
    batch: tuple[dict[str, Any], dict[str, Any]], specs: tuple[dict[str, Any], dict[str, Any]]
) -> tuple[Batch, Batch]:
    inputs, labels = (
        {name: np.asarray(part[name]).astype(spec.dtype.as_numpy_dtype, casting="same_kind")
         for name, spec in expected.items()}
        for part, expected in zip(batch, specs, strict=True)
    )  # fmt: skip
    return inputs, labels


def _presented(batch: tuple[dict[str, Any], dict[str, Any]], taken: Taken) -> Any:
    """As fit takes it; the main input alone, and `labels` alone, are bare tensors as in v4."""
    inputs, labels = batch
    x = inputs[taken.main_input] if list(inputs) == [taken.main_input] else inputs
    if not labels:
        return x
    return x, labels["labels"] if list(labels) == ["labels"] else labels
