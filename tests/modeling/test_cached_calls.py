"""A second call with the cache of the first gives what torch's second call gives."""

from __future__ import annotations

import importlib
import inspect
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import transformers

from keraform.checkpoints import load_torch_state
from keraform.verify.drives import CACHE_NAMES
from keraform.verify.tiny import shrink_config

CASES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "mamba": "MambaForCausalLM"}


@pytest.mark.parametrize("model_type", CASES)
def test_second_call_with_a_cache(model_type):
    name = CASES[model_type]
    torch_class = getattr(transformers, name)
    parameters = inspect.signature(torch_class.forward).parameters
    cache = next(each for each in CACHE_NAMES if each in parameters)
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


@pytest.mark.parametrize("model_type", CASES)
def test_the_cache_goes_by_the_names_that_the_installed_release_takes(model_type):
    """An older name that torch's model takes with a warning, the port takes so too."""
    name = CASES[model_type]
    torch_class = getattr(transformers, name)
    config = shrink_config(torch_class.config_class, name)
    port = getattr(importlib.import_module(f"keraform.models.{model_type}"), f"TF{name}")(config)
    source = inspect.getsource(inspect.unwrap(torch_class.forward))
    ids = np.random.default_rng(0).integers(3, config.vocab_size, (2, 7))
    wanted = np.asarray(port(ids, use_cache=False).logits)[:, -1]
    known = 0
    for cache in CACHE_NAMES:
        in_signature = cache in inspect.signature(torch_class.forward).parameters
        if not in_signature and f'deprecate_kwarg("{cache}"' not in source:
            continue
        known += 1
        first = port(ids[:, :6], use_cache=True)
        expectation = nullcontext() if in_signature else pytest.warns(FutureWarning, match=cache)
        with expectation:
            second = port(ids[:, 6:], **{cache: first[cache]})
        np.testing.assert_allclose(np.asarray(second.logits)[:, -1], wanted, atol=1e-5)
    assert known
