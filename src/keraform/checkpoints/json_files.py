"""Reading the JSON files of a checkpoint: one object each, in which every name stands once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from keraform.checkpoints.report import what_it_is
from keraform.errors import KeraformError

_LARGEST = 200 * 2**20  # bytes; the index of a checkpoint with a million tensors has half of that


def read_object(path: Path) -> dict[str, Any]:
    """The object that a file holds. Infinity is a number, as `transformers` writes it; NaN is not.

    Args:
        path: The file.

    Raises:
        KeraformError: It cannot be opened, is not JSON or no object, or has a name twice.
    """
    try:
        if path.stat().st_size > _LARGEST:
            _refuse(path, f"more than {_LARGEST} bytes")
        return parse_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _refuse(path, f"{type(error).__name__}: {error}", error)


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object of a text.

    Args:
        text: JSON; bytes are UTF-8.

    Raises:
        ValueError: It is not JSON or no object, or has a name twice.
        RecursionError: It is nested too deeply.
    """
    found = json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} in place of an object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} stands there twice")
    return found


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("NaN is no number")
    return float(name)


def _refuse(path: Path, what: str, cause: Exception | None = None) -> NoReturn:
    raise KeraformError(
        expected=f"a JSON object in {path}",
        got=what_it_is(path) or what,
        try_next="download the file again, or save the model again with save_pretrained",
    ) from cause
