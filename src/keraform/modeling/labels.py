"""Labels and predictions in training: where they are, and how they meet."""

from __future__ import annotations

from typing import Any

from keraform.modeling.inputs import Arguments, as_dict, is_mapping

_SINGLE = ("labels", "next_sentence_label", "class_labels")
_SYNONYMS = {"label": "labels", "label_ids": "labels"}
_LABELS = (*_SINGLE, "start_positions", "end_positions", "mask_labels", "sentence_order_label")


def label_names(arguments: Arguments) -> list[str]:
    """Those inputs of a model that are labels.

    Args:
        arguments: Of the model's `call`.
    """
    return [name for name in arguments.names if name in _LABELS]


def with_labels(arguments: Arguments, owner: str, x: Any, y: Any) -> Any:
    """The inputs with the labels among them, so that the model computes its own loss.

    Args:
        arguments: Of the model's `call`.
        owner: The class's name, for messages.
        x: The inputs: a mapping, a tensor, or a list of tensors.
        y: The labels: one tensor, or a mapping by name; None where they are in `x`.
    """
    names = label_names(arguments)
    if y is None or not names:
        return x
    given = as_dict(x) if is_mapping(x) else arguments.gather(owner, (x,), {})
    if any(name in given for name in names):
        return given
    if is_mapping(y):
        labels = {_SYNONYMS.get(name, name): value for name, value in as_dict(y).items()}
        return {**given, **{name: value for name, value in labels.items() if name in names}}
    single = next((name for name in _SINGLE if name in names), names[0])
    return {**given, single: y}


def labels_in(arguments: Arguments, x: Any) -> Any:
    """The labels among the inputs: a tensor, a dict of several, or None.

    Args:
        arguments: Of the model's `call`.
        x: The inputs.
    """
    if not is_mapping(x):
        return None
    found = {name: x[name] for name in label_names(arguments) if name in x.keys()}
    return next(iter(found.values())) if len(found) == 1 else found or None


def predictions(outputs: Any) -> Any:
    """What a user's loss or metric compares with the labels: the logits, else the first output.

    Args:
        outputs: What the model returned.
    """
    if not is_mapping(outputs):
        return outputs
    if "logits" in outputs.keys():
        return outputs["logits"]
    return next((outputs[name] for name in outputs.keys() if name != "loss"), outputs)
