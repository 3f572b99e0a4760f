"""To PyTorch: what the old TensorFlow classes wrote, as today's safetensors, compared in torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from keraform.auto import auto_class, ported_class
from keraform.checkpoints.report import incomplete_error
from keraform.errors import KeraformError
from keraform.hub import Repository
from keraform.hub.weights import KERAS2, SAFETENSORS
from keraform.modeling.loading import read_config
from keraform.verify.conversion.places import require_place, written_whole
from keraform.verify.conversion.result import MAX_ERROR, Conversion, Measure, Step
from keraform.verify.conversion.sources import tensorflow_weights
from keraform.verify.quiet import quiet


def convert_to_torch(
    folder: Path,
    out: Path,
    class_name: str | None = None,
    max_error: float = MAX_ERROR,
    anew: bool = False,
    step: Step = lambda what, done, total: None,
) -> Conversion:
    """Write an old TensorFlow checkpoint as PyTorch's, with what lies beside its weights.

    Where torch is installed, `transformers` loads what was written before it takes its place, and
    has to give what Keraform gives of the TensorFlow weights.

    Args:
        folder: The checkpoint's directory.
        out: The directory to write to; may be the same.
        class_name: The class; the first that the config names when None.
        max_error: How far a tensor may be off.
        anew: Write although there are such weights.
        step: Told before each step.

    Raises:
        KeraformError: No such checkpoint, one that lacks weights, or a place that cannot be
            written.
    """
    read_config(Repository.of(folder))
    name = tensorflow_weights(folder)
    require_place(out)
    _require_room(folder, out, name, anew)
    with quiet():
        cls = _class_of(folder, class_name)
        result = Conversion(str(folder), cls.__name__, max_error)
        step(f"reading {name}", 0, 3)
        options = {"from_tf": name in (KERAS2.whole, KERAS2.index)}
        model, said = cls.from_pretrained(folder, output_loading_info=True, **options)
        _require_whole(said, cls.__name__, folder, result)
        step("writing safetensors", 1, 3)
        with written_whole(out, "checkpoint") as unfinished:
            model.save_pretrained(unfinished)
            step("comparing with torch", 2, 3)
            result.after = _in_torch(unfinished, folder, cls, max_error, options, result)
            if result.beyond:
                return result
            model.save_pretrained(out)
        result.written = out
    return result


def _require_room(folder: Path, out: Path, name: str, anew: bool) -> None:
    same = out.resolve() == folder.resolve()
    there = next((e for e in (SAFETENSORS.whole, SAFETENSORS.index) if (out / e).exists()), None)
    if there is not None and (not anew or (same and there == name)):
        raise KeraformError(
            expected=f"a directory without {there}, which would be written",
            got=f"{out}, which has it",
            try_next="--out with another directory" + ("" if same else ", or --new-weights"),
        )


def _class_of(folder: Path, class_name: str | None) -> Any:
    config = AutoConfig.from_pretrained(folder)
    name = class_name or next(iter(config.architectures or ()), None)
    if name is None:
        return auto_class("AutoModel").class_for(config)[0]
    try:
        return ported_class(name)
    except AttributeError as error:
        raise KeraformError(
            expected="a model class of the installed transformers",
            got=str(error),
            try_next="--override-model-class C; keraform status TYPE lists a type's classes",
        ) from error


def _require_whole(said: dict[str, Any], name: str, folder: Path, result: Conversion) -> None:
    """A weight that is missing would be written as random numbers; one left over is told."""
    if said["missing_keys"]:
        advice = "--override-model-class with the class that it was saved from"
        raise incomplete_error(said["missing_keys"], name, folder, advice)
    if said["unexpected_keys"]:
        keys = sorted(said["unexpected_keys"])
        result.notes.append(f"{len(keys)} weights are not {name}'s: {', '.join(keys[:3])}")


def _in_torch(
    written: Path,
    folder: Path,
    cls: Any,
    max_error: float,
    options: dict[str, bool],
    result: Conversion,
) -> list[Measure] | None:
    """What `transformers` gives of the new weights, against Keraform's of the old ones."""
    if importlib.util.find_spec("torch") is None:
        result.notes.append(
            "torch is not installed, so nothing was compared: "
            'pip install "keraform[verify]", then keraform verify with what was written'
        )
        return None
    from keraform.verify.conversion.differences import Original
    from keraform.verify.directories import directory_case

    original = Original(directory_case(written, cls.__name__), max_error)
    return original.compare(lambda: cls.from_pretrained(folder, **options))
