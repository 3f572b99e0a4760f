"""Whether somebody is already at a model: open pull requests of Transformers and KerasHub.

Source: the REST API of GitHub, `GET /search/issues`, which needs no account for a few requests a
minute.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from huggingface_hub import constants
from huggingface_hub.utils import get_session

REPOSITORIES = ("huggingface/transformers", "keras-team/keras-hub")
GITHUB = "https://api.github.com"
SECONDS = 3
MOST = 5


@dataclass(frozen=True)
class PullRequest:
    """An open pull request.

    Args:
        title: its title.
        url: its page.
    """

    title: str
    url: str


def open_pull_requests(model_type: str) -> list[PullRequest] | None:
    """Those with a model type in their title; None where GitHub cannot be asked (offline by
    `HF_HUB_OFFLINE`, no connection within 3 s, too many requests). `GITHUB_API_URL` names another
    server.

    Args:
        model_type: Such as "bert".
    """
    if constants.HF_HUB_OFFLINE:
        return None
    where = " ".join(f"repo:{each}" for each in REPOSITORIES)
    query = f'"{model_type}" in:title is:pr is:open {where}'
    try:
        answer = get_session().get(
            f"{os.environ.get('GITHUB_API_URL', GITHUB)}/search/issues",
            params={"q": query, "per_page": MOST},
            headers={"Accept": "application/vnd.github+json"},
            timeout=SECONDS,
        )
        answer.raise_for_status()
        found = answer.json()["items"]
        return [PullRequest(each["title"], each["html_url"]) for each in found[:MOST]]
    except Exception:  # whatever the network does, a status is what is known here
        return None
