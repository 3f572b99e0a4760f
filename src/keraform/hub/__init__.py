"""Files of a model, in a directory or on the Hugging Face Hub: found, carried along, pushed."""

from __future__ import annotations

from keraform.hub.companions import copy_companions
from keraform.hub.resolve import HUB_ARGUMENTS, Repository
from keraform.hub.upstream import PullRequest, open_pull_requests
from keraform.hub.weights import FIRST_READ, read_weights

__all__ = [
    "FIRST_READ",
    "HUB_ARGUMENTS",
    "PullRequest",
    "Repository",
    "copy_companions",
    "open_pull_requests",
    "read_weights",
]
