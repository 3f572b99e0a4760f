"""Whether a port is the one that was proved: the digest in its file against the support table."""

from __future__ import annotations

import functools
import json
import linecache
import sys
from importlib import resources

from transformers.utils import logging

logger = logging.get_logger(__name__)
PORTS = "keraform.models."
DIGEST = "# sha256 of what follows: "


@functools.cache
def proved_digests() -> dict[str, str]:
    """{upstream module: digest of the generated file that was proved}."""
    file = resources.files("keraform") / "support.json"
    if not file.is_file():
        return {}
    types = json.loads(file.read_text("utf-8"))["types"].values()
    return {module: digest for entry in types for module, digest in entry["files"].items()}


def warn_when_unproved(cls: type) -> None:
    """Says once that a class comes from a file that nobody has proved, and how to prove it.

    Args:
        cls: The class that is being loaded.
    """
    if cls.__module__.startswith(PORTS) and cls.__module__ not in _SAID and not is_proved(cls):
        _SAID.add(cls.__module__)
        model_type = cls.__module__.removeprefix(PORTS).split(".")[0]
        logger.warning(
            f"{cls.__name__} is not yet proved equal to its PyTorch original for this release; "
            f"`keraform verify {model_type} --class {cls.__name__}` proves it (needs torch)."
        )


_SAID: set[str] = set()


def is_proved(cls: type) -> bool:
    """Whether the generated file of a class is the one in the support table."""
    upstream = f"transformers.models.{cls.__module__.removeprefix(PORTS)}"
    expected = proved_digests().get(upstream)
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    head = linecache.getlines(file)[:60] if file else []
    return expected is not None and f"{DIGEST}{expected}\n" in head
