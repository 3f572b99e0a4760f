"""Adapters of LoRA, against PEFT itself."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertConfig, GPT2Config

import keraform
from keraform.errors import KeraformError
from keraform.runtime.layers.lora import has_lora
from keraform.runtime.tree import named_layers, read

# PEFT's own
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning",
    "ignore:Setting `save_embedding_layers`:UserWarning",
    "ignore:Model has `tie_word_embeddings:UserWarning",
    "ignore:Could not find a config file:UserWarning",
)
BERT = BertConfig(
    vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20
)
GPT2 = GPT2Config(
    vocab_size=31, n_embd=16, n_layer=2, n_head=2, n_positions=12, bos_token_id=0, eos_token_id=0
)
CLASSIFIER, GENERATOR = "BertForSequenceClassification", "GPT2LMHeadModel"
IDS = np.array([[1, 2, 3, 19], [4, 30, 0, 7]])
CASES = {
    "list": (
        CLASSIFIER,
        {
            "r": 4,
            "target_modules": ["query", "value"],
            "lora_alpha": 16,
            "use_rslora": True,
            "rank_pattern": {"layer.1.attention.self.query": 2},
            "alpha_pattern": {"value": 3},
            "bias": "lora_only",
            "task_type": "SEQ_CLS",
        },
    ),
    "regex": (
        CLASSIFIER,
        {
            "r": 3,
            "target_modules": r".*layer\.1\.(intermediate|output)\.dense",
            "bias": "all",
            "modules_to_save": ["classifier"],
        },
    ),
    "all linear": (CLASSIFIER, {"r": 2, "target_modules": "all-linear", "task_type": "SEQ_CLS"}),
    "table": (CLASSIFIER, {"r": 2, "target_modules": ["word_embeddings", "key"]}),
    "Conv1D": (
        GENERATOR,
        {
            "r": 2,
            "target_modules": ["c_attn", "c_proj"],
            "fan_in_fan_out": True,
            "layers_to_transform": [1],
            "modules_to_save": ["ln_f"],
        },
    ),
    "tied table and head": (GENERATOR, {"r": 2, "target_modules": ["wte", "lm_head"]}),
    "tied table": (GENERATOR, {"r": 2, "target_modules": ["wte"]}),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints of both classes with random biases and norms."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    for name, config in ((CLASSIFIER, BERT), (GENERATOR, GPT2)):
        model = getattr(transformers, name)(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(folder / name)
    return folder


def port(folder, name, **kwargs):
    return getattr(keraform, f"TF{name}").from_pretrained(folder / name, **kwargs)


def with_peft(folder, name, given):
    """PEFT's model with a random adapter."""
    base = getattr(transformers, name).from_pretrained(folder / name)
    model = get_peft_model(base, LoraConfig(**given), autocast_adapter_dtype=False)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def trained(model):
    """How many numbers are trained."""
    if isinstance(model, torch.nn.Module):
        return sum(each.numel() for each in model.parameters() if each.requires_grad)
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def logits(model):
    if isinstance(model, torch.nn.Module):
        with torch.no_grad():
            return model(input_ids=torch.tensor(IDS)).logits.numpy()
    return np.asarray(model({"input_ids": IDS}).logits)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case, marks=[] if case in ("list", "tied table and head") else pytest.mark.slow
        )
        for case in CASES
    ],
)
def test_adapters_are_pefts(case, checkpoints, tmp_path):
    name, given = CASES[case]
    theirs = with_peft(checkpoints, name, given)
    theirs.save_pretrained(tmp_path / "peft")
    ours = port(checkpoints, name)
    plain = logits(ours)
    ours.load_adapter(tmp_path / "peft")
    assert abs(logits(ours) - plain).max() > 1e-2, "the adapter changes nothing"
    assert abs(logits(ours) - logits(theirs)).max() < 1e-5 * abs(logits(theirs)).max()
    assert not ours.trainable_variables

    exact = port(checkpoints, name, dtype="float64")
    exact.load_adapter(tmp_path / "peft", is_trainable=True)
    assert abs(logits(exact) - logits(theirs.double())).max() < 1e-9 * abs(logits(theirs)).max()
    assert trained(exact) == trained(theirs)

    ours.save_adapter(tmp_path / "ours")
    base = getattr(transformers, name).from_pretrained(checkpoints / name)
    again = PeftModel.from_pretrained(base, tmp_path / "ours")
    assert abs(logits(ours) - logits(again.eval())).max() < 1e-5 * abs(logits(again)).max()

    fresh = port(checkpoints, name)
    given = {**given, "rank": given["r"]}
    paths = fresh.enable_lora(
        **{key: value for key, value in given.items() if key not in ("r", "fan_in_fan_out")}
    )
    assert set(paths) == {
        path.removeprefix("base_model.model.")
        for path, module in theirs.named_modules()
        if hasattr(module, "lora_A")
    }
    assert trained(fresh) == trained(theirs)
    assert np.array_equal(logits(fresh), plain), "a new adapter changes nothing"


