"""A second call with the cache of the first gives what torch's second call gives."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
import transformers

from keraform.checkpoints import load_torch_state
from keraform.verify.tiny import shrink_config

CASES = {
    "gpt2": ("GPT2LMHeadModel", "past_key_values"),
    "llama": ("LlamaForCausalLM", "past_key_values"),
    "mamba": ("MambaForCausalLM", "cache_params"),
}


@pytest.mark.parametrize("model_type", CASES)
def test_second_call_with_a_cache(model_type):
    name, cache = CASES[model_type]
    torch_class = getattr(transformers, name)
    config = shrink_config(torch_class.config_class, name)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    twin = torch_class(config).eval()
    port = getattr(importlib.import_module(f"keraform.models.{model_type}"), f"TF{name}")(config)
    load_torch_state(port, {key: value.numpy() for key, value in twin.state_dict().items()})
    ids = np.random.default_rng(0).integers(3, config.vocab_size, (2, 7))

    with torch.no_grad():
        first = twin(torch.tensor(ids[:, :5]), use_cache=True)
        steps = [first.logits]
        for index in (5, 6):
            step = twin(torch.tensor(ids[:, index : index + 1]), **{cache: first[cache]})
            steps.append(step.logits)
    ours = port(ids[:, :5], use_cache=True)
    kept = ours[cache]
    got = [ours.logits]
    for index in (5, 6):
        got.append(port(ids[:, index : index + 1], **{cache: kept}, use_cache=True).logits)
    for expected, output in zip(steps, got, strict=True):
        np.testing.assert_allclose(np.asarray(output), expected.numpy(), atol=1e-5)
    whole = port(ids, use_cache=False).logits
    np.testing.assert_allclose(np.asarray(got[-1])[:, 0], np.asarray(whole)[:, -1], atol=1e-5)
