"""What the comparison with torch does not show: defaults, strictness, errors, randomness, kinds."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import keraform.ops as public
from keraform.runtime import ops as kf
from keraform.runtime import precision
from keraform.runtime.ops import dtypes, dynamic


def numbers(x: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def dtype(x: Any) -> str:
    return dtypes.name_of(x.dtype)


@pytest.mark.parametrize("name", kf.__all__)
def test_every_name_is_public_documented_and_strict(name: str) -> None:
    function = getattr(public, name)
    assert function is getattr(kf, name)
    assert function.__doc__
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds


def test_unknown_names_and_keywords_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no function 'gelus'"):
        kf.gelus  # noqa: B018
    with pytest.raises(TypeError, match="unexpected keyword argument 'axis'"):
        kf.softmax(kf.tensor([1.0]), axis=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kf.gelu(kf.tensor([1.0]), approximate="fast"), 'approximate "none" or "tanh"'),
        (lambda: kf.pad(kf.tensor([1.0]), (1, 1), mode="edge"), 'mode "constant"'),
        (lambda: kf.split(kf.tensor([1.0, 2.0]), [1, 2]), "sections that sum to 2"),
        (lambda: kf.getitem(kf.tensor([1.0]), (0, 0)), "at most 1 indices"),
        (lambda: kf.softmax(kf.tensor([1.0]), 1), r"dim in \[-1, 0\]"),
        (lambda: kf.interpolate(kf.rand(1, 1, 4)), "one of size and scale_factor"),
        (lambda: kf.finfo("int32"), 'kf.iinfo\\("int32"\\)'),
        (lambda: kf.cross_entropy(kf.rand(2, 3), kf.tensor([0, 1]), reduction="avg"), "reduction"),
        (lambda: kf.max_pool2d(kf.rand(1, 1, 4, 4), 2, return_indices=True), "return_indices"),
    ],
)
def test_errors_have_three_parts(call: Any, message: str) -> None:
    with pytest.raises((ValueError, IndexError, TypeError), match=message) as raised:
        call()
    assert str(raised.value).startswith("expected: ")
    assert "\ngot: " in str(raised.value)
    assert "\ntry: " in str(raised.value)


DEFAULTS = [
    (lambda f: f.tensor(3), "int64"),
    (lambda f: f.tensor([1, 2]), "int64"),
    (lambda f: f.tensor([1.0, 2]), "float32"),
    (lambda f: f.tensor([]), "float32"),
    (lambda f: f.tensor(True), "bool"),
    (lambda f: f.tensor([[True], [False]]), "bool"),
    (lambda f: f.arange(5), "int64"),
    (lambda f: f.arange(2, 9, 3), "int64"),
    (lambda f: f.arange(0, 1, 0.3), "float32"),
    (lambda f: f.arange(5.0), "float32"),
    (lambda f: f.arange(9, 2, -2), "int64"),
    (lambda f: f.full((2, 3), 7), "int64"),
    (lambda f: f.full((2,), 0.5), "float32"),
    (lambda f: f.full((2,), False), "bool"),
    (lambda f: f.linspace(0, 1, 5), "float32"),
    (lambda f: f.scalar_tensor(4), "float32"),
    (lambda f: f.hann_window(1), "float32"),
]


@pytest.mark.parametrize(("call", "name"), DEFAULTS)
def test_creation_has_torchs_dtypes(call: Any, name: str) -> None:
    made, want = call(kf), call(torch)
    assert dtype(made) == name == str(want.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(numbers(made), want.numpy())


def test_creation_takes_any_name_of_a_dtype() -> None:
    for name in ("float16", "bfloat16", tf.float16, np.float32, "torch.float64", bool, int):
        assert dtype(kf.arange(3, dtype=name)) == dtypes.name_of(name)
        assert dtype(kf.tensor([0, 1], dtype=name)) == dtypes.name_of(name)
        assert dtype(kf.full((2,), 1, dtype=name)) == dtypes.name_of(name)
    made = kf.tensor([kf.tensor(1), 2, [3.5][0]])
    np.testing.assert_array_equal(numbers(made), [1, 2, 3.5])


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_finfo(name: str) -> None:
    limits, want = kf.finfo(name), torch.finfo(getattr(torch, name))
    for field in ("bits", "min", "max", "eps", "tiny", "smallest_normal", "resolution"):
        assert getattr(limits, field) == pytest.approx(getattr(want, field), rel=1e-12), field
    assert kf.finfo(tf.as_dtype(name)).min == want.min
    assert kf.finfo().dtype == "float32"


def test_iinfo() -> None:
    assert kf.iinfo("int64").max == torch.iinfo(torch.int64).max
    assert kf.iinfo(np.uint8).min == 0


def test_lifted_dtypes_become_float64() -> None:
    x = kf.tensor([0.1, 0.2], dtype="float64")
    assert dtype(kf.softmax(x, -1, dtype="float32")) == "float32"
    with precision.lift_casts():
        assert dtype(kf.softmax(x, -1, dtype="float32")) == "float64"
        assert dtype(kf.arange(3, dtype="float32")) == "float64"
        assert dtype(kf.gelu(keras.ops.convert_to_tensor(np.ones(2, "float32")))) == "float32"
        assert dtype(kf.tensor([1])) == "int64"


def test_half_precision_is_kept() -> None:
    for name in ("float16", "bfloat16"):
        x = kf.rand(2, 4, 6, dtype=name)
        results = [kf.gelu(x), kf.layer_norm(x, (6,)), kf.rms_norm(x, (6,)), kf.group_norm(x, 2)]
        results += [kf.var(x, 1), kf.normalize(x), kf.mean(x, 1), kf.dropout(x, 0.5), x + 1]
        results += [kf.interpolate(x, size=9, mode="linear"), kf.clamp(x, min=0.5)]
        results += [kf.masked_fill(x, x > 0.5, kf.finfo(name).min), kf.setitem(x, 0, 0.5)]
        results += [kf.add(x, kf.tensor(0.5)), kf.multiply(x, 2)]
        for made in results:
            assert dtype(made) == name


def test_all_targets_ignored_gives_zero() -> None:
    target = kf.tensor([-100, -100])
    assert float(kf.cross_entropy(kf.rand(2, 3), target)) == 0.0
    assert float(kf.nll_loss(kf.rand(2, 3), target)) == 0.0


def test_dropout() -> None:
    x = kf.full((100, 100), 2.0)
    assert kf.dropout(x, 0.0) is x
    assert kf.dropout(x, 0.5, training=False) is x
    assert kf.dropout(x, 0.5, training=None) is x
    kept = numbers(kf.dropout(x, 0.25))
    assert set(np.unique(np.round(kept, 5))) == {0.0, np.round(np.float32(2 / 0.75), 5)}
    assert 0.22 < (kept == 0).mean() < 0.28
    assert not numbers(kf.dropout(x, 1.0)).any()
    channels = numbers(kf.dropout_channels(kf.full((8, 8, 5), 1.0), 0.5))
    assert ((channels == 0).all(-1) | (channels != 0).all(-1)).all()


def test_seeds() -> None:
    kf.manual_seed(3)
    first = numbers(kf.randn(4))
    assert not np.array_equal(first, numbers(kf.randn(4)))
    kf.manual_seed(3)
    np.testing.assert_array_equal(first, numbers(kf.randn(4)))
    generator = keras.random.SeedGenerator(5)
    before = generator.state.value.numpy().copy()
    with kf.seed_generator(generator):
        kf.dropout(kf.rand(3), 0.5)
    assert not np.array_equal(before, generator.state.value.numpy())


def test_random_shapes_and_ranges() -> None:
    assert kf.rand(2, 3).shape == kf.randn((2, 3)).shape == (2, 3)
    whole = kf.randint(2, 5, (50,))
    assert dtype(whole) == "int64" and set(numbers(whole)) == {2, 3, 4}
    assert sorted(numbers(kf.randperm(7))) == list(range(7))
    drawn = numbers(kf.multinomial(kf.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]]), 40, True))
    assert set(drawn[0]) == {1, 2} and set(drawn[1]) == {0}
    assert kf.multinomial(kf.tensor([1.0]), kf.tensor(4), True).shape == (4,)  # a size of a graph
    once = numbers(kf.multinomial(kf.tensor([0.1, 0.2, 0.7]), 3))
    assert sorted(once) == [0, 1, 2]
    coin = kf.bernoulli(kf.full((200,), 0.5))
    assert set(numbers(coin)) == {0.0, 1.0} and dtype(coin) == "float32"
    assert numbers(kf.normal(5.0, 0.0, (3,))).tolist() == [5.0] * 3
    hard = numbers(kf.gumbel_softmax(kf.randn(5, 4), hard=True))
    np.testing.assert_allclose(hard.sum(-1), 1, rtol=1e-5)


def test_random_functions_run_in_graphs() -> None:
    @tf.function(autograph=False)
    def draw(x: tf.Tensor) -> tf.Tensor:
        return kf.dropout(x, 0.5) + kf.rand_like(x) + kf.randn(3)

    x = np.ones((4, 3), "float32")
    assert not np.array_equal(numbers(draw(x)), numbers(draw(x)))


GRADIENTS = [
    (lambda f, x: f.normalize(x, dim=-1), np.array([[0.0, 0.0], [1.0, 2.0]])),
    (lambda f, x: f.clamp(x, 0.0, 1.0), np.array([-1.0, 0.0, 0.5, 1.0, 2.0])),
    (lambda f, x: f.gelu(x), np.array([-1.0, 0.0, 0.5])),
    (lambda f, x: f.softplus(x), np.array([-90.0, 0.0, 90.0])),
    (lambda f, x: f.setitem(x, (slice(None), 1), 3.0) ** 2, np.array([[1.0, 2.0], [3.0, 4.0]])),
    (lambda f, x: f.interpolate(x, size=5, mode="linear") ** 2, np.array([[[1.0, 2.0, 4.0]]])),
    (lambda f, x: f.embedding(f.tensor([0, 1, 1]), x, padding_idx=1) ** 2, np.eye(3)),
    (lambda f, x: f.vector_norm(x, 2, -1), np.array([[0.0, 0.0], [3.0, 4.0]])),
    (lambda f, x: f.xlogy(x, x), np.array([0.5, 2.0])),
]


class TorchNames:
    """torch's functions for the gradient cases."""

    setitem = staticmethod(lambda x, i, v: torch.index_put(
        x, (torch.arange(2), torch.tensor(1)), torch.tensor(v, dtype=x.dtype)))  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        homes = (torch.nn.functional, torch, torch.linalg)
        return next(getattr(home, name) for home in homes if hasattr(home, name))


