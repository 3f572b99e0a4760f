"""A small Hub: repositories over the Hub's HTTP API, in this process, with failures on demand.

What the API looks like is what the installed `huggingface_hub` asks for (2.4) and the real Hub's
answers to it: status, `X-Error-Code`, `X-Repo-Commit`, `ETag`.

    with serve(tmp_path) as hub:
        hub.tokens["hf_writer"] = Account("somebody")
        HfApi(hub.url, token="hf_writer").create_repo("somebody/tiny")

Tests take the fixture `hub`, which points `huggingface_hub` and `transformers` at it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub.state import LARGE, Account, Failure, File, Hub, Refusal, Repo, pointer, resolve

CHUNK = 1 << 20


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """Runs a Hub until the block ends.

    Args:
        folder: Where it keeps contents.
    """
    hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Finds the function for a request in `ROUTES`, and sends what it gives."""

    hub: Hub

    def log_message(self, *words: object) -> None:
        """Nothing on standard error."""

    def answer(self) -> None:
        """Answers any request."""
        address = urlsplit(self.path)
        self.query = {key: value[0] for key, value in parse_qs(address.query).items()}
        self.hub.requests.append(f"{self.command} {unquote(address.path)}")
        self.cut: int | None = None
        self.lost = False
        try:
            if not self.fails(address.path):
                self.route(address.path)
        except Refusal as refusal:
            self.refuse(refusal)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def fails(self, path: str) -> bool:
        """Whether this request was cut; raises where a status is planned."""
        with self.hub.lock:
            plan = next((each for each in self.hub.failures if self.matches(each, path)), None)
            if plan is None:
                return False
            plan.times -= 1
        if plan.status is not None:
            self.body()
            raise Refusal(plan.status, "out of order")
        self.lost = plan.lost
        if self.lost:
            return False
        if self.command in ("PUT", "POST"):
            self.rfile.read(min(plan.cut or 0, int(self.headers.get("Content-Length", 0))))
            self.close_connection = True
            return True
        self.cut = plan.cut
        return False

    def matches(self, plan: Failure, path: str) -> bool:
        """Whether a planned failure is this request's."""
        return plan.times > 0 and plan.method == self.command and bool(re.search(plan.path, path))

    def route(self, path: str) -> None:
        """Calls the function that answers this path."""
        for method, pattern, function in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                words = {key: unquote(value or "") for key, value in found.groupdict().items()}
                result = function(self, **words)
                if result is not None:
                    self.send(200, json.dumps(result).encode(), {})
                return
        self.body()
        raise Refusal(404, f"no such address: {self.command} {path}")

    def refuse(self, refusal: Refusal) -> None:
        """Sends an error as the Hub does: in headers, and as JSON."""
        headers = {"X-Error-Message": refusal.message}
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        self.send(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """Sends a short answer."""
        if self.lost:
            raise ConnectionError("the answer is lost")
        self.send_response(status)
        kind = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for key, value in {**kind, **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self) -> bytes:
        """The whole request."""
        return b"".join(self.pieces())

    def json(self) -> Any:
        """The request, which is JSON."""
        return json.loads(self.body())

    def pieces(self) -> Iterator[bytes]:
        """The request, in pieces, sent with its length or chunk by chunk."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            left = int(self.headers.get("Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, CHUNK))
                if not piece:
                    raise ConnectionError("the client is gone")
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().strip() or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    @property
    def account(self) -> Account | None:
        """Who asks; None for nobody."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def repo(self, kind: str, name: str, write: bool = False) -> Repo:
        """A repository that the account may see, and write to where that is asked."""
        account, repo = self.account, self.hub.repos.get((kind, name))
        owns = account is not None and account.name == name.split("/")[0]
        if repo is None or (repo.private and not owns):
            if account is None:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write:
            self.check_write(owns or "create_pr" in self.query)
        return repo

    def check_write(self, owns: bool) -> None:
        """Refuses those who may not write."""
        account = self.account
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        if not (owns and account.may_write):
            raise Refusal(403, "You don't have the rights to push to this repository")


def whoami(request: Handler) -> Any:
    if request.account is None:
        raise Refusal(401, "Invalid username or password.")
    return {"type": "user", "name": request.account.name, "orgs": [], "auth": {}}


def create_repo(request: Handler) -> Any:
    wish = request.json()
    if request.account is None:
        raise Refusal(401, "Invalid username or password.")
    owner = wish.get("organization") or request.account.name
    name, kind = f"{owner}/{wish['name']}", wish.get("type") or "model"
    url = f"{request.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
    if owner != request.account.name or not request.account.may_write:
        raise Refusal(403, f"You don't have the rights to create a {kind} under {owner!r}")
    with request.hub.lock:
        if (kind, name) in request.hub.repos:
            taken = {"error": f"You already created this {kind} repo", "url": url}
            request.send(409, json.dumps(taken).encode(), {})
            return None
        request.hub.create(name, kind, private=wish.get("visibility") == "private")
    return {"url": url, "name": name}


def validate_yaml(request: Handler) -> Any:
    request.body()
    return {"warnings": [], "errors": []}


def info(request: Handler, kind: str, name: str, revision: str = "main") -> Any:
    repo = request.repo(kind, name)
    commit = resolve(repo, revision or "main")
    siblings = [{"rfilename": path} for path in sorted(repo.commits[commit])]
    who = {"id": name, "modelId": name, "author": name.split("/")[0], "sha": commit}
    state = {"private": repo.private, "gated": "manual" if repo.gated else False}
    return {**who, **state, "disabled": False, "tags": [], "siblings": siblings}


def as_json(path: str, file: File) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    if file.large:
        size = len(pointer(file.sha256, file.size))
        found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": size}
    return found


def tree(request: Handler, kind: str, name: str, revision: str, path: str = "") -> Any:
    repo = request.repo(kind, name)
    files = repo.commits[resolve(repo, revision)]
    start = f"{path}/" if path else ""
    inside = {each: file for each, file in files.items() if each.startswith(start)}
    if start and not inside:
        raise Refusal(404, f"{path} does not exist on {revision!r}", "EntryNotFound")
    if request.query.get("recursive", "").lower() == "true":
        return [as_json(each, file) for each, file in inside.items()]
    folders = {start + each[len(start) :].split("/")[0] for each in inside} - inside.keys()
    listed = [as_json(each, inside[each]) for each in inside if "/" not in each[len(start) :]]
    empty = {"type": "directory", "size": 0, "oid": "0" * 40}
    return listed + [{**empty, "path": each} for each in sorted(folders)]


def paths_info(request: Handler, kind: str, name: str, revision: str) -> Any:
    asked = parse_qs(request.body().decode()).get("paths", [])
    repo = request.repo(kind, name)
    files = repo.commits[resolve(repo, revision)]
    return [as_json(each, files[each]) for each in asked if each in files]


def refs(request: Handler, kind: str, name: str) -> Any:
    found: dict[str, list[dict[str, str]]] = {"branches": [], "pullRequests": []}
    for ref, commit in request.repo(kind, name).refs.items():
        group = "branches" if ref.startswith("refs/heads/") else "pullRequests"
        short = ref.removeprefix("refs/heads/")
        found[group].append({"name": short, "ref": ref, "targetCommit": commit})
    return {**found, "converts": [], "tags": []}


def branch(request: Handler, kind: str, name: str, revision: str) -> Any:
    start = request.json().get("startingPoint", "main")
    repo = request.repo(kind, name, write=True)
    if f"refs/heads/{revision}" in repo.refs:
        raise Refusal(409, f"Reference already exists: {revision}")
    repo.refs[f"refs/heads/{revision}"] = resolve(repo, start)
    return {}


def preupload(request: Handler, kind: str, name: str, revision: str) -> Any:
    asked = request.json()["files"]
    repo = request.repo(kind, name, write=True)
    files = repo.commits[resolve(repo, revision)]

    def reply(path: str, size: int) -> dict[str, Any]:
        large = path.endswith(LARGE) or size > 10 << 20
        known = files.get(path)
        oid = known and (known.sha256 if large else known.oid)
        mode = "lfs" if large else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    return {"files": [reply(each["path"], each["size"]) for each in asked]}


def lfs_batch(request: Handler, name: str) -> Any:
    hub, asked = request.hub, request.json()

    def reply(oid: str, size: int) -> dict[str, Any]:
        known = {"oid": oid, "size": size}
        if hub.blob(oid).exists():
            return known
        href, header = f"{hub.url}/lfs/{oid}", {}
        if size > hub.part_size:
            parts = range(-(-size // hub.part_size))
            header = {f"{n + 1:05d}": f"{href}/{n + 1:05d}" for n in parts}
            header["chunk_size"] = str(hub.part_size)
            href += "/complete"
        verify = {"href": f"{hub.url}/lfs/{oid}/verify"}
        return {**known, "actions": {"upload": {"href": href, "header": header}, "verify": verify}}

    return {"transfer": "basic", "objects": [reply(e["oid"], e["size"]) for e in asked["objects"]]}


def lfs_put(request: Handler, oid: str, part: str = "") -> Any:
    """Takes a file or a part of one; a file counts when it is complete and hashes to its name."""
    target = request.hub.blob(f"{oid}.{part or 'whole'}")
    with target.open("wb") as file:
        digest = hashlib.sha256()
        for piece in request.pieces():
            digest.update(piece)
            file.write(piece)
    if not part:
        keep(request.hub, oid, digest.hexdigest(), target)
    request.send(200, b"", {"ETag": f'"{digest.hexdigest()}"'})


def lfs_complete(request: Handler, oid: str) -> Any:
    parts = sorted(part["partNumber"] for part in request.json()["parts"])
    whole, digest = request.hub.blob(f"{oid}.whole"), hashlib.sha256()
    with whole.open("wb") as file:
        for number in parts:
            part = request.hub.blob(f"{oid}.{number:05d}")
            with part.open("rb") as piece:
                while block := piece.read(CHUNK):
                    digest.update(block)
                    file.write(block)
            part.unlink()
    keep(request.hub, oid, digest.hexdigest(), whole)
    return {}


def keep(hub: Hub, oid: str, found: str, file: Path) -> None:
    if found != oid:
        file.unlink()
        raise Refusal(400, f"content has SHA-256 {found}, not {oid}")
    file.rename(hub.blob(oid))


def lfs_verify(request: Handler, oid: str) -> Any:
    asked, blob = request.json(), request.hub.blob(oid)
    if not blob.exists() or blob.stat().st_size != asked["size"]:
        raise Refusal(404, "not uploaded")
    return {}


def commit(request: Handler, kind: str, name: str, revision: str) -> Any:
    lines = [json.loads(line) for line in request.body().splitlines()]
    hub, repo = request.hub, request.repo(kind, name, write=True)
    with hub.lock:
        files = dict(repo.commits[resolve(repo, revision)])
        for line in lines[1:]:
            APPLY[line["key"]](hub, files, line["value"])
        pull = request.query.get("create_pr") == "1"
        number = 1 + sum(ref.startswith("refs/pr/") for ref in repo.refs)
        named = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        ref = f"refs/pr/{number}" if pull else named
        oid = repo.commit(ref, files, lines[0]["value"]["summary"])
    page = f"{hub.url}/{name}"
    made = {"success": True, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}"}
    return {**made, "pullRequestUrl": f"{page}/discussions/{number}"} if pull else made


def add_file(hub: Hub, files: dict[str, File], value: dict[str, Any]) -> None:
    files[value["path"]] = hub.store(base64.b64decode(value["content"]))


def add_large(hub: Hub, files: dict[str, File], value: dict[str, Any]) -> None:
    if not hub.blob(value["oid"]).exists():
        raise Refusal(400, f"{value['path']}: LFS pointer to what was not uploaded")
    files[value["path"]] = hub.describe(value["oid"], large=True)


def delete_file(hub: Hub, files: dict[str, File], value: dict[str, Any]) -> None:
    if files.pop(value["path"], None) is None:
        raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")


APPLY: dict[str, Callable[..., None]] = {
    "file": add_file,
    "lfsFile": add_large,
    "deletedFile": delete_file,
}


def download(request: Handler, name: str, revision: str, path: str, kind: str = "") -> None:
    """HEAD and GET of a file, whole or from a position on."""
    repo = request.repo(kind.rstrip("s/") or "model", name)
    if repo.gated and (request.account is None or request.account.name != name.split("/")[0]):
        status = 401 if request.account is None else 403
        raise Refusal(status, f"Access to model {name} is restricted.", "GatedRepo")
    oid = resolve(repo, revision)
    headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes"}
    file = repo.commits[oid].get(path)
    if file is None:
        request.send(404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
        return
    headers["ETag"] = f'"{file.sha256 if file.large else file.oid}"'
    start = int(re.sub(r"bytes=(\d*)-.*", r"\1", request.headers.get("Range", "")) or 0)
    if file.large:
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size)}
    if start:
        headers["Content-Range"] = f"bytes {start}-{file.size - 1}/{file.size}"
    request.send_response(206 if start else 200)
    for key, value in {**headers, "Content-Length": str(file.size - start)}.items():
        request.send_header(key, value)
    request.end_headers()
    if request.command == "HEAD":
        return
    with request.hub.blob(file.sha256).open("rb") as source:
        source.seek(start)
        if request.cut is None:
            shutil.copyfileobj(source, request.wfile, CHUNK)
        else:
            request.wfile.write(source.read(request.cut))


_API = r"/api/(?P<kind>model|dataset)s/(?P<name>[^/]+/[^/]+)"
_REV = r"(?P<revision>[^/]+)"
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Any]]] = [
    (("GET",), "/api/whoami-v2", whoami),
    (("POST",), "/api/repos/create", create_repo),
    (("POST",), "/api/validate-yaml", validate_yaml),
    (("GET",), _API, info),
    (("GET",), f"{_API}/revision/{_REV}", info),
    (("GET",), f"{_API}/tree/{_REV}(?:/(?P<path>.*))?", tree),
    (("POST",), f"{_API}/paths-info/{_REV}", paths_info),
    (("GET",), f"{_API}/refs", refs),
    (("POST",), f"{_API}/branch/{_REV}", branch),
    (("POST",), f"{_API}/preupload/{_REV}", preupload),
    (("POST",), f"{_API}/commit/{_REV}", commit),
    (("POST",), r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", lfs_batch),
    (("PUT",), r"/lfs/(?P<oid>\w+)", lfs_put),
    (("PUT",), r"/lfs/(?P<oid>\w+)/(?P<part>\d+)", lfs_put),
    (("POST",), r"/lfs/(?P<oid>\w+)/complete", lfs_complete),
    (("POST",), r"/lfs/(?P<oid>\w+)/verify", lfs_verify),
    (
        ("GET", "HEAD"),
        rf"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/{_REV}/(?P<path>.+)",
        download,
    ),
]
