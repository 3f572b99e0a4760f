"""Metrics in plain Python on the predictions, or generated texts, of a whole dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keraform.errors import KeraformError

_LABELS = (["labels"], ["start_positions", "end_positions"])
_PADDING = -100


class KerasMetricCallback(keras.callbacks.Callback):
    """Calls a function with predictions and labels of a dataset after each epoch.

    What it returns joins the values of the epoch: it is in the history, and other callbacks, those
    that come later in the list, can watch it.

    Args:
        metric_fn: Takes one pair, (predictions, labels), of arrays or dicts of arrays; returns a
            dict of numbers. Batches of different lengths are padded with -100.
        eval_dataset: A `tf.data.Dataset` of batches; or inputs, or a pair of inputs and labels, of
            whole arrays.
        output_cols: Which outputs to keep; all but the loss and those that the configuration
            leaves out of predictions, if not given.
        label_cols: Which inputs are the labels; if not given, the second part of the dataset, or
            `labels`, or `start_positions` and `end_positions`.
        batch_size: For whole arrays.
        predict_with_generate: Predict with `model.generate()`.
        use_xla_generation: Taken from v4's; `generate` compiles itself where it can, and
            `generate_kwargs={"disable_compile": True}` keeps it from that.
        generate_kwargs: Arguments of `model.generate()`.

    Raises:
        KeraformError: There are no labels, or no batches; the model cannot generate.
    """

    def __init__(
        self,
        metric_fn: Callable[[Any], dict[str, Any]],
        eval_dataset: Any,
        output_cols: list[str] | None = None,
        label_cols: list[str] | None = None,
        batch_size: int | None = None,
        predict_with_generate: bool = False,
        use_xla_generation: bool = False,
        generate_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.metric_fn = metric_fn
        self.eval_dataset = _batched(eval_dataset, batch_size)
        self.output_cols = output_cols
        self.label_cols = _label_columns(self.eval_dataset.element_spec, label_cols)
        self.predict_with_generate = predict_with_generate
        self.use_xla_generation = use_xla_generation
        self.generate_kwargs = generate_kwargs or {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks that the model can do what is asked for.

        Args:
            logs: Not used.
        """
        if self.predict_with_generate and not hasattr(self.model, "generate"):
            raise KeraformError(
                expected="a model that generates, for predict_with_generate=True",
                got=f"{type(self.model).__name__}, which has no generate()",
                try_next="predict_with_generate=False, and a metric of the logits",
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predicts, calls the function, and adds what it returns to the values of the epoch.

        Args:
            epoch: Its number.
            logs: The values of the epoch.
        """
        predictions, labels = [], []
        for batch in self.eval_dataset:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(_array, batch))
            labels.append(y if self.label_cols is None else {k: x[k] for k in self.label_cols})
            predictions.append(self._predicted(x))
        found = self.metric_fn((_joined(predictions), _joined(labels)))
        if not isinstance(found, dict):
            raise KeraformError(
                expected="a dict of numbers by name from metric_fn",
                got=f"{type(found).__name__}: {found!r}"[:200],
                try_next="return {'accuracy': accuracy}",
            )
        if logs is not None:
            logs.update(found)

    def _predicted(self, x: Any) -> Any:
        if self.predict_with_generate:
            main, mask = x, None
            if isinstance(x, Mapping):
                main, mask = x[self.model.main_input_name], x.get("attention_mask")
            return _array(self.model.generate(main, attention_mask=mask, **self.generate_kwargs))
        found = self.model.predict_on_batch(x)
        if not isinstance(found, Mapping):
            return found
        config = getattr(self.model, "config", None)
        left_out = {"loss", *(getattr(config, "keys_to_ignore_at_inference", None) or ())}
        names = self.output_cols or [name for name in found if name not in left_out]
        return {name: found[name] for name in names}


def _batched(data: Any, batch_size: int | None) -> Any:
    import tensorflow as tf

    if isinstance(data, tf.data.Dataset):
        return data
    if batch_size is None:
        raise KeraformError(
            expected="a tf.data.Dataset of batches, or a batch_size",
            got=f"eval_dataset of {type(data).__name__} without batch_size",
            try_next="KerasMetricCallback(metric_fn, eval_dataset, batch_size=8)",
        )
    parts = tuple(_columns(part) for part in data) if isinstance(data, tuple) else _columns(data)
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


def _columns(data: Any) -> Any:
    return {name: data[name] for name in data.keys()} if hasattr(data, "keys") else data


def _label_columns(spec: Any, given: list[str] | None) -> list[str] | None:
    """Which inputs are labels; None where labels come apart from the inputs."""
    inputs = spec[0] if isinstance(spec, tuple) else spec
    names = list(inputs) if isinstance(inputs, Mapping) else []
    if given is None and isinstance(spec, tuple) and len(spec) > 1:
        return None
    for columns in (given,) if given is not None else _LABELS:
        if all(name in names for name in columns):
            return columns
    raise KeraformError(
        expected=f"labels among the inputs of eval_dataset: {', '.join(given or ['labels'])}",
        got=f"inputs {', '.join(names)}" if names else "one array",
        try_next="KerasMetricCallback(metric_fn, eval_dataset, label_cols=[...])",
    )


def _array(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)


def _joined(batches: list[Any]) -> Any:
    """The same as one batch; of a dict with one name only what is under it."""
    whole = keras.tree.map_structure(lambda *parts: _concatenated(parts), *batches)
    return next(iter(whole.values())) if isinstance(whole, dict) and len(whole) == 1 else whole


def _concatenated(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    sizes = np.max([part.shape[1:] for part in parts], axis=0).astype("int64")
    missing = [[(0, 0), *((0, size - has) for size, has in zip(sizes, part.shape[1:], strict=True))]
               for part in parts]  # fmt: skip
    padded = [np.pad(p, w, constant_values=_PADDING) for p, w in zip(parts, missing, strict=True)]
    return np.concatenate(padded)
