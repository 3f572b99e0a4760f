"""`prepare_tf_dataset`: a dataset as batches of what a model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keraform.modeling import labels
from keraform.modeling.inputs import Arguments


class Batching:
    """Gives models `prepare_tf_dataset`."""

    def prepare_tf_dataset(
        self,
        dataset: Any,
        batch_size: int = 8,
        shuffle: bool = True,
        tokenizer: Any = None,
        collate_fn: Callable[..., Any] | None = None,
        collate_fn_args: dict[str, Any] | None = None,
        drop_remainder: bool | None = None,
        prefetch: bool = True,
    ) -> Any:
        """A `tf.data.Dataset` for fit, evaluate and predict, on TensorFlow and on JAX.

        Only columns that the model takes are read, when they are needed. Rows may be

        - a `datasets.Dataset`, read from disk by number, or a `datasets.IterableDataset`;
        - a mapping of columns, lists or arrays; or one array, the main input;
        - a list of dicts, or any object with `len()` and rows by number;
        - an unbatched `tf.data.Dataset` of dicts, or anything else that can be iterated over
          in each epoch.

        The model's inputs come as a dict, or as a bare tensor where the main input is the only one;
        labels as a dict by name, or as a bare tensor where `labels` are the only ones.

        Args:
            dataset: The rows.
            batch_size: Rows of a batch.
            shuffle: Give rows in another order in each epoch; those of a stream are shuffled by the
                thousand. `keras.utils.set_random_seed` before makes the orders repeatable.
            tokenizer: Pads the rows of a batch to its longest one.
            collate_fn: Makes a batch of a list of rows, in place of the tokenizer: a collator, or
                any function. It gets the columns that the model takes, or all of them if there
                is no input of the model among them.
            collate_fn_args: More arguments for `collate_fn`.
            drop_remainder: Leave out a last batch that is smaller; as `shuffle`, if not given.
            prefetch: Prepare batches while the model is busy.

        Raises:
            KeraformError: No column is an input of the model; rows differ in length and nothing
                pads them; there are too few rows for a batch.

        Example:
            train = model.prepare_tf_dataset(dataset, batch_size=16, tokenizer=tokenizer)
            model.compile("adam")
            model.fit(train, epochs=3)
        """
        # imports TensorFlow, which other backends do not need for anything else
        from keraform.training.data import Taken, batches

        arguments = Arguments.of(type(self))
        targets = labels.label_names(arguments)
        known = [*arguments.inputs, *sorted({*arguments.keywords, *arguments.older})]
        inputs = [name for name in known if name not in (*targets, "training")]
        return batches(
            dataset,
            Taken(type(self).__name__, self.main_input_name, inputs, targets),
            batch_size=batch_size,
            shuffle=shuffle,
            tokenizer=tokenizer,
            collate_fn=collate_fn,
            collate_fn_args=collate_fn_args,
            drop_remainder=drop_remainder,
            prefetch=prefetch,
        )
