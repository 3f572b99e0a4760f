"""Config fields: change each one that matters to torch, and see that the port follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from transformers import PreTrainedConfig

from keraform.verify.classes import config_class_of, upstream_module_name
from keraform.verify.compare import compare_outputs, distance
from keraform.verify.leaves import Leaves
from keraform.verify.outcome import PASS, failed, not_applicable
from keraform.verify.rungs import crash
from keraform.verify.targets import class_case
from keraform.verify.tiny import VARIANTS, shrink_config
from keraform.verify.tolerances import LIMITS

# Fields about the answer's form, about training or generation, or about no computation at all.
OUTSIDE = frozenset(
    {
        "architectures",
        "dtype",
        "id2label",
        "is_encoder_decoder",
        "label2id",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "transformers_version",
    }
)
ACTIVATIONS = {"gelu": "relu", "gelu_new": "relu", "relu": "gelu", "silu": "gelu", "tanh": "relu"}


@dataclass(frozen=True)
class FieldReport:
    """One changed field: what it was set to, and what came of it."""

    field: str
    value: Any
    outcome: str


def check_fields(torch_class: type) -> Iterator[FieldReport]:
    """Change each field of a class's tiny config; not applicable where torch refuses the change or
    does not read the field in evaluation.
    """
    base = shrink_config(config_class_of(torch_class), torch_class.__name__)
    reference = _torch_outputs(torch_class, base)
    for name, value in changes(base):
        yield FieldReport(name, value, _follow(torch_class, base, {name: value}, reference))
    for variant in VARIANTS.get(base.model_type, ()):
        name = ", ".join(variant)
        yield FieldReport(name, variant, _follow(torch_class, base, variant, reference))


def changes(base: PreTrainedConfig) -> Iterator[tuple[str, Any]]:
    """Another value for each field that has one value to differ from."""
    for field in fields(type(base)):
        value = getattr(base, field.name, None)
        if field.name in OUTSIDE or field.name.endswith(("_token_id", "dropout", "drop_rate")):
            continue
        other = _other(value)
        if other is not None:
            yield field.name, other


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2
    if isinstance(value, float):
        return value * 1.5 if value else 0.5
    if isinstance(value, str):
        return ACTIVATIONS.get(value)
    return None


def _follow(
    torch_class: type, base: PreTrainedConfig, changed: dict[str, Any], reference: Leaves
) -> str:
    try:
        config = type(base).from_dict({**base.to_dict(), **changed})
        torch = _torch_outputs(torch_class, config)
    except Exception as error:
        return not_applicable(f"torch refuses: {type(error).__name__}")
    if _equal(reference, torch):
        return not_applicable("torch gives the same")
    try:
        case = class_case(upstream_module_name(base.model_type), torch_class, config)
        variant = case.variants[0]
        port = case.port.run(variant.inputs, "float64", True, **variant.flags).outputs
    except Exception as error:
        return crash(error)
    beyond = [d for d in compare_outputs(torch, port) if not d.within(LIMITS["float64"])]
    if not beyond:
        return PASS
    return failed(f"{beyond[0].stage}: {beyond[0].problem or f'{beyond[0].error:.1e}'}")


def _torch_outputs(torch_class: type, config: PreTrainedConfig) -> Leaves:
    case = class_case(torch_class.__module__, torch_class, config)
    variant = case.variants[0]
    return case.twin.run(variant.inputs, "float64", True, **variant.flags).outputs


def _equal(one: Leaves, other: Leaves) -> bool:
    return one.keys() == other.keys() and all(
        one[name].array.shape == other[name].array.shape
        and distance(one[name].array, other[name].array) == 0
        for name in one
    )
