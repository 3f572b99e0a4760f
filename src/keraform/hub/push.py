"""Putting a directory into a repository on the Hub: one commit, with what it replaces taken out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import httpx

from keraform.errors import KeraformError
from keraform.version import __version__

logger = logging.getLogger(__name__)

_PAUSES = (1, 4)  # seconds between attempts
_Result = TypeVar("_Result")


class Target:
    """A repository to push to; it is made if need be, and so is its branch.

    Args:
        repo_id: Such as "somebody/my-model"; without a name, under the token's.
        private: For a new repository.
        token: A token with write access; None for the one of `hf auth login` or `HF_TOKEN`.
        revision: A branch, or a pull request such as "refs/pr/1"; None for main.
        create_pr: Opens a pull request with the commit.

    Raises:
        KeraformError: The Hub cannot be reached or says no.
    """

    def __init__(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> None:
        self.api = HfApi(token=token, library_name="keraform", library_version=__version__)
        self.name, self.revision, self.create_pr = repo_id, revision, create_pr
        self.name = self._ask(
            lambda: self.api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        )
        if revision is not None and not revision.startswith("refs/"):
            self._ask(lambda: self.api.create_branch(self.name, branch=revision, exist_ok=True))
        self.files = self._ask(self._list)

    def has(self, name: str) -> bool:
        """Whether there is a file or directory of this name already.

        Args:
            name: Its path in the repository.
        """
        return name in self.files or any(each.startswith(f"{name}/") for each in self.files)

    def read(self, name: str) -> str:
        """The text of a file there.

        Args:
            name: Its path in the repository.
        """
        path = self._ask(lambda: self.api.hf_hub_download(self.name, name, revision=self.revision))
        return Path(path).read_text(encoding="utf-8")

    def commit(
        self,
        folder: Path,
        message: str,
        description: str | None = None,
        replaces: Callable[[str], bool] = lambda name: False,
    ) -> CommitInfo:
        """Puts the files of a directory into the repository, in one commit.

        Large files go up first, in parts, each tried again after failures; nobody sees them before
        the commit. What fails on the way is tried again as a whole; what is up already is not sent
        again.

        Args:
            folder: The directory.
            message: The commit's first line.
            description: More about it.
            replaces: Whether a file of this name goes when the directory has none of that name.

        Returns:
            The commit: `oid`, `commit_url`, and `pr_url` for a pull request.

        Raises:
            KeraformError: The Hub cannot be reached or says no.
        """
        paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}

        def commit() -> CommitInfo:
            stale = [name for name in self._list() if replaces(name) and name not in paths]
            operations = [CommitOperationAdd(name, path) for name, path in sorted(paths.items())]
            return self.api.create_commit(
                self.name,
                [*operations, *map(CommitOperationDelete, stale)],
                commit_message=message,
                commit_description=description,
                revision=self.revision,
                create_pr=self.create_pr,
            )

        # where an answer was lost, a pull request may be open already
        return self._ask(commit, pauses=() if self.create_pr else _PAUSES)

    def _list(self) -> list[str]:
        return self.api.list_repo_files(self.name, revision=self.revision)

    def _ask(self, request: Callable[[], _Result], pauses: tuple[int, ...] = _PAUSES) -> _Result:
        with _explained(self.name, self.create_pr):
            for pause in pauses:
                try:
                    return request()
                except Exception as error:
                    if not _passes(error):
                        raise
                    logger.warning("%s: %s; trying again in %d s", self.name, error, pause)
                    time.sleep(pause)
            return request()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _passes(error: Exception) -> bool:
    """Whether a failure may be gone in a moment: no answer, or one of a server in trouble."""
    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            return cause.response.status_code in (408, 429) or cause.response.status_code >= 500
        if isinstance(cause, httpx.TransportError):
            return True
    return False


@contextmanager
def _explained(name: str, create_pr: bool) -> Iterator[None]:
    """Says what the Hub's refusals mean, and what to do."""
    try:
        yield
    except Exception as error:
        for cause in _causes(error):
            explanation = _explanation(cause, name, create_pr)
            if explanation is not None:
                expected, got, try_next = explanation
                raise KeraformError(expected=expected, got=got, try_next=try_next) from error
        raise


def _explanation(error: BaseException, name: str, create_pr: bool) -> tuple[str, str, str] | None:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    login = "`hf auth login`, or token=... with a token that may write"
    if isinstance(error, (OfflineModeIsEnabled, httpx.TransportError)):
        later = f"save_pretrained(directory), and later `hf upload {name} <directory>`"
        return f"an answer from {constants.ENDPOINT}", first, later
    if isinstance(error, LocalTokenNotFoundError):
        return f"a token that may write to {name}", "none", login
    if isinstance(error, HFValidationError):
        return "a name such as somebody/my-model", f"repo_id={name!r}: {first}", "another repo_id"
    if not isinstance(error, HfHubHTTPError):
        return None
    status, said = error.response.status_code, error.server_message or first
    if status == 401:
        return f"a token that may write to {name}", f"none that is known ({said})", login
    if status == 403:
        other = "a repository under your own name"
        other += "" if create_pr else ", or create_pr=True to propose the change"
        return f"the right to write to {name}", said, other
    if status == 404:
        return f"the repository {name} with that revision", said, "another repo_id or revision"
    return f"a commit to {name}", f"status {status}: {said}", "once more, or `hf upload`"
