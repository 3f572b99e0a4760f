"""One place to ask for a model's files, whether it is a directory or a repository on the Hub."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keraform.checkpoints.atomic import is_promised
from keraform.errors import KeraformError

HUB_ARGUMENTS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)


@dataclass(frozen=True)
class Repository:
    """A directory, or a repository with the settings for reaching it.

    Args:
        name: A path, or an id such as "google-bert/bert-base-cased".
        options: Of `huggingface_hub` (cache_dir, force_download, local_files_only, revision,
            subfolder, token); None where the default is meant.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str | os.PathLike[str], **options: Any) -> Repository:
        """A repository by name, with the options that are not None.

        Args:
            name: A path or an id.
            **options: See the class.
        """
        kept = {key: value for key, value in options.items() if value not in (None, "", False)}
        return cls(os.fspath(name), kept)

    @property
    def is_local(self) -> bool:
        """Whether the name is a directory on this machine."""
        return os.path.isdir(self.name)

    @property
    def folder(self) -> Path:
        """The directory, with the subfolder."""
        return Path(self.name) / self.options.get("subfolder", "")

    def find(self, file: str) -> Path | None:
        """The path of a file (downloaded if need be), None when the repository has not got it.

        Args:
            file: The file's name.

        Raises:
            KeraformError: The repository cannot be reached or does not exist; or what has the name
                is a directory, a pipe, a device, a broken link, or not to be read.
        """
        if self.is_local:
            return _regular(self.folder / file)
        self.check_name()
        from transformers.utils.hub import cached_file

        try:
            found = cached_file(
                self.name, file, _raise_exceptions_for_missing_entries=False, **self.options
            )
        except OSError as error:
            raise KeraformError(
                expected=f"a directory, or a repository on the Hub, called {self.name!r}",
                got=str(error).strip().splitlines()[0],
                try_next="a path, another id, token=..., or local_files_only=True for what is "
                "in the cache",
            ) from error
        return None if found is None else Path(found)

    def pinned(self) -> Repository:
        """What has just been loaded: the commit that a branch means now, the whole path."""
        from transformers.utils import CONFIG_NAME
        from transformers.utils.hub import extract_commit_hash

        if self.is_local:
            return Repository.of(os.path.abspath(self.name), **self.options)
        options = {k: v for k, v in self.options.items() if k != "force_download"}
        cached = Repository.of(self.name, **{**options, "local_files_only": True})
        commit = extract_commit_hash(os.fspath(cached.find(CONFIG_NAME) or ""), None)
        return Repository.of(
            self.name, **{**options, "revision": commit or options.get("revision")}
        )

    def require(self, file: str) -> Path:
        """The path of a file.

        Args:
            file: The file's name.

        Raises:
            KeraformError: There is no such file, or the repository cannot be reached.
        """
        path = self.find(file)
        if path is None:
            raise KeraformError(
                expected=f"{file} in {self.name}",
                got="no such file",
                try_next=f"ls {self.folder}" if self.is_local else "the name of a file there",
            )
        return path

    def check_name(self) -> None:
        """Says what is wrong with a name that can only be a path, and is no directory's.

        Raises:
            KeraformError: It cannot be an id on the Hub.
        """
        looks_like_path = self.name.startswith((".", "/", "~")) or self.name.count("/") > 1
        if looks_like_path or os.path.isfile(self.name):
            kind = "a file" if os.path.isfile(self.name) else "no such directory"
            raise KeraformError(
                expected="a directory with config.json, or an id on the Hub",
                got=f"{self.name}: {kind}",
                try_next="the path of the directory that save_pretrained wrote",
            )


def _regular(path: Path) -> Path | None:
    """A file that can be read; opening a pipe or a device might never end. Links are followed,
    since the Hub's cache consists of them.
    """
    try:
        if not os.path.lexists(path) or (is_promised(path) and not path.exists()):
            return None
        mode = path.stat().st_mode
        got = next((name for name, test in _KINDS.items() if test(mode)), None)
        if got is None and not os.access(path, os.R_OK, effective_ids=True):
            got = "a file that you may not read"
    except OSError as error:
        got = error.strerror or str(error)
    if got is not None:
        raise KeraformError(expected=f"a file at {path}", got=got, try_next=f"ls -l {path}")
    return path


_KINDS = {
    "a directory": stat.S_ISDIR,
    "a pipe": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}