def test_lora_learns_and_is_merged_into_files(checkpoints, tmp_path):
    keras.utils.set_random_seed(0)
    model = port(checkpoints, CLASSIFIER)
    before = {v.path: keras.ops.convert_to_numpy(read(v)) for v in model.weights}
    model.enable_lora(2, ["query", "word_embeddings"], lora_dropout=0.2, modules_to_save=["pooler"])
    assert sorted({v.path.split("/")[-1] for v in model.trainable_variables}) == [
        "bias",
        "kernel",
        "lora_embeddings_a",
        "lora_embeddings_b",
        "lora_kernel_a",
        "lora_kernel_b",
    ]
    assert any(v.path.endswith("layer/1/attention/self/query/lora_kernel_a") for v in model.weights)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    labels = np.array([0, 1])
    history = model.fit({"input_ids": IDS}, labels, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    moved = {
        v.path
        for v in model.weights
        if v.path in before and (before[v.path] != keras.ops.convert_to_numpy(read(v))).any()
    }
    assert moved and all("/pooler/" in path for path in moved)
    learnt = logits(model)
    model.save_pretrained(tmp_path / "merged")
    reference = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert abs(logits(reference.eval()) - learnt).max() < 1e-4
    model.save(tmp_path / "model.keras")
    kept = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert abs(logits(kept) - learnt).max() < 1e-4
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    assert abs(logits(model) - learnt).max() < 1e-4
    with pytest.raises(KeraformError, match=r"merge_lora on a TFBertFor.*that was trained"):
        model.merge_lora()
    model.optimizer = None
    model.merge_lora()
    assert not any(has_lora(layer) for _, layer in named_layers(model))
    assert abs(logits(model) - learnt).max() < 1e-4


def test_what_is_not_plain_lora_is_refused_by_name(checkpoints, tmp_path):
    model = port(checkpoints, CLASSIFIER)
    config = tmp_path / "adapter_config.json"
    for fields, words in (
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
        ({"peft_type": "LORA", "use_dora": True}, "DoRA"),
        ({"peft_type": "LORA", "trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"peft_type": "LORA", "init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"peft_type": "LORA", "something_new": 3}, "something_new=3"),
    ):
        config.write_text(json.dumps(fields))
        with pytest.raises(KeraformError, match=words):
            model.load_adapter(tmp_path)
    other = with_peft(
        checkpoints, GENERATOR, {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    )
    other.save_pretrained(tmp_path / "gpt2")
    with pytest.raises(KeraformError, match=r"an adapter of TFBert(.|\n)*transformer\.h\.0\.attn"):
        model.load_adapter(tmp_path / "gpt2")
    with pytest.raises(KeraformError, match=r"matches none of TFBertForSeq(.|\n)*dense, key"):
        model.enable_lora(4, ["q_proj"])
    with pytest.raises(KeraformError, match=r"bert.embeddings.LayerNorm, a LayerNormalization"):
        model.enable_lora(4, ["embeddings.LayerNorm"])
    with pytest.raises(KeraformError, match="rank=0"):
        model.enable_lora(0, ["query"])
    with pytest.raises(KeraformError, match=r"options among (.|\n)*use_dora"):
        model.enable_lora(4, ["query"], use_dora=True)
    with pytest.raises(KeraformError, match="a model with an adapter"):
        port(checkpoints, CLASSIFIER).save_adapter(tmp_path)
    tied = port(checkpoints, GENERATOR)
    tied.enable_lora(2, ["wte"])
    for save in (tied.save_pretrained, lambda path: tied.save(path / "model.keras")):
        with pytest.raises(KeraformError, match="whose weight is tied to another layer's"):
            save(tmp_path / "gpt2")
    with pytest.raises(KeraformError, match="a model that has one"):
        tied.enable_lora(2, ["c_attn"])