@pytest.mark.parametrize(("call", "value"), GRADIENTS)
def test_gradients_equal_torchs(call: Any, value: np.ndarray) -> None:
    x = torch.tensor(value, requires_grad=True)
    call(TorchNames(), x).sum().backward()
    variable = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = tf.reduce_sum(call(kf, variable))
    gradient = tf.convert_to_tensor(tape.gradient(total, variable))
    np.testing.assert_allclose(gradient.numpy(), x.grad.numpy(), atol=1e-13)


JIT = [
    (lambda x: kf.getitem(x, (slice(None), kf.tensor([0, 2]), kf.tensor([1, -1]))), (3, 4, 5)),
    (lambda x: kf.setitem(x, (slice(None), slice(1, None, 2)), -1.0), (3, 4, 5)),
    (lambda x: kf.setitem(x, x > 0, 0.0), (3, 4, 5)),
    (lambda x: kf.masked_scatter(x, x > 0, x), (3, 4)),
    (lambda x: kf.scatter_add(x, 1, kf.tensor([[0, 0], [1, 2]]), x), (2, 3)),
    (lambda x: kf.topk(x, 2).values, (3, 4)),
    (lambda x: kf.interpolate(x, scale_factor=2, mode="bicubic"), (2, 3, 4, 5)),
    (lambda x: kf.conv1d(x, kf.full((4, 2, 3), 0.5), padding=1, groups=2), (2, 4, 6)),
    (lambda x: kf.conv_transpose2d(x, kf.full((3, 2, 3, 3), 0.5), stride=2), (2, 3, 4, 5)),
    (lambda x: kf.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (2, 3, 7, 8)),
    (lambda x: kf.pad(x, (1, 2), mode="reflect"), (2, 3, 4)),
    (lambda x: kf.cross_entropy(x, kf.tensor([1, -100, 0])), (3, 4)),
    (lambda x: kf.unfold(x, 1, 2, 1), (3, 5)),
    (lambda x: kf.sort(x, 0, descending=True).indices, (3, 5)),
]


