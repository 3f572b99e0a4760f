"""Rung 8: saved here, read back here and in torch, every weight bit for bit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.tree import named_weights, read
from keraform.verify.cases import Case
from keraform.verify.outcome import PASS, ClassReport, failed, not_applicable
from keraform.verify.port import keras_precision
from keraform.verify.twin import State


def kept(case: Case, report: ClassReport) -> str:
    """`save_pretrained`, then `from_pretrained` on both sides."""
    model = case.port.build("float32")
    if not hasattr(model, "save_pretrained") or case.torch_class is None:
        return not_applicable("not a model of Transformers")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return _here(model, Path(folder)) or _in_torch(case, Path(folder)) or PASS


def _here(model: Any, folder: Path) -> str | None:
    with keras_precision("float32", lift=False):
        again = type(model).from_pretrained(folder)
    changed = _unequal(weights_of(model), weights_of(again))
    return failed(f"read back here: {changed}") if changed else None


def _in_torch(case: Case, folder: Path) -> str | None:
    model, info = case.torch_class.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[key]:
            return failed(f"read by torch: {key} {sorted(map(str, info[key]))[:3]}")
    state = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    changed = _unequal(case.state, state)
    return failed(f"read by torch: {changed}") if changed else None


def weights_of(model: Any) -> State:
    """Every variable under its torch key, in torch's layout."""
    found = {}
    for weight in named_weights(model):
        value = np.array(ops.convert_to_numpy(read(weight.variable)))
        found[weight.key] = (
            value if weight.axes is None else value.transpose(np.argsort(weight.axes))
        )
    return found


def _unequal(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> str | None:
    """The first weight that is not the same bits, in words."""
    for key, value in before.items():
        if key not in after:
            return f"{key} is gone"
        other = after[key]
        if value.dtype != other.dtype:
            return f"{key} is {other.dtype}, was {value.dtype}"
        if value.shape != other.shape:
            return f"{key} has shape {other.shape}, had {value.shape}"
        if value.tobytes() != other.tobytes():
            return f"{key} has other values"
    extra = [key for key in after if key not in before]
    return f"{extra[0]} is new" if extra else None
