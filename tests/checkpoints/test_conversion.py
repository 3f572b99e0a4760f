"""Old key names: Transformers' rules give the same keys and tensors here as there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import conversion_mapping, core_model_loading

from keraform.checkpoints import upstream
from keraform.checkpoints.conversion import convert, revert
from keraform.checkpoints.operations import Unknown
from keraform.checkpoints.renames import (
    Converter,
    GroupRename,
    LayerPairCollapse,
    PrefixChange,
    Rename,
    UnknownRename,
)
from keraform.checkpoints.tensors import in_memory
from keraform.checkpoints.upstream import conversions
from keraform.errors import KeraformError

KEYS = [
    "bert.embeddings.LayerNorm.gamma",
    "LayerNorm.beta",
    "model.layers.3.block_sparse_moe.experts.7.w1.weight",
    "model.layers.3.block_sparse_moe.gate.weight",
    "model.layers.3.mlp.experts.7.gate_proj.weight",
    "vit.encoder.layer.1.attention.attention.query.weight",
    "encoder.layer.1.attention.output.dense.bias",
    "embeddings.patch_embeddings.projection.weight",
    "vision_model.encoder.layers.0.mlp.fc1.weight",
    "text_model.embeddings.token_embedding.weight",
    "language_model.model.layers.0.self_attn.q_proj.weight",
    "model.language_model.layers.0.mlp.up_proj.weight",
    "backbone.conv_encoder.model.layer1.0.conv1.weight",
    "transformer.decoder.layers.2.norm1.weight",
    "model.encoder.layers.1.fc1.weight",
    "pos_conv_embed.conv.weight_g",
    "swin.encoder.layers.0.blocks.1.attention.self.query.weight",
    "decode_head.linear_c.0.proj.weight",
    "stages.0.blocks.1.layer_norm.weight",
    "layer.0.norm0.weight",
    "layer.0.norm1.weight",
    "roberta.encoder.layer.0.attention.self.value.bias",
    "backbone.layers.4.mixer.q_proj.weight",
    "backbone.layers.5.mixer.up_proj.weight",
    "layers.5.mlp_alpha",
]


def test_every_rule_of_upstream_is_expressed():
    table = conversions()
    theirs = conversion_mapping._build_checkpoint_conversion_mapping()
    assert table.keys() == theirs.keys()
    for name, rules in table.items():
        assert len(rules) == len(theirs[name]), name
        assert not [rule.reason for rule in rules if isinstance(rule, UnknownRename)], name


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_renames_agree_with_upstream(direction):
    theirs = conversion_mapping._build_checkpoint_conversion_mapping()
    compared = 0
    for name, rules in conversions().items():
        for mine, other in zip(rules, theirs[name], strict=True):
            if direction == "backwards":
                try:
                    other = other.reverse_transform()
                except (ValueError, AttributeError, NotImplementedError):
                    continue
                mine = mine.reversed()
            for key in KEYS:
                assert mine.apply(key) == other.rename_source_key(key), (name, mine.source_patterns)
                compared += 1
    assert compared > 5000


def test_scopes_agree_with_upstream():
    other = core_model_loading.WeightRenaming(r"^norm\.", "layer_norm.")
    other.scope_prefix, other.base_model_prefix = "decoder", "model"
    mine = Rename(r"^norm\.", "layer_norm.").scoped("model", "decoder")
    for key in (
        "model.decoder.norm.weight",
        "decoder.norm.weight",
        "norm.weight",
        "model.norm.weight",
    ):
        assert mine.apply(key) == other.rename_source_key(key)


def experts(count: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    start = "model.layers.0.block_sparse_moe"
    state = {f"{start}.gate.weight": rng.standard_normal((count, 4))}
    for index in range(count):
        for name, shape in (("w1", (5, 4)), ("w2", (4, 5)), ("w3", (5, 4))):
            state[f"{start}.experts.{index}.{name}.weight"] = rng.standard_normal(shape)
    return state


def test_experts_are_merged_and_split_again():
    state = experts(count=11)  # ten and more: 10 comes after 9, not after 1
    shapes = {
        "model.layers.0.mlp.gate.weight": (11, 4),
        "model.layers.0.mlp.experts.gate_up_proj": (11, 10, 4),
        "model.layers.0.mlp.experts.down_proj": (11, 4, 5),
    }
    rules = conversions()["mixtral"]
    found = convert(in_memory(state), rules, shapes, "model", None)
    assert not found.errors and {k: t.shape for k, t in found.tensors.items()} == shapes
    merged = found.tensors["model.layers.0.mlp.experts.gate_up_proj"].read()
    start = "model.layers.0.block_sparse_moe.experts"
    for index in range(11):
        expected = [state[f"{start}.{index}.{name}.weight"] for name in ("w1", "w3")]
        assert np.array_equal(merged[index], np.concatenate(expected))
    back = revert(found.tensors, rules, None)
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[key].read(), value) for key, value in state.items())


OPERATIONS = [
    ("Chunk", {"dim": 0}, ["a"], ["b", "c"], [(4, 3)]),
    ("Concatenate", {"dim": 1}, ["a", "b"], ["c"], [(2, 3), (2, 1)]),
    ("Interleave", {"dim": 1}, ["a"], ["b"], [(2, 6)]),
    ("Interleave", {"dim": 0, "inverse": True}, ["a"], ["b"], [(6, 2)]),
    ("Transpose", {"dim0": 1, "dim1": 2}, ["a"], ["b"], [(2, 3, 4)]),
    ("PermuteForRope", {}, ["a"], ["b"], [(8, 3)]),
    ("PermuteForRope", {"inverse": True}, ["a"], ["b"], [(8,)]),
]


@pytest.mark.parametrize("name, arguments, sources, targets, shapes", OPERATIONS)
def test_operations_agree_with_upstream(name, arguments, sources, targets, shapes):
    from types import SimpleNamespace

    from keraform.checkpoints import operations

    config = SimpleNamespace(num_attention_heads=2)
    rng = np.random.default_rng(0)
    arrays = {key: rng.standard_normal(shape) for key, shape in zip(sources, shapes, strict=True)}
    context = operations.Context(sources, targets, "b", config, {})
    mine = getattr(operations, name)(**arguments)
    found = mine.convert({key: [value] for key, value in arrays.items()}, context)
    theirs = getattr(core_model_loading, name)(**arguments).convert(
        {key: [torch.tensor(value)] for key, value in arrays.items()},
        source_patterns=sources,
        target_patterns=targets,
        config=config,
    )
    assert found.keys() == theirs.keys()
    for key, value in theirs.items():
        assert np.array_equal(found[key][0], value.numpy())
    assert type(mine.reversed().reversed()) is type(mine)


def test_what_cannot_be_expressed_is_reported():
    rule = Converter("old.weight", "new.weight", [Unknown("FoldTheMoon")])
    state = in_memory({"old.weight": np.ones(2)})
    found = convert(state, [rule], {"new.weight": (2,)}, "", None)
    assert found.errors == {"old.weight": "Keraform has no counterpart of FoldTheMoon"}
    assert list(found.tensors) == ["old.weight"]


def test_a_rule_without_a_counterpart_is_reported():
    """The keys that it may have renamed say so; the others are loaded."""
    state = in_memory({"old.weight": np.ones(2), "new.bias": np.ones(2)})
    rules = [UnknownRename("FoldTheMoon")]
    found = convert(state, rules, {"new.weight": (2,), "new.bias": (2,)}, "", None)
    assert found.errors == {"old.weight": "Keraform has no counterpart of FoldTheMoon"}
    assert list(found.tensors) == ["new.bias", "old.weight"]


def test_rules_that_upstream_makes_are_told_from_operations(monkeypatch, tmp_path):
    table = tmp_path / "conversion_mapping.py"
    table.write_text(
        "_MODEL_TO_CONVERSION_PATTERN = {}\n"
        "def _build_checkpoint_conversion_mapping():\n"
        "    operation = WeightConverter('a', 'b', operations=[Fold()])\n"
        "    mapping = {'x': [FoldTheMoon(), operation]}\n"
        "    first = mapping['x'][1]._original_source_patterns[0]\n"
        "    return {**mapping, first: []}\n"
    )
    monkeypatch.setattr(upstream, "_source", lambda: table)
    found = upstream.conversions.__wrapped__()
    assert found.keys() == {"x", "a"}
    assert found["x"][0].reason == "Keraform has no counterpart of FoldTheMoon"
    assert found["x"][1].operations == [Unknown("Fold", {"args": ()})]


def test_two_blocks_become_a_layer():
    rule = LayerPairCollapse()
    assert rule.apply("layers.2.mixer.q_proj.weight")[0] == "layers.1.self_attn.q_proj.weight"
    assert rule.apply("layers.3.mixer.up_proj.weight")[0] == "layers.1.mlp.up_proj.weight"
    assert rule.apply("layers.3.attn_alpha")[0] == "layers.1.lambda_1"
    assert rule.apply("layers.3.norm.weight") == ("layers.3.norm.weight", None)


def test_two_tensors_for_one_weight_are_an_error():
    state = in_memory({"a.gamma": np.ones(2), "a.weight": np.ones(2)})
    with pytest.raises(KeraformError, match=r"a.gamma and a.weight"):
        convert(state, [Rename("gamma", "weight")], {"a.weight": (2,)}, "", None)


def test_prefixes_and_groups():
    assert PrefixChange(prefix_to_remove="text_model").apply("text_model.a.b")[0] == "a.b"
    assert PrefixChange(prefix_to_add="timm_model").apply("a.b")[0] == "timm_model.a.b"
    group = GroupRename(["norm0", "norm1"], ["norm1", "norm2"])
    assert group.apply("norm1.weight")[0] == "norm1.weight"
    assert group.apply("norm0.weight")[0] == "norm1.weight"
    assert group.apply("norm1.weight")[0] == "norm2.weight"
