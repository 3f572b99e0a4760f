"""From PyTorch: a checkpoint compared with its Keras model, written, read back, compared again."""

from __future__ import annotations

from pathlib import Path

from keraform.errors import KeraformError
from keraform.hub import Repository
from keraform.modeling.loading import read_config
from keraform.verify.conversion.differences import Original
from keraform.verify.conversion.formats import FORMATS, Format, had_keras2
from keraform.verify.conversion.places import put, require_place, written_whole
from keraform.verify.conversion.result import MAX_ERROR, Conversion, Measure, Step
from keraform.verify.conversion.sources import torch_weights
from keraform.verify.directories import directory_case
from keraform.verify.port import keras_precision
from keraform.verify.quiet import quiet


def convert(
    source: str,
    folder: Path,
    out: Path,
    form: str | None = None,
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
        form: What to write, a key of FORMATS; None for `tf_model.h5` where Transformers v4 had the
            class, and else for nothing.
        class_name: The class; the first that the config names when None.
        max_error: How far a tensor may be off.
        anew: Write although there is such a file; else that one is compared.
        step: Told before each step.

    Raises:
        KeraformError: No checkpoint of PyTorch's, an unknown class, a place that cannot be written.
    """
    read_config(Repository.of(folder))
    name = torch_weights(folder)
    with quiet():
        case = directory_case(folder, class_name)
        chosen = FORMATS[form or "h5"] if form or had_keras2(case) else None
        if chosen is not None:
            require_place(out)
        result = Conversion(source, case.name, max_error)
        original = Original(case, max_error)
        step(f"comparing {case.name} with torch", 0, 3)
        result.before = _compared(original)
        if result.beyond:
            return result
        result.notes.append(
            f"no conversion is needed to use it: Keraform reads {name} as it is, with "
            f"keraform.{case.name}.from_pretrained({source!r})"
        )
        if chosen is None:
            result.notes.append(
                f"Transformers v4 had no {case.name}, so that there is no tf_model.h5 of it and "
                "nothing was written; --format keras or --format saved_model writes others"
            )
            return result
        target = out / chosen.name
        if target.exists() and not anew:
            step(f"comparing {target} with torch", 1, 3)
            result.after = _kept(original, chosen, target)
            result.notes.append(f"{target} was there, and is kept; --new-weights writes it again")
            return result
        size = sum(value.nbytes for value in case.state.values())
        with written_whole(out, chosen.name, size) as unfinished:
            step(f"writing {chosen.name}", 1, 3)
            with keras_precision("float32", lift=False):
                chosen.write(case, case.make_port(), unfinished)
            step(f"reading {chosen.name} back and comparing", 2, 3)
            result.after = chosen.compare(original, unfinished)
            if result.beyond:
                return result
            config = unfinished.with_name("config.json")
            if config.exists() and not (out / config.name).exists():
                put(config, out / config.name)
            result.written = put(unfinished, target)
    return result


def _compared(original: Original) -> list[Measure]:
    case = original.case
    try:
        return original.compare(case.make_port)
    except NotImplementedError as error:
        raise KeraformError(
            expected=f"a {case.name} of which nothing was refused by the translator",
            got=" ".join(str(error).split())[:400],
            try_next=f"keraform verify DIR --class {case.name} --rungs 1",
        ) from error


def _kept(original: Original, chosen: Format, target: Path) -> list[Measure]:
    try:
        return chosen.compare(original, target)
    except (OSError, RuntimeError, ValueError) as error:
        raise KeraformError(
            expected=f"a {chosen.name} that can be read",
            got=f"{target}: {' '.join(str(error).split())[:300]}",
            try_next="--new-weights, which writes it again",
        ) from error
