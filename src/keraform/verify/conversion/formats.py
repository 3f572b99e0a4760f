"""The forms that a converted model is written in, and how each is read back and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keraform.checkpoints.keras2_save import keras2_classes, write_keras2
from keraform.errors import KeraformError
from keraform.verify.cases import Case, Variant
from keraform.verify.conversion.differences import DTYPE, Original
from keraform.verify.conversion.result import Measure
from keraform.verify.inputs import Inputs, required_names
from keraform.verify.leaves import leaves
from keraform.verify.port import keras_precision, load_state
from keraform.verify.rungs.compiled import open_shape
from keraform.verify.rungs.kept import weights_of
from keraform.verify.targets import port_class


@dataclass(frozen=True)
class Format:
    """A form that a model is written in.

    Args:
        name: Of the file or folder, in the checkpoint's directory.
        write: Writes the model of a case to a path.
        compare: Measures what lies there against torch's original.
    """

    name: str
    write: Callable[[Case, Any, Path], None]
    compare: Callable[[Original, Path], list[Measure]]


def had_keras2(case: Case) -> bool:
    """Whether Transformers v4 had the class for TensorFlow."""
    return case.name.removeprefix("TF") in keras2_classes()


def _write_keras2(case: Case, model: Any, path: Path) -> None:
    model.config.save_pretrained(path.parent)  # which from_pretrained reads beside it
    write_keras2(path, model)


def _compare_keras2(original: Original, path: Path) -> list[Measure]:
    torch_class: Any = original.case.torch_class
    cls: Any = port_class(torch_class.__module__, torch_class.__name__)
    return original.compare(lambda: cls.from_pretrained(path.parent, from_tf=True))


def _write_keras(case: Case, model: Any, path: Path) -> None:
    model.save(path)


def _compare_keras(original: Original, path: Path) -> list[Measure]:
    with keras_precision(DTYPE, lift=False):
        model = keras.saving.load_model(path)
    return original.compare(lambda: _in_precision(model))


def _in_precision(model: Any) -> Any:
    """The model, or its like in the precision that is asked for: a file has one of its own."""
    dtype = keras.config.dtype_policy().name
    if model.dtype_policy.name == dtype:
        return model
    other = type(model).from_config({**model.get_config(), "dtype": dtype})
    load_state(other, weights_of(model)).check()
    return other


def _write_saved_model(case: Case, model: Any, path: Path) -> None:
    wanted = {*model.input_signature, *required_names(case.torch_class.forward)}  # type: ignore[union-attr]
    shapes = _two_sizes(case, wanted)
    specs = {
        name: keras.InputSpec(
            shape=open_shape(name, shapes),
            dtype=DTYPE if value.dtype.kind == "f" else str(value.dtype),
            name=name,
        )
        for name, value in shapes[0].items()
    }
    archive = keras.export.ExportArchive()
    archive.track(model)
    try:
        archive.add_endpoint("serve", lambda inputs: _tensors(model(**inputs)), [specs])
    except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
        raise KeraformError(
            expected=f"a {case.name} that runs as a graph with open sizes",
            got=" ".join(str(error).split())[:400],
            try_next="--format keras, or keraform verify DIR --rungs 7, which says more",
        ) from error
    archive.write_out(path, verbose=False)


def _tensors(outputs: Any) -> dict[str, Any]:
    """The tensors of an output by dotted names, as a signature can give them; no caches."""
    return leaves(outputs, lambda value: value if keras.ops.is_tensor(value) else None)


def _two_sizes(case: Case, names: set[str]) -> list[Inputs]:
    """The inputs of these names, in two sizes where a class takes two."""
    given = (case.variants[0].inputs, case.resized())
    return [
        {name: value for name, value in inputs.items() if name in names}
        for inputs in given
        if inputs is not None
    ]


def _compare_saved_model(original: Original, path: Path) -> list[Measure]:
    import tensorflow as tf

    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    names = set(served.structured_input_signature[1])
    return [
        measure
        for size, inputs in enumerate(_two_sizes(original.case, names))
        for measure in original.compare_served(
            lambda given: served(**given), Variant(f"served {size}", inputs)
        )
    ]


FORMATS: dict[str, Format] = {
    "h5": Format("tf_model.h5", _write_keras2, _compare_keras2),
    "keras": Format("model.keras", _write_keras, _compare_keras),
    "saved_model": Format("saved_model/1", _write_saved_model, _compare_saved_model),
}