@pytest.mark.parametrize(("call", "shape"), JIT)
def test_xla_equals_eager(call: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype("float32")
    compiled = tf.function(call, jit_compile=True, autograph=False)
    np.testing.assert_allclose(numbers(compiled(tf.constant(x))), numbers(call(tf.constant(x))),
                               rtol=1e-5, atol=1e-6)  # fmt: skip


def test_dynamic_sizes_on_tensorflow() -> None:
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, 3, None, None], tf.float64),
            tf.TensorSpec([], tf.int32),
        ],
    )
    def resize(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        return kf.interpolate(x, size=(size, size + 1), mode="bilinear", align_corners=True)

    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5))
    want = torch.nn.functional.interpolate(
        torch.tensor(x), size=(7, 8), mode="bilinear", align_corners=True
    )
    np.testing.assert_allclose(resize(x, 7).numpy(), want.numpy(), atol=1e-13)


def test_dynamic_helpers_tell_tensors_from_python() -> None:
    x = kf.tensor([[1, 2], [3, 4]])
    assert dynamic.size(x) == (2, 2) and dynamic.size(x, 0) == 2
    assert dynamic.split("a b", " ") == ["a", "b"]
    assert dynamic.sum(x, axis=1, keepdims=True).shape == (2, 1)
    assert dynamic.sum(np.ones((2, 3)), axis=1).shape == (2,)
    assert [p.shape for p in dynamic.split(x, 1)] == [(1, 2), (1, 2)]
    assert dynamic.add(1, 2) == 3 and dynamic.add([1], [2]) == [1, 2]
    assert dtype(dynamic.truediv(x, 2)) == "float32"
    assert dynamic.truediv(3, 2) == 1.5
    assert dynamic.getitem({"a": 1}, "a") == 1
    np.testing.assert_array_equal(numbers(dynamic.getitem(x, (slice(None), [1]))), [[2], [4]])
    assert dynamic.setitem([1, 2], 0, 5) == [5, 2]
    assert dynamic.setitem((1, 2), 1, 5) == (1, 5)
    assert dynamic.length(x) == 2 and dynamic.length("abc") == 3
    assert dynamic.largest(2, 5) == 5 and dynamic.smallest([4, 3]) == 3
    assert int(dynamic.total([kf.tensor(1), kf.tensor(2)])) == 3
    assert dynamic.item(kf.tensor(2.5)) == 2.5 and dynamic.item(np.float32(2)) == 2
    assert dynamic.tolist(x) == [[1, 2], [3, 4]] == dynamic.tolist(np.array([[1, 2], [3, 4]]))
    assert dtype(dynamic.to(x, "cpu", "float16")) == "float16"
    assert dynamic.to(x, "cuda:0") is x and dynamic.to(3, "cpu") == 3
    assert dynamic.type([]) is list and dtype(dynamic.type(x, "bool")) == "bool"
    assert dynamic.copy({"a": 1}) == {"a": 1} and dynamic.clone(x).shape == (2, 2)
    assert int(dynamic.sum(x)) == 10 and dynamic.sum(np.array([1, 2])) == 3
    assert dynamic.max(x, 0).indices.shape == (2,) and int(dynamic.max(x)) == 4
    assert bool(dynamic.any(x > 3)) and not bool(dynamic.all(x > 3))
    assert dynamic.view(x, -1).shape == (4,) and dynamic.reshape(x, (4, 1)).shape == (4, 1)
    assert dynamic.eq(x, None) is False and dynamic.ne(x, None) is True
    assert dynamic.and_(6, 3) == 2 and dtype(dynamic.and_(x > 1, x < 4)) == "bool"
    assert numbers(dynamic.invert(x > 2)).tolist() == [[True, True], [False, False]]
    assert [int(v) for v in next(dynamic.iterate(x))] == [1, 2]
    seen = {1}
    dynamic.add(seen, 2)
    assert seen == {1, 2} and dynamic.get({"a": 1}, "b", 3) == 3 and dynamic.index([4, 5], 5) == 1
    with pytest.raises(TypeError, match="a Python value with a method pop"):
        dynamic.pop(x)


def test_the_translator_finds_every_helper() -> None:
    from keraform.translate.rules.methods import AMBIGUOUS

    assert not [name for name in AMBIGUOUS if not hasattr(dynamic, name)]


def test_dynamic_helpers_in_graphs() -> None:
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.int32)])
    def run(x: tf.Tensor) -> tf.Tensor:
        n = dynamic.size(x, 0)
        return dynamic.add(dynamic.largest(n, 2), dynamic.item(x[:1]))

    assert int(run(np.array([5, 6, 7], "int32"))) == 8


def test_first_draw_inside_deferred_building() -> None:
    """The process's generator lives on when it was first asked for while a model was built."""
    from keraform.runtime.ops import randomness

    randomness._made_for.cache_clear()
    with keras.StatelessScope():
        assert tuple(kf.rand(3).shape) == (3,)
    assert tuple(kf.rand(3).shape) == (3,)
