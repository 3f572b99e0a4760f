"""Writes contrastive.json: what contrastive search of Transformers 4.57.6 chooses.

Run with a Python that has transformers 4.57.6, tensorflow 2.20 and tf-keras 2.20:

    python tests/generation/record_contrastive.py
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import transformers
from safetensors.numpy import load_file
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

sys.path.insert(0, str(Path(__file__).parent))
from contrastive_models import CONFIGS, write

OPTIONS = (
    {"penalty_alpha": 0.6, "top_k": 4},
    {"penalty_alpha": 0.9, "top_k": 7},
    {"penalty_alpha": 0.3, "top_k": 3, "repetition_penalty": 1.3},
)


def load(name: str, folder: Path) -> transformers.TFPreTrainedModel:
    """The TensorFlow class with the weights that the checkpoint holds."""
    write(name, folder)
    model_class = getattr(transformers, f"TF{name}")
    model = model_class(model_class.config_class.from_pretrained(folder))
    weights = load_file(folder / "model.safetensors")
    # from_pretrained gives an archive, which does not open with the safetensors of today
    model, found = load_pytorch_state_dict_in_tf2_model(
        model, weights, allow_missing_keys=True, output_loading_info=True
    )
    assert not found["unexpected_keys"], found
    return model


def main() -> None:
    """Records two rows for each class and set of options."""
    prompt = np.random.default_rng(0).integers(2, 90, (2, 6))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in CONFIGS:
            model = load(name, Path(folder) / name)
            for options in OPTIONS:
                tokens = model.generate(prompt, max_new_tokens=16, **options)
                found.append({"class": name, "options": options, "tokens": tokens.numpy().tolist()})
    record = {"transformers": transformers.__version__, "prompt": prompt.tolist(), "found": found}
    (Path(__file__).parent / "contrastive.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
