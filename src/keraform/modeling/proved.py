"""Whether a port is the one that was proved: the digest in its file against the support table."""

from __future__ import annotations

import linecache
import sys

import transformers
from transformers.utils import logging

from keraform import support

logger = logging.get_logger(__name__)
PORTS = "keraform.models."
DIGEST = "# sha256 of what follows: "


def warn_when_unproved(cls: type) -> None:
    """Says once that a class is not proved, why, and how to prove it.

    Args:
        cls: The class that is being loaded.
    """
    if not cls.__module__.startswith(PORTS) or cls in _SAID:
        return
    reason = why_unproved(cls)
    if reason is not None:
        _SAID.add(cls)
        model_type = cls.__module__.removeprefix(PORTS).split(".")[0]
        target = f"{model_type} --class {cls.__name__}"
        if getattr(cls, "_code_files", ()):
            target = "DIR --trust-remote-code"
        logger.warning(
            f"{cls.__name__} is not yet proved equal to its PyTorch original: {reason}; "
            f"`keraform verify {target}` tells more (needs torch)."
        )


_SAID: set[type] = set()


def why_unproved(cls: type) -> str | None:
    """Why a class is not proved; None when it is.

    The digest is of the code alone, so that a file which another release of Transformers leaves as
    it was stays proved.

    Args:
        cls: A class of a port.
    """
    entry = support.classes().get(cls.__name__)
    if entry is None:
        return "no proof of it is published"
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    head = linecache.getlines(file)[:60] if file else []
    if f"{DIGEST}{entry['hash']}\n" in head:
        return None if support.is_proved(entry) else support.failure(entry)
    return support.outdated(transformers.__version__)
