"""Giving a model's variables the tensors of a checkpoint, straight from the file to the device."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keraform.checkpoints import keras2_names
from keraform.checkpoints.conversion import convert, rules_for
from keraform.checkpoints.placing import placed
from keraform.checkpoints.report import LoadingReport, alias_error, dtype_error, shape_error
from keraform.checkpoints.tensors import StoredTensor, in_memory
from keraform.runtime.filling import settle, torch_shape
from keraform.runtime.tree import TorchWeight, named_layers, named_weights


def load_torch_state(
    model: Any,
    state: Mapping[str, np.ndarray | StoredTensor],
    *,
    ignore_mismatched_sizes: bool = False,
    convert_keys: bool = True,
) -> LoadingReport:
    """Loads PyTorch's state into a model's variables.

    Old key names are converted as Transformers does. What finds no counterpart is reported, not
    guessed; nothing is reshaped.

    Args:
        model: A pretrained model, with or without values.
        state: PyTorch's keys and tensors, in PyTorch's layout.
        ignore_mismatched_sizes: Report tensors of another shape instead of raising.
        convert_keys: Whether old names may be renamed.

    Returns:
        What was missing, not used, or of another shape. `unfilled(model, report)` gives the
        variables that still need values.

    Raises:
        KeraformError: A tensor of another shape, integers for a weight that is trained, or a tied
            weight with two values.
    """
    weights = {weight.key: weight for weight in named_weights(model)}
    shapes = {key: torch_shape(weight) for key, weight in weights.items()}
    stored = keras2_names.for_model(in_memory(state), model, shapes)
    _run_hooks(model, stored)
    report = LoadingReport()
    if convert_keys:
        rules = rules_for(model)
        converted = convert(stored, rules, shapes, model.base_model_prefix, model.config)
        stored, report.conversion_errors = converted.tensors, converted.errors
        object.__setattr__(model, "_weight_conversions", [rule for rule in rules if rule.used])
    filled: dict[int, str] = {}
    found: list[tuple[TorchWeight, StoredTensor]] = []
    for key, tensor in stored.items():
        weight = weights.get(key)
        if weight is not None:
            tensor = tensor.fitted(shapes[key])
        if weight is None:
            report.unexpected_keys.append(tensor.key)
        elif tensor.shape != shapes[key]:
            if not ignore_mismatched_sizes:
                raise shape_error(key, tensor.source, tensor.shape, shapes[key])
            report.mismatched_keys.append((key, tensor.shape, shapes[key]))
        elif weight.variable.trainable and not keras.backend.is_float_dtype(tensor.dtype):
            raise dtype_error(key, tensor.source, tensor.dtype, weight.variable._dtype)
        elif id(weight.variable) in filled:
            _check_alias(weight, tensor, filled[id(weight.variable)], stored)
        else:
            filled[id(weight.variable)] = key
            found.append((weight, tensor))
    for weight, value in placed(found):
        settle(weight.variable, value)
    mismatched = {key for key, _, _ in report.mismatched_keys}
    report.missing_keys = [
        weight.key
        for weight in weights.values()
        if id(weight.variable) not in filled and not weight.alias and weight.key not in mismatched
    ]
    _leave_out_ignored(model, report)
    return report


def _run_hooks(model: Any, stored: dict[str, StoredTensor]) -> None:
    """Models may register torch's load hooks, which rename keys in the dict."""
    for path, layer in named_layers(model):
        for hook in vars(layer).get("_load_hooks", ()):
            hook(stored, f"{path}." if path else "")


def _check_alias(
    weight: TorchWeight, tensor: StoredTensor, canonical: str, stored: Mapping[str, StoredTensor]
) -> None:
    if tensor.read().tobytes() != stored[canonical].read().tobytes():
        raise alias_error(weight.key, canonical, tensor.source)


def unfilled(model: Any, report: LoadingReport) -> list[keras.Variable]:
    """The variables that a checkpoint gave nothing.

    Args:
        model: The model.
        report: As from `load_torch_state`.
    """
    open_keys = report.all_missing
    found = {
        id(weight.variable): weight.variable
        for weight in named_weights(model)
        if weight.key in open_keys
    }
    return list(found.values())


def _leave_out_ignored(model: Any, report: LoadingReport) -> None:
    """Takes out of the report what upstream's classes declare to be of no interest."""
    report.all_missing = {*report.missing_keys, *(key for key, _, _ in report.mismatched_keys)}
    patterns = {r"rotary_emb\.inv_freq", r"(^|\.)position_ids$"}
    unexpected = patterns | set(model._keys_to_ignore_on_load_unexpected or ())
    report.unexpected_keys = _unmatched(report.unexpected_keys, unexpected)
    missing = set(model._keys_to_ignore_on_load_missing or ())
    report.missing_keys = _unmatched(report.missing_keys, missing)


def _unmatched(keys: Iterable[str], patterns: Iterable[str]) -> list[str]:
    expressions = [re.compile(pattern) for pattern in patterns]
    return [key for key in keys if not any(found.search(key) for found in expressions)]
