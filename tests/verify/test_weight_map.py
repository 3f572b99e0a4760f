"""Weight maps: pairs by names, shapes and order, layouts, what is left over, the user's word."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keraform.errors import KeraformError
from keraform.verify.handwritten.likeness import alike, ranked, words_of
from keraform.verify.handwritten.weight_map import WeightMap, doubtful, guess, read_map
from keraform.verify.handwritten.weight_pairs import Weight, WeightPair, part_key, read_key


def linear(name: str, rows: int, columns: int) -> list[Weight]:
    return [
        Weight(f"{name}.weight", (rows, columns), "Linear"),
        Weight(f"{name}.bias", (rows,), "Linear"),
    ]


def dense(name: str, rows: int, columns: int) -> list[Weight]:
    return [
        Weight(f"{name}.kernel", (columns, rows), "Dense"),
        Weight(f"{name}.bias", (rows,), "Dense"),
    ]


def partners(found: WeightMap) -> dict[str, tuple[str, ...]]:
    return {pair.keras: pair.torch for pair in found.pairs}


def layouts(found: WeightMap) -> dict[str, str]:
    return {pair.keras: pair.layout for pair in found.pairs}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("encoder.layer.0.attention.query", "encoder/layer_0/attn/q_proj"),
        ("h.1.ln_2", "blocks.1.layernorm2"),
        ("wte", "token_embedding"),
        ("lstm.weight_hh_l0_reverse", "lstm.backward.recurrent"),
    ],
)
def test_abbreviations_are_alike(one: str, other: str) -> None:
    assert alike(words_of(one), words_of(other)) > 0.6


def test_counting_from_zero_one_or_nine_is_the_same() -> None:
    zero = ranked(["fc.0.weight", "fc.1.weight"])
    nine = ranked(["fc.9.weight", "fc.10.weight"])
    assert list(zero.values()) == list(nine.values())


def test_names_decide_among_equal_shapes_in_another_order() -> None:
    torch = [*linear("attn.query", 6, 6), *linear("attn.key", 6, 6), *linear("attn.value", 6, 6)]
    keras = [*dense("attention.v", 6, 6), *dense("attention.q", 6, 6), *dense("attention.k", 6, 6)]
    found = guess(torch, keras)
    assert partners(found) == {
        "attention.q.kernel": ("attn.query.weight",),
        "attention.q.bias": ("attn.query.bias",),
        "attention.k.kernel": ("attn.key.weight",),
        "attention.k.bias": ("attn.key.bias",),
        "attention.v.kernel": ("attn.value.weight",),
        "attention.v.bias": ("attn.value.bias",),
    }
    assert set(layouts(found).values()) == {"kernel", "same"}
    assert layouts(found)["attention.q.kernel"] == "kernel"
    assert not any(map(doubtful, found.pairs))


def test_order_and_neighbours_decide_among_automatic_names() -> None:
    torch = [*linear("a", 6, 4), *linear("b", 6, 6), *linear("c", 6, 6), *linear("d", 6, 5)]
    keras = [
        *dense("dense_3", 6, 4), *dense("dense_4", 6, 5), *dense("dense_5", 6, 6),
        *dense("dense_6", 6, 6),
    ]  # fmt: skip
    found = partners(guess(torch, keras))
    wanted = {"dense_3": "a", "dense_4": "d", "dense_5": "b", "dense_6": "c"}
    for layer, module in wanted.items():
        assert found[f"{layer}.kernel"] == (f"{module}.weight",)
        assert found[f"{layer}.bias"] == (f"{module}.bias",)


def test_an_own_square_weight_is_a_guess_that_is_shown_as_doubtful() -> None:
    (pair,) = guess([Weight("mix", (5, 5))], [Weight("layer.matrix", (5, 5))]).pairs
    assert pair.other_layouts == ("kernel",)
    assert doubtful(pair)
    assert "guess" in pair.reason


def test_an_embedding_is_taken_as_it_is() -> None:
    torch, keras = Weight("e.weight", (5, 5), "Embedding"), Weight("t.embeddings", (5, 5), "Embed")
    (pair,) = guess([torch], [keras]).pairs
    assert pair.layout == "same"
    assert not doubtful(pair)


def test_tied_tensors_count_once_and_serve_two_variables() -> None:
    tied = [
        Weight("wte.weight", (7, 4), "Embedding"),
        Weight("head.weight", (7, 4), "Linear", alias="wte.weight"),
    ]
    one = guess(tied, [Weight("embed.embeddings", (7, 4), "Embedding")])
    assert not one.torch_left
    two = guess(
        tied,
        [Weight("embed.embeddings", (7, 4), "Embedding"), Weight("out.kernel", (4, 7), "Dense")],
    )
    assert partners(two)["out.kernel"] == ("head.weight",)
    assert layouts(two) == {"embed.embeddings": "same", "out.kernel": "kernel"}


def test_a_fused_projection_falls_apart_and_others_of_its_shape_do_not() -> None:
    torch = [*linear("mlp.up", 12, 4), *linear("attn.c_attn", 12, 4)]
    names = ("query", "key", "value")
    keras = [each for name in names for each in dense(f"attention.{name}", 4, 4)]
    found = partners(guess(torch, [*keras, *dense("ff", 12, 4)]))
    assert found["ff.kernel"] == ("mlp.up.weight",)
    assert found["attention.key.kernel"] == (part_key("attn.c_attn.weight", 1, 3),)


def test_separate_projections_join() -> None:
    torch = [each for name in ("q", "k", "v") for each in linear(f"attn.{name}_proj", 4, 6)]
    (kernel, bias) = guess(torch, dense("attention.qkv", 12, 6)).pairs
    assert kernel.torch == ("attn.q_proj.weight", "attn.k_proj.weight", "attn.v_proj.weight")
    assert (kernel.combine, kernel.layout) == ("join", "kernel")
    state = {each.name: np.random.default_rng(0).normal(size=each.shape) for each in torch}
    value = kernel.value(state, (6, 12))
    np.testing.assert_array_equal(value[:, 4:8], state["attn.k_proj.weight"].T)
    assert bias.combine == "join"


def test_gates_and_biases_of_recurrent_layers() -> None:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    shapes = ((12, 3), (12, 4), (12,), (12,))
    gru = [Weight(f"gru.{n}", s, "GRU") for n, s in zip(names, shapes, strict=True)]
    keras = [
        Weight("rnn.cell.kernel", (3, 12), "GRUCell"),
        Weight("rnn.cell.recurrent_kernel", (4, 12), "GRUCell"),
        Weight("rnn.cell.bias", (2, 12), "GRUCell"),
    ]
    found = {pair.keras: pair for pair in guess(gru, keras).pairs}
    bias = found["rnn.cell.bias"]
    assert (bias.torch, bias.combine) == (("gru.bias_ih_l0", "gru.bias_hh_l0"), "stack")
    state = {each.name: np.random.default_rng(1).normal(size=each.shape) for each in gru}
    kernel = found["rnn.cell.kernel"].value(state, (3, 12))
    np.testing.assert_array_equal(kernel[:, :4], state["gru.weight_ih_l0"].T[:, 4:8])
    np.testing.assert_array_equal(bias.value(state, (2, 12))[1, 8:], state["gru.bias_hh_l0"][8:])


@pytest.mark.parametrize(
    ("torch", "keras", "layout"),
    [
        (Weight("c.weight", (5, 3, 2, 2), "Conv2d"), (2, 2, 3, 5), "kernel"),
        (Weight("c.weight", (5, 3, 4), "Conv1d"), (4, 3, 5), "kernel"),
        (Weight("c.weight", (3, 5, 2, 2), "ConvTranspose2d"), (2, 2, 5, 3), "kernel"),
        (Weight("c.weight", (6, 8), "Linear"), (8, 2, 3), "kernel"),
    ],
)
def test_kernels_by_shape(torch: Weight, keras: tuple[int, ...], layout: str) -> None:
    (pair,) = guess([torch], [Weight("c.kernel", keras, "Some")]).pairs
    assert pair.layout == layout
    value = np.random.default_rng(0).normal(size=torch.shape)
    got = pair.value({torch.name: value}, keras)
    axes = (*range(2, value.ndim), 1, 0)
    np.testing.assert_array_equal(got.reshape(-1), value.transpose(axes).reshape(-1))


def test_a_depthwise_kernel_keeps_its_multiplier() -> None:
    torch = Weight("d.weight", (6, 1, 2, 2), "Conv2d")
    (pair,) = guess([torch], [Weight("d.depthwise_kernel", (2, 2, 3, 2), "DepthwiseConv2D")]).pairs
    value = np.random.default_rng(0).normal(size=torch.shape)
    got = pair.value({"d.weight": value}, (2, 2, 3, 2))
    np.testing.assert_array_equal(got[:, :, 1, 0], value[2, 0])


def test_what_fits_nothing_is_left_over_and_a_conflict_is_said() -> None:
    found = guess(linear("head", 5, 4), [*dense("head", 6, 4), Weight("extra", (9,))])
    assert found.torch_left == ["head.weight", "head.bias"]
    assert found.keras_left == ["head.kernel", "head.bias", "extra"]
    assert "head.weight [5, 4] and head.kernel [4, 6] are called alike" in found.remarks[0]


def test_a_batch_counter_is_not_missed() -> None:
    counter = Weight("bn.num_batches_tracked", (), "BatchNorm2d", False)
    assert guess([counter], []).torch_left == []


def test_the_users_word_stands_and_the_rest_is_guessed(tmp_path: Path) -> None:
    torch, keras = [*linear("a", 4, 4), *linear("b", 4, 4)], [*dense("a", 4, 4), *dense("b", 4, 4)]
    file = tmp_path / "map.json"
    told = {"pairs": [{"torch": ["b.weight"], "keras": "a.kernel", "layout": "same"}]}
    file.write_text(json.dumps(told), "utf-8")
    found = guess(torch, keras, read_map(str(file), torch, keras))
    assert found.pairs[0] == WeightPair("a.kernel", ("b.weight",), "same", reason="given")
    assert partners(found)["b.kernel"] == ("a.weight",)
    file.write_text(json.dumps(found.to_json()), "utf-8")
    again = read_map(str(file), torch, keras)
    assert [(p.keras, p.torch, p.layout) for p in again] == [
        (p.keras, p.torch, p.layout) for p in found.pairs
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected: a weight map"),
        ("[]", "expected: a weight map"),
        ('{"pairs": [{"keras": "a.kernel"}]}', "expected: a weight map"),
        ('{"pairs": [{"keras": "a.kernle", "torch": ["a.weight"]}]}', "'a.kernle'"),
        ('{"pairs": [{"keras": "a.kernel", "torch": ["a.wight"]}]}', "'a.wight'"),
        (
            '{"pairs": [{"keras": "a.kernel", "torch": ["a.weight"], "layout": "turned"}]}',
            "'turned'",
        ),
    ],
)
def test_a_wrong_map(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "map.json"
    file.write_text(text, "utf-8")
    with pytest.raises(KeraformError) as error:
        read_map(str(file), linear("a", 4, 4), dense("a", 4, 4))
    assert words in str(error.value)
    assert "try: " in str(error.value)


def test_a_missing_map(tmp_path: Path) -> None:
    with pytest.raises(KeraformError, match="FileNotFoundError"):
        read_map(str(tmp_path / "none.json"), [], [])


def test_parts_of_a_tensor() -> None:
    state = {"a.weight": np.arange(6).reshape(3, 2)}
    np.testing.assert_array_equal(read_key(state, "a.weight[1/3]"), [[2, 3]])
    np.testing.assert_array_equal(read_key(state, "a.weight"), state["a.weight"])
