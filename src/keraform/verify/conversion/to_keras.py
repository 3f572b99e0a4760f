"""From PyTorch: a checkpoint compared with its Keras model, written, read back, compared again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keraform.errors import KeraformError
from keraform.hub.weights import SAFETENSORS, TORCH
from keraform.verify.conversion.differences import Original
from keraform.verify.conversion.formats import Format
from keraform.verify.conversion.result import MAX_ERROR, Conversion, Step
from keraform.verify.directories import directory_case
from keraform.verify.port import keras_precision
from keraform.verify.quiet import quiet


def convert(
    source: str,
    folder: Path,
    out: Path,
    form: Format | None,
    class_name: str | None = None,
    max_error: float = MAX_ERROR,
    anew: bool = False,
    step: Step = lambda what, done, total: None,
) -> Conversion:
    """Compare a checkpoint's Keras model with torch's, write it, read it back, compare again.

    Nothing appears in `out` before the second comparison holds, and then all of it at once.

    Args:
        source: What the checkpoint is called: a directory, or an id on the Hub.
        folder: Its directory.
        out: Where to write.
        form: What to write; None for nothing.
        class_name: The class; the first that the config names when None.
        max_error: How far a tensor may be off.
        anew: Write although there is such a file; else that one is compared.
        step: Told before each step.

    Raises:
        KeraformError: No checkpoint of PyTorch's, an unknown class, a place that cannot be written.
    """
    name = read_as_it_is(folder)
    with quiet():
        case = directory_case(folder, class_name)
        result = Conversion(source, case.name, max_error)
        original = Original(case, max_error)
        step(f"comparing {case.name} with torch", 0, 3)
        result.before = original.compare(case.make_port)
        if result.beyond:
            return result
        result.notes.append(
            f"no conversion is needed to use it: Keraform reads {name} as it is, with "
            f"keraform.{case.name}.from_pretrained({source!r})"
        )
        if form is None:
            return result
        target = out / form.name
        if target.exists() and not anew:
            step(f"comparing {target} with torch", 1, 3)
            result.after = form.compare(original, target)
            result.notes.append(f"{target} was there, and is kept; --new-weights writes it again")
            return result
        with written_whole(out, form.name) as unfinished:
            step(f"writing {form.name}", 1, 3)
            with keras_precision("float32", lift=False):
                form.write(case, case.make_port(), unfinished)
            step(f"reading {form.name} back and comparing", 2, 3)
            result.after = form.compare(original, unfinished)
            if result.beyond:
                return result
            result.written = put(unfinished, target)
    return result


def read_as_it_is(folder: Path) -> str:
    """The name of the file of PyTorch's weights.

    Raises:
        KeraformError: There is none.
    """
    names = [each for form in (SAFETENSORS, TORCH) for each in (form.whole, form.index)]
    found = next((name for name in names if (folder / name).is_file()), None)
    if found is None:
        others = sorted(path.name for path in folder.glob("*.h5"))
        raise KeraformError(
            expected=f"PyTorch's weights in {folder}: {' or '.join(names)}",
            got=", ".join(others) or "none of them",
            try_next=f"keraform tf-to-pt {folder}" if others else f"ls {folder}",
        )
    return found


@contextmanager
def written_whole(out: Path, name: str) -> Iterator[Path]:
    """A path to write to, in a folder beside the target that is gone in the end.

    Raises:
        KeraformError: There is no place to write, or not enough.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".converting-") as folder:
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            yield path
    except OSError as error:
        raise KeraformError(
            expected=f"a place for {name} in {out}",
            got=f"{error.strerror or error}",
            try_next="--local-dir with another directory",
        ) from error


def put(unfinished: Path, target: Path) -> Path:
    """Move what was written to its place; a folder that is there makes room first."""
    target.parent.mkdir(exist_ok=True)
    if target.is_dir():
        old = unfinished.with_name("old")
        os.replace(target, old)
        os.replace(unfinished, target)
        shutil.rmtree(old)
    else:
        os.replace(unfinished, target)
    return target
