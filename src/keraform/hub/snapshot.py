"""A repository's checkpoint, fetched whole for those who work on directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants, get_token, snapshot_download
from huggingface_hub.errors import HTTPError

from keraform.errors import KeraformError
from keraform.hub.weights import SAFETENSORS, TORCH, Format

# Weights of any framework: of these only those that are wanted are fetched.
_WEIGHTS = (
    "*.safetensors*", "*.bin*", "*.h5*", "*.msgpack*", "*.ot", "*.gguf", "*.keras", "*.onnx*",
    "*.ckpt*", "*.pth", "*.pt", "*.tflite", "*.pb", "*variables.*",
)  # fmt: skip


def fetch(repo_id: str, also: str, local_dir: Path | None = None) -> Path:
    """The directory of a repository's small files, its PyTorch weights and one more file or folder.

    Args:
        repo_id: Such as "google-bert/bert-base-cased"; from the cache when offline.
        also: What else is fetched if it is there.
        local_dir: Where to put them; the Hub's cache when None.

    Raises:
        KeraformError: The repository cannot be reached, or nobody has such a one.
    """
    try:
        folder = Path(snapshot_download(repo_id, ignore_patterns=[*_WEIGHTS], local_dir=local_dir))
        for form in (SAFETENSORS, TORCH):
            patterns = [*_names(form), also, f"{also}/**"]
            snapshot_download(repo_id, allow_patterns=patterns, local_dir=local_dir)
            if any((folder / name).exists() for name in (form.whole, form.index)):
                return folder
    except (HTTPError, OSError, ValueError) as error:
        raise KeraformError(
            expected=f"a directory, or a repository {repo_id!r} on the Hub that you may read",
            got=next(iter(str(error).strip().splitlines()), type(error).__name__),
            try_next="hf auth whoami, which says who you are there, or the path of a directory",
        ) from error
    return folder


def _names(form: Format) -> Iterator[str]:
    """The names of a format's files, as patterns."""
    stem, _, ending = form.whole.rpartition(".")
    yield from (form.whole, form.index, f"{stem}-*.{ending}")


def require_access(repo_id: str) -> None:
    """Says before the work that its result could not be sent.

    Args:
        repo_id: The repository.

    Raises:
        KeraformError: HF_HUB_OFFLINE is set, or nobody is logged in.
    """
    if constants.HF_HUB_OFFLINE or get_token() is None:
        raise KeraformError(
            expected=f"a connection to the Hub and an account there, to write to {repo_id}",
            got="HF_HUB_OFFLINE=1" if constants.HF_HUB_OFFLINE else "no token",
            try_next="--no-pr with --local-dir D, which sends nothing"
            if constants.HF_HUB_OFFLINE
            else "hf auth login, or --no-pr with --local-dir D, which sends nothing",
        )
