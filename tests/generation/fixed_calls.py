"""Tokens of compiled decoding beside those of torch, one model type after the other.

`python tests/generation/fixed_calls.py llama mamba ...` prints a JSON line for each type; the
backend is Keras's (`KERAS_BACKEND`).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from keras import ops

from keraform.runtime.tree import named_layers
from keraform.verify.cases import Case
from keraform.verify.drives import torch_values
from keraform.verify.inputs import Inputs
from keraform.verify.lift import torch_precision
from keraform.verify.port import keras_precision, keras_values
from keraform.verify.rungs.speaks import NOT_FOR_A_SEARCH, left_padded, prompt_of
from keraform.verify.targets import type_cases

DTYPE = "float64"  # with casts lifted: tokens are equal or wrong, never tied
NEW_TOKENS = 6
# The heads that generate text, the likeliest first.
HEADS = ("ForConditionalGeneration", "ForCausalLM", "LMHeadModel", "MTModel", "Generation", "")


def generating_case(model_type: str) -> Case:
    """The case of the class of a type that generates text."""
    cases = [case for case in type_cases(model_type) if case.torch_class.can_generate()]
    return next(case for head in HEADS for case in cases if head in case.torch_class.__name__)


class Pair:
    """A torch model and its port, in float64, that end no sequence early.

    Args:
        model_type: whose class generates.
    """

    def __init__(self, model_type: str) -> None:
        case = generating_case(model_type)
        self.torch = case.twin.build(DTYPE, True).eval()
        self.keras = case.port.build(DTYPE, True)
        for model in (self.torch, self.keras):
            model.generation_config.eos_token_id = None
            for name in ("pad_token_id", "bos_token_id"):
                if getattr(model.generation_config, name) is None:
                    setattr(model.generation_config, name, 0)
        self.prompt = {
            name: value
            for name, value in _prompt_of(case.variants[-1].inputs).items()
            if not name.startswith("decoder_") and name not in NOT_FOR_A_SEARCH
        }

    def prompts(self) -> dict[str, Inputs]:
        """Prompts by what is special about them."""
        found = {"whole": self.prompt}
        if "input_ids" in self.prompt:
            found["left-padded"] = left_padded(self.torch, self.prompt)[0]
        if set(self.prompt) == {"input_ids"}:
            found["shorter"] = {"input_ids": self.prompt["input_ids"][:, :-2]}
        return found

    def wanted(self, prompt: Inputs, **options: Any) -> np.ndarray:
        """Torch's tokens."""
        with torch_precision(DTYPE, True), torch.no_grad():
            given = torch_values(dict(prompt), torch.float64)
            return self.torch.generate(**given, **_greedy(options)).numpy()

    def got(self, prompt: Inputs, **options: Any) -> np.ndarray:
        """The port's tokens."""
        with keras_precision(DTYPE, True):
            given = keras_values(dict(prompt), DTYPE)
            return np.array(ops.convert_to_numpy(self.keras.generate(**given, **_greedy(options))))

    def programs(self) -> int:
        """How many programs the port, or a model inside of it, has compiled."""
        models = [layer for _, layer in named_layers(self.keras)]
        return sum(len(vars(each).get("_generation_programs", ())) for each in models)


def _prompt_of(inputs: Inputs) -> Inputs:
    """Rows of real tokens; all of them where images are not rows."""
    found = prompt_of(inputs)
    flat = any("grid" in name for name in found)
    return {name: inputs[name] if flat else value for name, value in found.items()}


def _greedy(options: dict[str, Any]) -> dict[str, Any]:
    return {"max_new_tokens": NEW_TOKENS, "do_sample": False, **options}


def outcomes(model_type: str) -> dict[str, str]:
    """For each prompt of a type "equal", what torch says against it, or what is wrong."""
    pair = Pair(model_type)
    found = {}
    for name, prompt in pair.prompts().items():
        try:
            wanted = pair.wanted(prompt)
        except Exception as error:
            found[name] = f"torch: {error}"
            continue
        got = pair.got(prompt)
        if got.shape != wanted.shape or (got != wanted).any():
            found[name] = f"expected {wanted.tolist()}, got {got.tolist()}"
        else:
            found[name] = "equal" if pair.programs() else "equal, not compiled"
    return found


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(json.dumps({"type": each, **outcomes(each)}), flush=True)
