"""The cache of generated files: keyed by everything that shapes a file, written atomically, checked
before use.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from keraform.translate.source import Source, transformers_version

MARK = "# KERAFORM-BANNER"
DIGEST = "# sha256 of what follows: "


@dataclass(frozen=True, slots=True)
class CachedPort:
    """A generated file. `path` is None when it could only be kept in memory."""

    code: str
    report: dict[str, object] = field(hash=False)
    path: Path | None = None


@lru_cache(maxsize=1)
def translator_version() -> str:
    """A hash over the translator's own files: rules, kinds, layout, recorded facts."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    overrides = root.parent / "overrides"
    code = [*root.rglob("*.py"), *overrides.rglob("*.py"), *root.rglob("*.json.gz")]
    for path in sorted(code):
        digest.update(path.relative_to(root.parent).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def cache_root() -> Path:
    """Where generated files are kept: `KERAFORM_CACHE`, else the user's cache folder."""
    explicit = os.environ.get("KERAFORM_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keraform"


def port_path(source: Source, facts_hash: str) -> Path:
    """The path of the generated file of a source."""
    key = hashlib.sha256(
        "\0".join([source.module, source.hash, facts_hash, translator_version()]).encode()
    ).hexdigest()
    parts = source.module.split(".")
    folder = parts[2] if len(parts) > 3 and parts[1] == "models" else "_shared"
    return (
        cache_root()
        / f"transformers-{transformers_version()}"
        / folder
        / key[:16]
        / f"{parts[-1]}.py"
    )


def seal(code: str, banner: str) -> str:
    """Puts the banner in its place; its last line holds the hash of everything below it."""
    head, _, body = code.partition(MARK + "\n")
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f"{head}{banner}{DIGEST}{digest}\n{body}"


def digest_of(text: str) -> str:
    """The hash that a generated file carries: of its code, not of the banner. A proof belongs to
    it.
    """
    return text.partition(DIGEST)[2].partition("\n")[0]


def intact(text: str) -> bool:
    """Whether a generated file is as it was written."""
    _, found, rest = text.partition(DIGEST)
    digest, _, body = rest.partition("\n")
    return bool(found) and hashlib.sha256(body.encode()).hexdigest() == digest


def load(path: Path) -> CachedPort | None:
    """Reads a cached port; None when it is not there, belongs to somebody else, or was changed."""
    try:
        status = path.stat()
        text = path.read_text(encoding="utf-8")
        report = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        return None
    return CachedPort(text, report, path) if intact(text) else None


def store(path: Path, code: str, report: dict[str, object]) -> CachedPort:
    """Writes a port; where the folder cannot be written, the port is kept in memory alone."""
    try:
        _make_private(path.parent)
        _write(path.with_suffix(".json"), json.dumps(report, indent=1, sort_keys=True) + "\n")
        _write(path, code)
    except OSError:
        return CachedPort(code, report)
    return CachedPort(code, report, path)


def _make_private(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _write(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def report_of(translation: object) -> dict[str, object]:
    """Refusals and measures of a translation, as plain data."""
    return {
        "left_out": [asdict(refusal) for refusal in translation.left_out],  # type: ignore[attr-defined]
        "refusals": [asdict(refusal) for refusal in translation.refusals],  # type: ignore[attr-defined]
        "stats": asdict(translation.stats),  # type: ignore[attr-defined]
    }
