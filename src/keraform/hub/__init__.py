"""Finding the files of a model, in a directory or on the Hugging Face Hub."""

from __future__ import annotations

from keraform.hub.resolve import Repository

__all__ = ["Repository"]
