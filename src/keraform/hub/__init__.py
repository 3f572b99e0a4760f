"""Finding the files of a model, in a directory or on the Hugging Face Hub."""

from __future__ import annotations

from keraform.hub.resolve import HUB_ARGUMENTS, Repository
from keraform.hub.weights import find_weights

__all__ = ["HUB_ARGUMENTS", "Repository", "find_weights"]
