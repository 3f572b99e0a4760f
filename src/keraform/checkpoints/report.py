"""What happened when a checkpoint met a model, and how it is told."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keraform.errors import KeraformError, explain

logger = logging.getLogger(__name__)
_SHOWN = 4


@dataclass
class LoadingReport:
    """The keys that did not find each other.

    Args:
        missing_keys: Weights of the model that the checkpoint has not; they are new and random.
        unexpected_keys: Tensors of the checkpoint that the model has not; they are not used.
        mismatched_keys: (key, shape in the checkpoint, shape in the model).
        conversion_errors: Keys of old checkpoints that could not be converted, with the reason.
        all_missing: All weights without a tensor, with those that a class says may be missing.
    """

    missing_keys: list[str] = field(default_factory=list)
    unexpected_keys: list[str] = field(default_factory=list)
    mismatched_keys: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(
        default_factory=list
    )
    conversion_errors: dict[str, str] = field(default_factory=dict)
    all_missing: set[str] = field(default_factory=set)

    @property
    def is_clean(self) -> bool:
        """Whether every tensor was used and every weight found."""
        return not (self.missing_keys or self.unexpected_keys or self.mismatched_keys)

    def to_dict(self) -> dict[str, Any]:
        """What `output_loading_info=True` returns."""
        return {
            "missing_keys": list(self.missing_keys),
            "unexpected_keys": list(self.unexpected_keys),
            "mismatched_keys": list(self.mismatched_keys),
            "error_msgs": [f"{key}: {why}" for key, why in self.conversion_errors.items()],
        }

    def log(self, owner: str, name: str) -> None:
        """Says in a few lines what is new and what was not used.

        Args:
            owner: The model's class.
            name: Where the checkpoint came from.
        """
        lines = []
        if self.missing_keys:
            lines.append(f"new and random, to be trained: {_short(self.missing_keys)}")
        if self.mismatched_keys:
            keys = [key for key, _, _ in self.mismatched_keys]
            lines.append(f"of another shape in the checkpoint, so new and random: {_short(keys)}")
        if self.unexpected_keys:
            lines.append(f"in the checkpoint, not used: {_short(self.unexpected_keys)}")
        if lines:
            head = f"{owner} from {name} (output_loading_info=True gives all keys)"
            logger.warning("%s", "\n  ".join([head, *lines]))

    def require_clean(self, owner: str, name: str) -> None:
        """Raises when anything was left over or missing.

        Args:
            owner: The model's class.
            name: Where the checkpoint came from.
        """
        if not self.is_clean:
            raise KeraformError(
                expected=f"every weight of {owner} in {name}, and nothing else",
                got=f"missing: {_short(self.missing_keys) or 'none'}; "
                f"unexpected: {_short(self.unexpected_keys) or 'none'}; "
                f"of another shape: {_short([k for k, _, _ in self.mismatched_keys]) or 'none'}",
                try_next="the class named in the checkpoint's config.json, or strict=False",
            )


def absent_error(path: Path, form: str) -> KeraformError:
    """The error for a file that is not there.

    Args:
        path: Where it should be.
        form: What it should be, such as "safetensors file".
    """
    return KeraformError(
        expected=f"a {form} at {path}", got="no such file", try_next=f"ls {path.parent}"
    )


def damaged_error(path: Path, form: str, what: object) -> KeraformError:
    """The error for a file that is not what its name says.

    Args:
        path: The file.
        form: What it should be, such as "complete safetensors file".
        what: What is wrong with it.
    """
    return KeraformError(
        expected=f"a {form}",
        got=f"{path} ({_bytes_of(path)} bytes), which cannot be read: {what_it_is(path) or what}",
        try_next="download it again, with from_pretrained(..., force_download=True)",
    )


def what_it_is(path: Path) -> str | None:
    """What a file is that should be something else, where its first bytes tell.

    Args:
        path: The file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError:
        return None
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a pointer of Git LFS; the file itself was not downloaded (git lfs pull)"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page, perhaps of a site that wanted a login"
    return None if start else "an empty file"


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def incomplete_error(
    missing: Iterable[str], owner: str, folder: Path, try_next: str
) -> KeraformError:
    """The error for a checkpoint that lacks weights where random ones will not do.

    Args:
        missing: Their keys.
        owner: The model's class.
        folder: The checkpoint.
        try_next: What to do.
    """
    keys = sorted(missing)
    return KeraformError(
        expected=f"every weight of {owner} in {folder}",
        got=f"a checkpoint without {len(keys)} of them: {', '.join(keys[:3])}",
        try_next=try_next,
    )


def shape_error(
    key: str, file: str, given: tuple[int, ...], wanted: tuple[int, ...]
) -> KeraformError:
    """The error for a tensor of the wrong shape; nothing is ever reshaped to fit.

    Args:
        key: The weight.
        file: Where the tensor lies.
        given: The tensor's shape.
        wanted: The weight's shape.
    """
    return KeraformError(
        expected=f"{key} of shape {tuple(wanted)}",
        got=f"shape {tuple(given)} in {file}",
        try_next="the checkpoint's own config.json, or ignore_mismatched_sizes=True to leave this "
        "weight new and random",
    )


def dtype_error(key: str, file: str, given: str, wanted: str) -> KeraformError:
    """The error for integers where a weight is trained: quantised ones mean nothing by themselves.

    Args:
        key: The weight.
        file: Where the tensor lies.
        given: The tensor's dtype.
        wanted: The weight's dtype.
    """
    return KeraformError(
        expected=f"{key} in floating point, for {wanted}",
        got=f"{given} in {file}, as quantised checkpoints have it",
        try_next="the checkpoint that was not quantised",
    )


def alias_error(key: str, canonical: str, file: str) -> KeraformError:
    """The error for a tied weight that a checkpoint has twice, with different values.

    Args:
        key: One key.
        canonical: The other.
        file: Where the tensor lies.
    """
    return KeraformError(
        explain(
            f"{key} equal to {canonical}: the configuration ties them",
            f"different values in {file}",
            "from_pretrained(..., tie_word_embeddings=False)",
        )
    )


def _short(keys: list[str]) -> str:
    """`layer.0.w, layer.1.w, head.b` -> `layer.*.w (2), head.b`."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(re.sub(r"\d+", "*", key), []).append(key)
    names = [
        found[0] if len(found) == 1 else f"{pattern} ({len(found)})"
        for pattern, found in groups.items()
    ]
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
