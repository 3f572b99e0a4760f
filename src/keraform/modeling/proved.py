"""Whether a port is the one that was proved: the digest in its file against the support table."""

from __future__ import annotations

import functools
import json
import linecache
import sys
from importlib import resources
from typing import Any

import transformers
from transformers.utils import logging

logger = logging.get_logger(__name__)
PORTS = "keraform.models."
DIGEST = "# sha256 of what follows: "


@functools.cache
def support() -> dict[str, Any]:
    """The support table: what was proved, and with which versions."""
    file = resources.files("keraform") / "support.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {"versions": {}, "types": {}}


@functools.cache
def proved_digests() -> dict[str, str]:
    """{upstream module: digest of the generated file that was proved}."""
    types = support()["types"].values()
    return {module: digest for entry in types for module, digest in entry["files"].items()}


def warn_when_unproved(cls: type) -> None:
    """Says once that a class comes from a file that nobody has proved, why, and how to prove it.

    Args:
        cls: The class that is being loaded.
    """
    if not cls.__module__.startswith(PORTS) or cls.__module__ in _SAID:
        return
    reason = why_unproved(cls)
    if reason is not None:
        _SAID.add(cls.__module__)
        model_type = cls.__module__.removeprefix(PORTS).split(".")[0]
        logger.warning(
            f"{cls.__name__} is not yet proved equal to its PyTorch original: {reason}; "
            f"`keraform verify {model_type} --class {cls.__name__}` proves it (needs torch)."
        )


_SAID: set[str] = set()


def why_unproved(cls: type) -> str | None:
    """Why the generated file of a class is not the one in the support table; None when it is.

    The digest is of the code alone, so that a file which another release of Transformers leaves as
    it was stays proved.

    Args:
        cls: A class of a port.
    """
    expected = proved_digests().get(f"transformers.models.{cls.__module__.removeprefix(PORTS)}")
    if expected is None:
        return "no proof of this file is published"
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    head = linecache.getlines(file)[:60] if file else []
    if f"{DIGEST}{expected}\n" in head:
        return None
    proved = support()["versions"].get("transformers")
    if proved != transformers.__version__:
        return (
            f"it was proved with transformers {proved}, and the installed "
            f"{transformers.__version__} gives another file"
        )
    return "the file that was proved is another than the one generated now"
