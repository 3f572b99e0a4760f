"""Labels and predictions in training: where they are, and how they meet."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import keras
from keras.src.backend import set_keras_mask

from keraform.errors import explain
from keraform.modeling.inputs import Arguments
from keraform.runtime.given import as_dict, is_mapping

_IGNORED = -100
_SINGLE = ("labels", "next_sentence_label", "class_labels")
_SYNONYMS = {"label": "labels", "label_ids": "labels"}
_POSITIONS = ("start_positions", "end_positions")
_NO_LABELS = ("input_", "num_", "n_")  # points of a prompt, and counts
# labels of heads with several outputs, in the outputs' order; all others have "labels" for "logits"
_OUTPUTS = {
    "start_positions": "start_logits",
    "end_positions": "end_logits",
    "next_sentence_label": "seq_relationship_logits",
    "sentence_order_label": "sop_logits",
}
# labels that are one array with an entry for each row, so that rows can be weighted
_ROWS = {*_SINGLE, *_OUTPUTS} - {"class_labels"}


def label_names(arguments: Arguments) -> list[str]:
    """Those inputs of a model that are labels.

    Args:
        arguments: Of the model's `call`.
    """
    return [name for name in arguments.names if _is_label(name)]


def _is_label(name: str) -> bool:
    ends = name.endswith(("label", "labels")) and not name.startswith(_NO_LABELS)
    return ends or name in _POSITIONS


def heads(arguments: Arguments) -> dict[str, str]:
    """The outputs of a head with several, and the label of each.

    Args:
        arguments: Of the model's `call`.
    """
    names = label_names(arguments)
    found = {_OUTPUTS[name]: name for name in names if name in _OUTPUTS}
    if found and "labels" in names:
        found = {"prediction_logits": "labels", **found}
    return found if len(found) > 1 else {}


def with_labels(arguments: Arguments, owner: str, x: Any, y: Any) -> Any:
    """The inputs with the labels among them, so that the model computes its own loss.

    Args:
        arguments: Of the model's `call`.
        owner: The class's name, for messages.
        x: The inputs: a mapping, a tensor, or a list of tensors.
        y: The labels: one tensor, or a mapping by name; None where they are in `x`.
    """
    names = label_names(arguments)
    given = as_dict(x) if is_mapping(x) else arguments.gather(owner, (x,), {})
    given = _by_newer_names(given, names)
    if "return_loss" in arguments.names:
        given.setdefault("return_loss", True)
    if y is not None and names and not any(name in given for name in names):
        if is_mapping(y):
            given |= _labels_among(y, names)
        else:
            given[next((name for name in _SINGLE if name in names), names[0])] = y
    # Keras takes the size of a batch from what comes first, and would sort the names of a dict
    return OrderedDict(sorted(given.items(), key=lambda item: item[0] in (*names, "return_loss")))


def without_labels(arguments: Arguments, x: Any) -> Any:
    """The inputs without the labels, so that the model computes no loss.

    Args:
        arguments: Of the model's `call`.
        x: The inputs.
    """
    if not is_mapping(x):
        return x
    names = label_names(arguments)
    return {name: value for name, value in as_dict(x).items() if _synonym(name, names) not in names}


def labels_in(arguments: Arguments, x: Any) -> Any:
    """The labels among the inputs: a tensor, a dict of several, or None.

    Args:
        arguments: Of the model's `call`.
        x: The inputs.
    """
    if not is_mapping(x):
        return None
    found = _labels_among(x, label_names(arguments))
    return next(iter(found.values())) if len(found) == 1 else found or None


def _labels_among(values: Any, names: list[str]) -> dict[str, Any]:
    renamed = _by_newer_names(as_dict(values), names)
    return {name: value for name, value in renamed.items() if name in names}


def _by_newer_names(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {_synonym(name, names): value for name, value in values.items()}


def _synonym(name: str, known: list[str]) -> str:
    newer = _SYNONYMS.get(name, name)
    return newer if newer in known else name


def rows_can_be_weighted(arguments: Arguments) -> bool:
    """Whether a model's own loss is a mean over rows with one label array each.

    Args:
        arguments: Of the model's `call`.
    """
    names = label_names(arguments)
    return bool(names) and set(names) <= _ROWS


def compared(
    arguments: Arguments, asked: Any, y: Any, outputs: Any, sample_weight: Any
) -> tuple[Any, Any, Any]:
    """What a Keras loss or metric compares: labels and outputs of the same structure.

    Args:
        arguments: Of the model's `call`.
        asked: The compiled losses or metrics; where they are a dict, its keys name outputs.
        y: The labels: a tensor, or a mapping by the name of the label or of the output.
        outputs: What the model returned.
        sample_weight: Weights, in one of the forms of `y`, or None.

    Returns:
        Labels, outputs and weights: tensors, or dicts by output where several are asked for.
    """
    if not is_mapping(outputs):
        return y, outputs, sample_weight
    names = _asked_outputs(arguments, asked, outputs)
    chosen = {name: outputs[name] for name in names}
    found = {name: _labels_of(name, names, arguments, y) for name in names}
    weights = None
    if sample_weight is not None:
        each = sample_weight if is_mapping(sample_weight) else dict.fromkeys(names, sample_weight)
        weights = {
            name: _in_rank_of(found[name], _labels_of(name, names, arguments, each))
            for name in names
        }
    if isinstance(asked, dict):
        return found, chosen, weights
    if len(names) == 1:
        return found[names[0]], chosen[names[0]], weights and weights[names[0]]
    # lists of losses and metrics go by the order of outputs, which plain dicts do not keep in Keras
    return OrderedDict(found), OrderedDict(chosen), weights and OrderedDict(weights)


def _in_rank_of(y: Any, weight: Any) -> Any:
    """Weights of rows beside class numbers of a higher rank, as Keras wants them with a mask."""
    missing = len(y.shape) - len(weight.shape)
    if missing <= 0 or not _are_class_numbers(y):
        return weight
    return keras.ops.reshape(weight, (*keras.ops.shape(weight), *(1,) * missing))


def _are_class_numbers(y: Any) -> bool:
    return keras.backend.is_int_dtype(keras.backend.standardize_dtype(y.dtype))


def _asked_outputs(arguments: Arguments, asked: Any, outputs: Any) -> list[str]:
    there = [name for name in outputs.keys() if name != "loss"]
    if isinstance(asked, dict):
        unknown = [name for name in asked if name not in there]
        if unknown:
            raise ValueError(
                explain(
                    f"losses and metrics for outputs of the model: {', '.join(there)}",
                    f"one for {unknown[0]!r}",
                    f"compile(loss={{{there[0]!r}: ...}})",
                )
            )
        return list(asked)
    several = heads(arguments)
    if several and all(name in there for name in several):
        return list(several)
    return ["logits"] if "logits" in there else there[:1]


def _labels_of(output: str, outputs: list[str], arguments: Arguments, y: Any) -> Any:
    if isinstance(y, (list, tuple)) and len(y) == len(outputs):
        return y[outputs.index(output)]
    if not is_mapping(y):
        if len(outputs) == 1:
            return y
    else:
        names = label_names(arguments)
        given = _by_newer_names(as_dict(y), names)
        for name in (output, heads(arguments).get(output, "labels")):
            if name in given:
                return given[name]
        if len(given) == 1 and len(outputs) == 1:
            return next(iter(given.values()))
    label = heads(arguments).get(output, "labels")
    raise ValueError(
        explain(
            f"labels for each of {', '.join(outputs)}",
            "none for " + output,
            f"fit(inputs, {{{label!r}: ..., ...}})",
        )
    )


def for_each_head(metrics: Any, outputs: list[str]) -> Any:
    """Metrics for each output of a head with several; a list that is not as long goes to each.

    Args:
        metrics: What `compile` got.
        outputs: The outputs' names.
    """
    if len(outputs) < 2 or not isinstance(metrics, (list, tuple)) or len(metrics) == len(outputs):
        return metrics
    first, *others = outputs
    copies = {name: [_copy(metric) for metric in metrics] for name in others}
    return {first: list(metrics), **copies}


def _copy(metric: Any) -> Any:
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    return type(metric).from_config(metric.get_config())


def shifted(values: Any, predictions: Any, fill: int = _IGNORED) -> Any:
    """Labels or weights [b, q] at the positions that predict them; all others stay.

    Args:
        values: Labels, or their weights.
        predictions: Logits [b, q, v].
        fill: What stands at the last position.
    """
    if not (hasattr(values, "shape") and len(values.shape) == 2 and len(predictions.shape) == 3):
        return values
    return keras.ops.pad(values[:, 1:], ((0, 0), (0, 1)), constant_values=fill)


def leave_out_ignored(y: Any, predictions: Any) -> None:
    """Marks predictions whose label is -100, so that Keras's mean metrics leave them out.

    Args:
        y: Labels, a tensor or a dict by output.
        predictions: The outputs that they are compared with.
    """
    if isinstance(y, dict):
        for name in y:
            leave_out_ignored(y[name], predictions[name])
    elif len(y.shape) == len(predictions.shape) - 1 and _are_class_numbers(y):
        set_keras_mask(predictions, keras.ops.not_equal(y, _IGNORED))


def no_labels(arguments: Arguments, wanted_by: str) -> ValueError:
    """The error where there are no labels.

    Args:
        arguments: Of the model's `call`.
        wanted_by: What needs them.
    """
    names = ", ".join(label_names(arguments)) or "none: this class has no loss of its own"
    return ValueError(
        explain(
            f"labels for {wanted_by} ({names}), as y or among the inputs",
            "inputs without labels",
            "fit({**inputs, 'labels': labels}), or compile(loss=...) with a Keras loss",
        )
    )


def no_loss(owner: str) -> ValueError:
    """The error where there is nothing to minimise.

    Args:
        owner: The class's name.
    """
    return ValueError(
        explain(
            f"something for {owner} to minimise: its own loss, a Keras loss, one that a layer adds "
            "by add_loss, or a train_step of yours",
            "compile(loss=None), and no layer adds a loss",
            f"{owner}.compile(optimizer) without loss, for the model's own",
        )
    )


def no_weights(owner: str) -> ValueError:
    """The error where a model's own loss has no single losses that could be weighted.

    Args:
        owner: The class's name.
    """
    return ValueError(
        explain(
            f"no sample_weight with {owner}'s own loss, which does not go by rows",
            "a sample_weight",
            "compile(loss=...) with a Keras loss or a function of yours",
        )
    )
