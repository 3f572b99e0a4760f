"""`generate` as a SavedModel, which plain TensorFlow loads and serves."""

from __future__ import annotations

from typing import Any

import keras

from keraform.errors import explain


def export_generate(
    model: Any, filepath: Any, input_signature: Any, verbose: bool | None, **options: Any
) -> None:
    """Writes the SavedModel of `GenerationMixin.export_generate`, which documents it."""
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            explain(
                "Keras on TensorFlow, whose graphs a SavedModel holds",
                f"the backend {keras.backend.backend()}",
                "KERAS_BACKEND=tensorflow in the environment, and export_generate() again",
            )
        )
    signature = input_signature or signature_of(model, do_sample=_samples(model, options))

    def serve(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"sequences": model.generate(**inputs, **options)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(name="serve", fn=serve, input_signature=[signature])
    archive.write_out(str(filepath), verbose=verbose)


def signature_of(model: Any, do_sample: bool) -> dict[str, keras.InputSpec]:
    """The inputs of `generate`: those of a call but for the decoder's, and the seed of sampling."""
    found = {
        name: spec
        for name, spec in model.input_signature.items()
        if not name.startswith("decoder_")
    }
    if do_sample:
        found["seed"] = keras.InputSpec(shape=(2,), dtype="int32", name="seed")
    return found


def _samples(model: Any, options: dict[str, Any]) -> bool:
    given = options.get("generation_config")
    for value in (options.get("do_sample"), getattr(given, "do_sample", None)):
        if value is not None:
            return bool(value)
    return bool(model.generation_config.do_sample)
