"""From PyTorch: a checkpoint compared with its Keras model, written, read back, compared again."""

from __future__ import annotations

from pathlib import Path

from keraform.hub import Repository
from keraform.modeling.loading import require_config
from keraform.verify.conversion.differences import Original
from keraform.verify.conversion.formats import Format
from keraform.verify.conversion.places import put, require_place, written_whole
from keraform.verify.conversion.result import MAX_ERROR, Conversion, Step
from keraform.verify.conversion.sources import torch_weights
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
    require_config(Repository.of(folder))
    name = torch_weights(folder)
    if form is not None:
        require_place(out)
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
