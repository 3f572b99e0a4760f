"""What PEFT's adapter_config.json says: which modules have LoRA, and with what numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from keraform.errors import KeraformError

ALL_LINEAR = "all-linear"

# fields that say how LoRA is computed, trained or found
KNOWN = frozenset(
    {
        "r",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "exclude_modules",
        "modules_to_save",
        "bias",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "layers_pattern",
        "task_type",
    }
)
# fields that change nothing here: where it came from, and what each layer knows of itself
_IRRELEVANT = frozenset(
    {
        "peft_type",
        "peft_version",
        "auto_mapping",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "fan_in_fan_out",
        "init_lora_weights",
        "runtime_config",
        "megatron_core",
        "qalora_group_size",
        "loftq_config",
        "corda_config",
        "eva_config",
        "lora_ga_config",
    }
)
# how A and B started; others have changed the model's own weights, too
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
# what PEFT trains as a whole, by task
_HEADS = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}


def check(fields: dict[str, Any], where: str) -> None:
    """Makes sure that an adapter is plain LoRA.

    Args:
        fields: What the file says.
        where: The file.

    Raises:
        KeraformError: Another kind, or a field that asks for another computation.
    """
    kind = fields.get("peft_type")
    asked = [
        f"{name}={value!r}"
        for name, value in fields.items()
        if value and name not in KNOWN and name not in _IRRELEVANT
    ]
    if fields.get("init_lora_weights", True) not in _STARTS:
        asked.append(f"init_lora_weights={fields['init_lora_weights']!r}")
    if kind != "LORA":
        asked = [f"peft_type={kind!r}"]
    elif fields.get("use_dora"):
        asked.insert(0, "DoRA")
    if not asked:
        return
    raise KeraformError(
        expected=f"an adapter of plain LoRA in {where}",
        got=", ".join(asked),
        try_next="merge it with PEFT: PeftModel.from_pretrained(...).merge_and_unload(), "
        "save_pretrained(directory), and load that directory",
    )


def is_target(fields: dict[str, Any], path: str) -> bool:
    """Whether the module at `path` has LoRA, by PEFT's rules.

    Args:
        fields: The configuration, whose `target_modules` are a regular expression for whole paths,
            or a list of paths or of their ends.
        path: The module's path in the model.
    """
    if _is_listed(fields.get("exclude_modules"), path):
        return False
    saved = fields.get("modules_to_save") or ()
    if any(re.match(rf"(^|.*\.){name}($|\..*)", path) for name in saved):
        return False
    targets = fields["target_modules"]
    if not _is_listed(targets, path):
        return False
    indices = fields.get("layers_to_transform")
    if isinstance(targets, str) or path in targets or indices is None or indices == []:
        return True
    found = None
    for pattern in _listed(fields.get("layers_pattern")) or [r"[^.]*"]:
        found = found or re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", path)
    return found is not None and int(found[1]) in _listed(indices)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _is_listed(names: str | Iterable[str] | None, path: str) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, path) is not None
    return any(path == name or path.endswith(f".{name}") for name in names or ())


def with_head(fields: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the task's head among the modules that are trained as a whole.

    Args:
        fields: The configuration.
    """
    heads = _HEADS.get(fields.get("task_type") or "", ())
    saved = dict.fromkeys([*(fields.get("modules_to_save") or ()), *heads])
    return {**fields, "modules_to_save": list(saved) or None}


def is_saved(fields: dict[str, Any], path: str) -> bool:
    """Whether the module at `path` is trained and saved as a whole.

    Args:
        fields: The configuration.
        path: The module's path in the model.
    """
    return any(path.endswith(name) for name in fields.get("modules_to_save") or ())


def rank(fields: dict[str, Any], path: str) -> int:
    """The rank of the module at `path`.

    Args:
        fields: The configuration.
        path: The module's path in the model.
    """
    return _by_pattern(fields.get("rank_pattern"), path, fields.get("r", 8))


def alpha(fields: dict[str, Any], path: str, rank: int) -> float:
    """What divided by the rank scales the update of the module at `path`.

    Args:
        fields: The configuration.
        path: The module's path in the model.
        rank: Its rank.
    """
    value = _by_pattern(fields.get("alpha_pattern"), path, fields.get("lora_alpha", 8))
    return value * math.sqrt(rank) if fields.get("use_rslora") else value


def _by_pattern(patterns: dict[str, Any] | None, path: str, default: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", path):
            return value
    return default
