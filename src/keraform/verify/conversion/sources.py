"""Which weights a checkpoint's directory holds: PyTorch's, or the old TensorFlow classes'."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from keraform.errors import KeraformError
from keraform.hub.weights import KERAS2, SAFETENSORS, TORCH, Format


def torch_weights(folder: Path) -> str:
    """The name of the file (or index) of PyTorch's weights that is read first.

    Args:
        folder: The directory.

    Raises:
        KeraformError: There are none.
    """
    names = [name for name in _names(SAFETENSORS, TORCH) if (folder / name).is_file()]
    found = next((name for name in names if not _has_old_names(folder, name)), None)
    if found is None:
        old = _tensorflow_weights(folder)
        raise KeraformError(
            expected=f"PyTorch's weights in {folder}: {' or '.join(_names(SAFETENSORS, TORCH))}",
            got=f"{old}, of the old TensorFlow classes" if old else "none of them",
            try_next=f"keraform tf-to-pt {folder}" if old else f"ls {folder}",
        )
    return found


def tensorflow_weights(folder: Path) -> str:
    """The name of the file (or index) of the old TensorFlow classes' weights.

    Args:
        folder: The directory.

    Raises:
        KeraformError: There are none.
    """
    found = _tensorflow_weights(folder)
    if found is None:
        others = [name for name in _names(SAFETENSORS, TORCH) if (folder / name).is_file()]
        raise KeraformError(
            expected=f"weights of the old TensorFlow classes in {folder}: "
            f"{' or '.join(_names(KERAS2))}, or safetensors with TensorFlow's names",
            got=f"{others[0]}, which is PyTorch's already" if others else "none of them",
            try_next=f"transformers.AutoModel.from_pretrained({str(folder)!r})"
            if others
            else f"ls {folder}",
        )
    return found


def _tensorflow_weights(folder: Path) -> str | None:
    own = next((name for name in _names(KERAS2) if (folder / name).is_file()), None)
    return own or next(filter(lambda name: _has_old_names(folder, name), _names(SAFETENSORS)), None)


def _has_old_names(folder: Path, name: str) -> bool:
    """Whether a file, or the shards of an index, are safetensors of v4's TensorFlow classes."""
    if name not in _names(SAFETENSORS) or not (folder / name).is_file():
        return False
    stem = SAFETENSORS.whole.removesuffix(".safetensors")
    shards = [folder / name] if name == SAFETENSORS.whole else folder.glob(f"{stem}-*.safetensors")
    try:
        with safe_open(next(iter(sorted(shards))), framework="numpy") as file:
            return (file.metadata() or {}).get("format") == "tf"
    except (SafetensorError, OSError, StopIteration):
        return False  # whoever reads it says what is wrong with it


def _names(*forms: Format) -> list[str]:
    return [name for form in forms for name in (form.whole, form.index)]
