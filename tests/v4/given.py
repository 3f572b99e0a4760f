"""Tiny configurations and inputs for the classes that Transformers v4 had for TensorFlow too.

Run with Keraform's Python: `python tests/v4/given.py FOLDER CLASS ...`. Beside a torch class's
configuration lie its inputs, the same that `keraform verify` gives it. `T5Model@1` is the class
with the first further configuration of `VARIANTS`, in which it has other weights.
"""

from __future__ import annotations

import copy
import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from keraform.verify.fit import fit
from keraform.verify.inputs import make_inputs

_UNTIED_TEXT = {"tie_word_embeddings": False, "text_config.tie_word_embeddings": False}
# What v4's own TensorFlow classes need in a configuration, by what a class's name begins with.
NEEDED: dict[str, dict[str, Any]] = {
    # each convolution is built for as many channels as it gives
    "Wav2Vec2": {"conv_dim": (8, 8, 8)},
    "Hubert": {"conv_dim": (8, 8, 8)},
    # asked for without being a field of the configuration
    "Cvt": {"image_size": 32},
    "BlipVisionModel": {"num_channels": 3},
    "BlipModel": {"vision_config.num_channels": 3},
    "BlipFor": {"vision_config.num_channels": 3},
    "XLMForMultipleChoice": {"initializer_range": 0.02},
    "FlaubertForMultipleChoice": {"initializer_range": 0.02},
    # their heads are weights of their own in any case
    "XGLMForCausalLM": {"tie_word_embeddings": False},
    "Speech2TextFor": {"tie_word_embeddings": False},
    "BlipTextLMHeadModel": {"tie_word_embeddings": False},
    "MobileBertForMaskedLM": {"tie_word_embeddings": False},
    "MobileBertForPreTraining": {"tie_word_embeddings": False},
    "BlipForConditional": _UNTIED_TEXT,
    "BlipForQuestion": _UNTIED_TEXT,
    # the window is not looked at
    "Mistral": {"sliding_window": None},
}
# Further configurations, with which a class has other weights.
_CROSS = {"is_decoder": True, "add_cross_attention": True}
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "T5Model": ({"feed_forward_proj": "gated-gelu"},),
    "T5EncoderModel": ({"feed_forward_proj": "gated-gelu"},),
    "T5ForConditionalGeneration": (
        {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "BertLMHeadModel": (_CROSS,),
    "CamembertForCausalLM": (_CROSS,),
    "GPT2LMHeadModel": (_CROSS,),
    "RemBertForCausalLM": (_CROSS,),
    "RobertaForCausalLM": (_CROSS,),
    "XLMRobertaForCausalLM": (_CROSS,),
    "Wav2Vec2Model": ({"feat_extract_norm": "layer", "do_stable_layer_norm": True},),
    "Wav2Vec2ForCTC": ({"feat_extract_norm": "layer", "do_stable_layer_norm": True},),
    "HubertModel": ({"feat_extract_norm": "layer", "do_stable_layer_norm": True},),
    "HubertForCTC": ({"feat_extract_norm": "layer", "do_stable_layer_norm": True},),
    "OPTModel": ({"word_embed_proj_dim": 12}, {"do_layer_norm_before": False}),
    "OPTForCausalLM": ({"word_embed_proj_dim": 12}, {"do_layer_norm_before": False}),
}


def give(folder: Path, name: str) -> str:
    """Writes the configuration and the inputs of one torch class; the reason where it cannot."""
    class_name, _, variant = name.partition("@")
    torch_class = getattr(transformers, class_name, None)
    if torch_class is None:
        return f"transformers {transformers.__version__} has no {class_name}"
    found = fit(torch_class)
    changes = _changes(class_name, variant)
    if changes and found.problem is None:
        found = fit(torch_class, _changed(found.built_config, changes))
    if found.problem is not None:
        return f"torch: {type(found.problem).__name__}: {str(found.problem).splitlines()[0]}"
    inputs = make_inputs(found.scene(masks=not found.bare))
    arrays = {key: np.array(value) for key, value in inputs.items()}
    for mask in (value for key, value in arrays.items() if key.endswith("attention_mask")):
        # v4's sums over nothing were its own: rows are padded on the right, and none is all padding
        mask[~mask.any(-1)] = 1
        mask[:] = -np.sort(-mask, axis=-1)
    floats = {key: value.astype("float32") for key, value in arrays.items() if value.dtype == "f8"}
    where = folder / name
    where.mkdir(parents=True, exist_ok=True)
    np.savez(where / "inputs.npz", **{**arrays, **floats})
    found.built_config.save_pretrained(where)
    return ""


def _changes(name: str, variant: str) -> dict[str, Any]:
    """The fields that are not as they fit by themselves; `a.b` is one of an inner configuration."""
    needed = (each for start, each in NEEDED.items() if name.startswith(start))
    further = [VARIANTS[name][int(variant) - 1]] if variant else []
    return {key: value for each in (*needed, *further) for key, value in each.items()}


def _changed(config: Any, changes: Mapping[str, Any]) -> Any:
    fields = copy.deepcopy(config)
    for path, value in changes.items():
        *inner, name = path.split(".")
        setattr(functools.reduce(getattr, inner, fields), name, value)
    return type(config).from_dict(fields.to_dict())


def main() -> None:
    folder, *names = sys.argv[1:]
    for name in names:
        try:
            problem = give(Path(folder), name)
        except Exception as error:  # one class must not stop the others
            problem = f"{type(error).__name__}: {error}"
        print(json.dumps({"class": name, "problem": problem}), flush=True)


if __name__ == "__main__":
    main()
