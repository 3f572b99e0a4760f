"""What the small Hub of the tests holds: repositories, accounts, contents, planned failures."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGE = (".bin", ".gguf", ".h5", ".keras", ".msgpack", ".png", ".safetensors")


@dataclass
class Account:
    """Who a token belongs to, and whether it may write."""

    name: str
    may_write: bool = True


@dataclass(frozen=True)
class File:
    """A file of a commit; `oid` is git's hash of it, `sha256` the name of its content."""

    size: int
    sha256: str
    oid: str
    large: bool


@dataclass
class Repo:
    """A repository: its commits by hash, what its references point at, and who sees it."""

    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, ref: str, files: dict[str, File], message: str) -> str:
        """Lets `ref` point at a new commit with these files."""
        oid = hashlib.sha1(f"{self.name} {len(self.commits)} {message}".encode()).hexdigest()
        self.commits[oid] = dict(sorted(files.items()))
        self.messages[oid], self.refs[ref] = message, oid
        return oid


@dataclass
class Failure:
    """What becomes of the next `times` requests that match: a status, or a cut connection.

    `cut` is the number of bytes of the body (of the request, for PUT and POST, else of the answer)
    after which the connection ends. `lost`: what is asked for happens, and no answer comes.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    cut: int | None = None
    lost: bool = False


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Hub:
    """The state behind the server.

    Attributes:
        url: The endpoint.
        tokens: Accounts by token.
        repos: Repositories by (type, id), the type one of "model", "dataset".
        part_size: Larger files are uploaded in parts of this many bytes.
        requests: What was asked for, as "METHOD /path".
        failures: What goes wrong next.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.tokens: dict[str, Account] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.part_size = 16 << 20
        self.requests: list[str] = []
        self.failures: list[Failure] = []
        self.lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)

    def create(self, name: str, kind: str = "model", **options: Any) -> Repo:
        """Makes a repository with one commit, as the Hub does.

        Args:
            name: Such as "somebody/tiny".
            kind: "model" or "dataset".
            **options: `private`, `gated`.
        """
        repo = self.repos[kind, name] = Repo(name, **options)
        attributes = self.store(b"*.safetensors filter=lfs\n")
        repo.commit("refs/heads/main", {".gitattributes": attributes}, "initial commit")
        return repo

    def put(self, name: str, files: dict[str, bytes | Path], branch: str = "main") -> str:
        """Commits files, in a new repository if need be, and gives the commit's hash.

        Args:
            name: The repository's.
            files: Contents (or where they lie) by path.
            branch: Its branch; made if need be.
        """
        repo = self.repos.get(("model", name)) or self.create(name)
        ref = f"refs/heads/{branch}"
        content = {k: v.read_bytes() if isinstance(v, Path) else v for k, v in files.items()}
        stored = {k: self.store(v, k.endswith(LARGE)) for k, v in content.items()}
        return repo.commit(ref, {**repo.commits.get(repo.refs.get(ref, ""), {}), **stored}, "put")

    def put_folder(self, name: str, folder: Path, branch: str = "main") -> str:
        """Commits all files of a directory; see `put`."""
        found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        return self.put(name, dict(found), branch)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Contents by path of a revision (a branch, `refs/pr/1` or a commit)."""
        repo = self.repos["model", name]
        found = repo.commits[resolve(repo, revision)]
        return {path: self.blob(file.sha256).read_bytes() for path, file in found.items()}

    def fail(self, method: str, path: str, **how: Any) -> Failure:
        """Plans a failure; see `Failure`. `path` is a regular expression."""
        self.failures.append(Failure(method, path, **how))
        return self.failures[-1]

    def blob(self, sha256: str) -> Path:
        """Where the content of this hash lies."""
        return self.folder / sha256

    def store(self, content: bytes, large: bool = False) -> File:
        """Keeps a content, and describes it."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.blob(sha256).write_bytes(content)
        return self.describe(sha256, large)

    def describe(self, sha256: str, large: bool) -> File:
        """The file with a content that is kept already; git holds a pointer to a large one."""
        size = self.blob(sha256).stat().st_size
        content = pointer(sha256, size) if large else self.blob(sha256).read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return File(size, sha256, oid, large)


def pointer(sha256: str, size: int) -> bytes:
    """What git holds in place of a large file."""
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{sha256}\nsize {size}\n".encode()


def resolve(repo: Repo, revision: str) -> str:
    """The commit that a branch, a reference or a hash means."""
    for name in (f"refs/heads/{revision}", revision):
        if name in repo.refs:
            return repo.refs[name]
    if revision in repo.commits:
        return revision
    raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
