"""Finding the files of a model, in a directory or on the Hugging Face Hub."""

from __future__ import annotations

from keraform.hub.resolve import HUB_ARGUMENTS, Repository
from keraform.hub.upstream import PullRequest, open_pull_requests
from keraform.hub.weights import FIRST_READ, read_weights

__all__ = [
    "FIRST_READ",
    "HUB_ARGUMENTS",
    "PullRequest",
    "Repository",
    "read_weights",
    "open_pull_requests",
]
