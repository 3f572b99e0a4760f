"""Every torch-like layer against its torch module in float64: outputs, gradients, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import ops
from torch import nn

from keraform.runtime import filling, layers
from keraform.runtime.precision import keep_float64
from keraform.runtime.tree import named_weights, read

TOLERANCE = 1e-12
# torch's kernels hold a float32 constant (1/6, 1/alpha) even for float64
LOOSE = {"Hardsigmoid": 1e-7, "celu": 1e-7}
Case = tuple[str, Callable[[], nn.Module], Callable[[], Any], tuple[Any, ...]]


def ints(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, high, shape)


CASES: list[Case] = [
    ("dense", lambda: nn.Linear(5, 7), lambda: layers.Dense(5, 7), (2, 3, 5)),
    (
        "dense_nobias",
        lambda: nn.Linear(5, 7, bias=False),
        lambda: layers.Dense(5, 7, use_bias=False),
        (3, 5),
    ),
    ("dense_vector", lambda: nn.Linear(5, 7), lambda: layers.Dense(5, 7), (5,)),
    (
        "layer_norm",
        lambda: nn.LayerNorm(5, eps=1e-12),
        lambda: layers.LayerNormalization(5, epsilon=1e-12),
        (2, 3, 5),
    ),
    (
        "layer_norm_2",
        lambda: nn.LayerNorm((3, 5)),
        lambda: layers.LayerNormalization((3, 5)),
        (2, 3, 5),
    ),
    (
        "layer_norm_nobias",
        lambda: nn.LayerNorm(5, bias=False),
        lambda: layers.LayerNormalization(5, use_bias=False),
        (2, 5),
    ),
    (
        "layer_norm_plain",
        lambda: nn.LayerNorm(5, elementwise_affine=False),
        lambda: layers.LayerNormalization(5, elementwise_affine=False),
        (2, 5),
    ),
    ("rms_norm", lambda: nn.RMSNorm(5), lambda: layers.RMSNormalization(5), (2, 3, 5)),
    (
        "rms_norm_2",
        lambda: nn.RMSNorm((3, 5), eps=1e-3),
        lambda: layers.RMSNormalization((3, 5), epsilon=1e-3),
        (2, 3, 5),
    ),
    (
        "group_norm",
        lambda: nn.GroupNorm(3, 6),
        lambda: layers.GroupNormalization(3, 6),
        (2, 6, 4, 5),
    ),
    (
        "group_norm_1d",
        lambda: nn.GroupNorm(6, 6, eps=1e-3),
        lambda: layers.GroupNormalization(6, 6, epsilon=1e-3),
        (2, 6, 7),
    ),
    (
        "group_norm_2d",
        lambda: nn.GroupNorm(2, 6, affine=False),
        lambda: layers.GroupNormalization(2, 6, affine=False),
        (3, 6),
    ),
    (
        "local_response",
        lambda: nn.LocalResponseNorm(3),
        lambda: layers.LocalResponseNormalization(3),
        (2, 6, 4, 5),
    ),
    ("batch_norm", lambda: nn.BatchNorm2d(3), lambda: layers.BatchNormalization(3), (2, 3, 4, 5)),
    (
        "batch_norm_1d",
        lambda: nn.BatchNorm1d(3, eps=1e-2),
        lambda: layers.BatchNormalization(3, epsilon=1e-2),
        (4, 3),
    ),
    (
        "batch_norm_untracked",
        lambda: nn.BatchNorm1d(3, track_running_stats=False),
        lambda: layers.BatchNormalization(3, track_running_stats=False),
        (4, 3, 5),
    ),
    (
        "instance_norm",
        lambda: nn.InstanceNorm2d(3),
        lambda: layers.InstanceNormalization(3),
        (2, 3, 4, 5),
    ),
    (
        "instance_norm_affine",
        lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
        lambda: layers.InstanceNormalization(3, affine=True, track_running_stats=True),
        (2, 3, 5),
    ),
    ("dropout_off", lambda: nn.Dropout(0.5), lambda: layers.Dropout(0.5), (2, 3)),
    ("identity", lambda: nn.Identity(3, a=1), lambda: layers.Identity(3, a=1), (2, 3)),
    (
        "sequential",
        lambda: nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)),
        lambda: layers.Sequential(layers.Dense(3, 5), layers.ReLU(), layers.Dense(5, 2)),
        (4, 3),
    ),
    ("flatten", lambda: nn.Flatten(), lambda: layers.Flatten(), (2, 3, 4, 5)),
    ("flatten_12", lambda: nn.Flatten(1, 2), lambda: layers.Flatten(1, 2), (2, 3, 4, 5)),
    ("unflatten", lambda: nn.Unflatten(1, (2, 3)), lambda: layers.Unflatten(1, (2, 3)), (2, 6, 4)),
    ("pixel_shuffle", lambda: nn.PixelShuffle(2), lambda: layers.PixelShuffle(2), (2, 12, 3, 5)),
    (
        "pixel_unshuffle",
        lambda: nn.PixelUnshuffle(2),
        lambda: layers.PixelUnshuffle(2),
        (2, 3, 4, 6),
    ),
    ("unfold", lambda: nn.Unfold(2), lambda: layers.Unfold(2), (2, 3, 5, 6)),
    (
        "unfold_uneven",
        lambda: nn.Unfold((3, 2), (2, 1), (2, 0), (1, 2)),
        lambda: layers.Unfold((3, 2), (2, 1), (2, 0), (1, 2)),
        (2, 3, 8, 7),
    ),
    (
        "unfold_unbatched",
        lambda: nn.Unfold(3, padding=1, stride=2),
        lambda: layers.Unfold(3, padding=1, stride=2),
        (3, 7, 8),
    ),
    (
        "upsample_nearest",
        lambda: nn.Upsample(scale_factor=2),
        lambda: layers.Upsample(scale_factor=2),
        (2, 3, 4, 5),
    ),
    (
        "upsample_bilinear",
        lambda: nn.Upsample(size=(7, 9), mode="bilinear"),
        lambda: layers.Upsample(size=(7, 9), mode="bilinear"),
        (2, 3, 4, 5),
    ),
    ("lstm", lambda: nn.LSTM(3, 4), lambda: layers.LSTM(3, 4), (5, 2, 3)),
    (
        "lstm_deep",
        lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
        lambda: layers.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
        (2, 5, 3),
    ),
    (
        "lstm_projected",
        lambda: nn.LSTM(3, 6, proj_size=2, bias=False),
        lambda: layers.LSTM(3, 6, proj_size=2, bias=False),
        (5, 2, 3),
    ),
    ("lstm_one_step", lambda: nn.LSTM(3, 4), lambda: layers.LSTM(3, 4), (1, 2, 3)),
    (
        "lstm_unbatched",
        lambda: nn.LSTM(3, 4, bidirectional=True),
        lambda: layers.LSTM(3, 4, bidirectional=True),
        (5, 3),
    ),
    (
        "gru",
        lambda: nn.GRU(3, 4, bidirectional=True, batch_first=True),
        lambda: layers.GRU(3, 4, bidirectional=True, batch_first=True),
        (2, 5, 3),
    ),
    ("gru_cell", lambda: nn.GRUCell(3, 4), lambda: layers.GRUCell(3, 4), (2, 3)),
    ("lstm_cell", lambda: nn.LSTMCell(3, 4), lambda: layers.LSTMCell(3, 4), (2, 3)),
    ("prelu", lambda: nn.PReLU(), lambda: layers.PReLU(), (2, 3, 4)),
    ("prelu_channels", lambda: nn.PReLU(3), lambda: layers.PReLU(3), (2, 3, 4)),
    ("softmax_default", lambda: nn.Softmax(-1), lambda: layers.Softmax(axis=-1), (2, 3, 4)),
    ("log_softmax", lambda: nn.LogSoftmax(1), lambda: layers.LogSoftmax(1), (2, 3, 4)),
    ("glu", lambda: nn.GLU(1), lambda: layers.GLU(1), (2, 6, 4)),
    ("gelu_tanh", lambda: nn.GELU("tanh"), lambda: layers.GELU("tanh"), (2, 3)),
    ("elu", lambda: nn.ELU(0.7), lambda: layers.ELU(0.7), (20, 3)),
    ("celu", lambda: nn.CELU(0.7), lambda: layers.CELU(0.7), (20, 3)),
    ("leaky", lambda: nn.LeakyReLU(0.2), lambda: layers.LeakyReLU(0.2, True), (20, 3)),
    ("softplus", lambda: nn.Softplus(2, 1), lambda: layers.Softplus(2, 1), (20, 3)),
    ("hardtanh", lambda: nn.Hardtanh(-0.3, 0.6), lambda: layers.Hardtanh(-0.3, 0.6), (20, 3)),
]

for _name in ("ReLU", "ReLU6", "Tanh", "Sigmoid", "SiLU", "Softsign", "LogSigmoid", "Mish",
              "Hardsigmoid", "Hardswish", "SELU", "ELU", "CELU", "LeakyReLU", "GELU",
              "Softplus", "Hardtanh"):  # fmt: skip
    CASES.append((_name, getattr(nn, _name), getattr(layers, _name), (20, 3)))


def conv_cases() -> Iterator[Case]:
    shapes = {1: ((2, 4, 9), (2, 4, 8)), 2: ((2, 4, 8, 9), (2, 4, 7, 6)), 3: ((2, 4, 5, 6, 7),)}
    settings: list[dict[str, Any]] = [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 2, "bias": False},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 3, "padding": "valid", "dilation": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "stride": 2},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": 1, "groups": 4},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": 2, "padding_mode": "replicate", "stride": 2},
        {"kernel_size": 3, "padding": "same", "padding_mode": "circular"},
    ]
    ours = {"stride": "strides", "dilation": "dilation_rate", "bias": "use_bias"}
    for rank, inputs in shapes.items():
        for place, setting in enumerate(settings):
            if rank == 3 and setting.get("groups", 1) > 1:
                continue
            keywords = {ours.get(key, key): value for key, value in setting.items()}
            for shape in inputs:
                yield (
                    f"conv{rank}d_{place}_{shape[-1]}",
                    lambda rank=rank, s=setting: getattr(nn, f"Conv{rank}d")(4, 8, **s),
                    lambda rank=rank, k=keywords: getattr(layers, f"Conv{rank}D")(4, 8, **k),
                    shape,
                )
    yield (
        "conv2d_uneven",
        lambda: nn.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(1, 0), groups=2),
        lambda: layers.Conv2D(4, 6, (2, 3), strides=(2, 1), padding=(1, 0), groups=2),
        (2, 4, 8, 9),
    )
    yield "conv1d_unbatched", lambda: nn.Conv1d(4, 6, 3), lambda: layers.Conv1D(4, 6, 3), (4, 9)
    transposed: list[dict[str, Any]] = [
        {"kernel_size": 3},
        {"kernel_size": 4, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": 2, "stride": 3, "bias": False, "output_padding": 2},
        {"kernel_size": 3, "stride": 2, "dilation": 2, "padding": 1, "groups": 2},
        {"kernel_size": 1, "stride": 2},
    ]
    for rank in (1, 2, 3):
        for place, setting in enumerate(transposed):
            keywords = {ours.get(key, key): value for key, value in setting.items()}
            yield (
                f"conv_transpose{rank}d_{place}",
                lambda rank=rank, s=setting: getattr(nn, f"ConvTranspose{rank}d")(4, 6, **s),
                lambda rank=rank, k=keywords: getattr(layers, f"ConvTranspose{rank}D")(4, 6, **k),
                (2, 4, 5, 6, 7)[: rank + 2],
            )


def pool_cases() -> Iterator[Case]:
    settings: list[tuple[Any, ...]] = [(2,), (3, 2), (3, 2, 1), (3, 1, 1), (2, 2, 1)]
    shapes = {1: ((2, 3, 9), (2, 3, 8)), 2: ((2, 3, 8, 9), (2, 3, 7, 6)), 3: ((1, 2, 5, 6, 7),)}
    for rank, inputs in shapes.items():
        for shape in inputs:
            for setting in settings:
                for ceil in (False, True):
                    tag = f"{rank}d_{shape[-1]}_{'_'.join(map(str, setting))}_{ceil}"
                    yield (
                        f"max{tag}",
                        lambda r=rank, s=setting, c=ceil: getattr(nn, f"MaxPool{r}d")(
                            *s, ceil_mode=c
                        ),
                        lambda r=rank, s=setting, c=ceil: getattr(layers, f"MaxPooling{r}D")(
                            *s, ceil_mode=c
                        ),
                        shape,
                    )
                    for count in (True, False):
                        k = {"ceil_mode": ceil, "count_include_pad": count}
                        yield (
                            f"average{tag}_{count}",
                            lambda r=rank, s=setting, k=k: getattr(nn, f"AvgPool{r}d")(*s, **k),
                            lambda r=rank, s=setting, k=k: getattr(layers, f"AveragePooling{r}D")(
                                *s, **k
                            ),
                            shape,
                        )
    yield (
        "max_dilated",
        lambda: nn.MaxPool2d(2, 1, 1, 2),
        lambda: layers.MaxPooling2D(2, 1, 1, 2),
        (2, 3, 8, 9),
    )
    yield (
        "average_override",
        lambda: nn.AvgPool2d(3, 2, 1, divisor_override=5),
        lambda: layers.AveragePooling2D(3, 2, 1, divisor_override=5),
        (2, 3, 8, 9),
    )
    for torch_name, name in (("Avg", "Average"), ("Max", "Max")):
        for size in (1, 3, (2, None), (5, 7)):
            yield (
                f"adaptive_{name}_{size}",
                lambda t=torch_name, s=size: getattr(nn, f"Adaptive{t}Pool2d")(s),
                lambda n=name, s=size: getattr(layers, f"Adaptive{n}Pooling2D")(s),
                (2, 3, 8, 9),
            )
        yield (
            f"adaptive_{name}_1d",
            lambda t=torch_name: getattr(nn, f"Adaptive{t}Pool1d")(4),
            lambda n=name: getattr(layers, f"Adaptive{n}Pooling1D")(4),
            (2, 3, 9),
        )


def pad_cases() -> Iterator[Case]:
    for mode, rank, padding in (
        ("Zero", 2, (1, 2, 3, 0)), ("Zero", 1, 2), ("Reflection", 2, (1, 2, 3, 0)),
        ("Reflection", 1, (2, 1)), ("Replication", 2, (1, 2, 3, 0)), ("Replication", 3, 1),
        ("Circular", 2, (1, 2, 3, 0)), ("Zero", 2, (-1, 2, 0, -2)),
    ):  # fmt: skip
        yield (
            f"pad_{mode}_{rank}_{padding}",
            lambda m=mode, r=rank, p=padding: getattr(nn, f"{m}Pad{r}d")(p),
            lambda m=mode, r=rank, p=padding: getattr(layers, f"{m}Padding{r}D")(p),
            (2, 3, 5, 6, 7)[: rank + 2],
        )
    yield (
        "pad_constant",
        lambda: nn.ConstantPad2d((1, 0, 2, 1), 1.5),
        lambda: layers.ConstantPadding2D((1, 0, 2, 1), 1.5),
        (2, 3, 5, 6),
    )


CASES += [*conv_cases(), *pool_cases(), *pad_cases()]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    with keep_float64():
        yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)


def randomise(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            value.copy_(noise + 0.5 if name.endswith("running_var") else noise - 0.4)


def load(layer: Any, module: nn.Module) -> None:
    """Give `layer` torch's weights; every key on both sides must be used."""
    state = module.state_dict()
    entries = list(named_weights(layer))
    assert [entry.key for entry in entries] == list(state)
    for entry in entries:
        value = state[entry.key].numpy()
        filling.settle(entry.variable, value if entry.axes is None else value.transpose(entry.axes))


def gradients(layer: Any, inputs: list[Any], probe: np.ndarray) -> list[Any]:
    """Gradients of `sum(output * probe)` by the first input and all trainable variables."""
    variables = layer.trainable_variables
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs[0])
            total = ops.sum(first(layer(*inputs)) * probe)
        return tape.gradient(total, [inputs[0], *[variable.value for variable in variables]])
    import jax

    def total_of(value: Any, trainable: list[Any]) -> Any:
        frozen = [variable.value for variable in layer.non_trainable_variables]
        outputs, _ = layer.stateless_call(trainable, frozen, value, *inputs[1:])
        return ops.sum(first(outputs) * probe)

    values = [variable.value for variable in variables]
    by_input, by_weights = jax.grad(total_of, (0, 1))(inputs[0], values)
    return [by_input, *by_weights]


def first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def flat(outputs: Any) -> list[np.ndarray]:
    if isinstance(outputs, torch.Tensor):
        return [outputs.detach().numpy()]
    if isinstance(outputs, tuple | list):
        return [array for output in outputs if output is not None for array in flat(output)]
    return [ops.convert_to_numpy(outputs)]


def close(ours: Any, theirs: Any, tolerance: float = TOLERANCE) -> None:
    for one, two in zip(flat(ours), flat(theirs), strict=True):
        assert one.shape == two.shape
        assert one.dtype == two.dtype
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


def pair(make_torch: Callable[[], nn.Module], make: Callable[[], Any]) -> tuple[nn.Module, Any]:
    torch.set_default_dtype(torch.float64)
    try:
        module = make_torch().eval()
    finally:
        torch.set_default_dtype(torch.float32)
    randomise(module)
    layer = make()
    load(layer, module)
    return module, layer


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].replace(" ", ""))
def test_layer_equals_torch(case: Case) -> None:
    name, make_torch, make, shape = case
    tolerance = LOOSE.get(name, TOLERANCE)
    module, layer = pair(make_torch, make)
    value = np.random.default_rng(7).normal(size=shape)
    given = torch.tensor(value, requires_grad=True)
    expected = module(given)
    ours = ops.convert_to_tensor(value)
    close(layer(ours), expected, tolerance)

    probe = np.random.default_rng(8).normal(size=tuple(first(expected).shape))
    (first(expected) * torch.tensor(probe)).sum().backward()
    found = gradients(layer, [ours], probe)
    close(found[0], given.grad, tolerance)
    by_id = {id(v): g for v, g in zip(layer.trainable_variables, found[1:], strict=True)}
    parameters = dict(module.named_parameters())
    for entry in named_weights(layer):
        if entry.key in parameters:
            grad = parameters[entry.key].grad.numpy()
            close(
                by_id[id(entry.variable)],
                torch.tensor(grad.transpose(entry.axes) if entry.axes else grad),
            )


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("which", ["batch", "instance"])
def test_running_statistics_move_as_torch_moves_them(which: str, momentum: float | None) -> None:
    if which == "instance" and momentum is None:
        pytest.skip("torch's instance norm has no average of all batches")
    make_torch = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}[which]
    make = {"batch": layers.BatchNormalization, "instance": layers.InstanceNormalization}[which]
    keywords = {"momentum": momentum, "affine": True, "track_running_stats": True}
    module, layer = pair(lambda: make_torch(3, **keywords), lambda: make(3, **keywords))
    module.train()
    for seed in range(3):
        value = np.random.default_rng(seed).normal(2, 3, size=(2, 3, 4, 5))
        close(layer(ops.convert_to_tensor(value), training=True), module(torch.tensor(value)))
    state = module.state_dict()
    for entry in named_weights(layer):
        np.testing.assert_allclose(
            ops.convert_to_numpy(read(entry.variable)),
            state[entry.key].numpy(),
            rtol=1e-12,
            atol=1e-12,
        )


def test_embedding_keeps_its_padding_row_out_of_the_gradient() -> None:
    module, layer = pair(
        lambda: nn.Embedding(7, 3, padding_idx=2), lambda: layers.Embedding(7, 3, padding_idx=2)
    )
    ids = np.array([[0, 2, 6], [2, 5, 0]])
    expected = module(torch.tensor(ids))
    close(layer(ops.convert_to_tensor(ids)), expected)
    close(layer.weight, module.weight)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = ops.sum(layer(ops.convert_to_tensor(ids)) ** 2)
        grad = tape.gradient(total, layer._embeddings.value)
        expected.square().sum().backward()
        close(tf.convert_to_tensor(grad), module.weight.grad)
    assert not np.any(ops.convert_to_numpy(layers.Embedding(7, 3, padding_idx=-1).weight)[6])


@pytest.mark.parametrize("keywords", [
    {}, {"bias": False}, {"batch_first": True}, {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 5, "vdim": 7},
])  # fmt: skip
@pytest.mark.parametrize("averaged", [True, False])
def test_multihead_attention(keywords: dict[str, Any], averaged: bool) -> None:
    module, layer = pair(
        lambda: nn.MultiheadAttention(6, 2, **keywords),
        lambda: layers.MultiheadAttention(6, 2, **keywords),
    )
    rng = np.random.default_rng(2)
    b, q, k = 3, 4, 5
    sizes = [(q, 6), (k, keywords.get("kdim", 6)), (k, keywords.get("vdim", 6))]
    lead = (lambda n: (b, n)) if keywords.get("batch_first") else (lambda n: (n, b))
    inputs = [rng.normal(size=(*lead(n), m)) for n, m in sizes]
    padding = np.zeros((b, k), "bool")
    padding[1, 3:] = True
    mask = rng.normal(size=(q, k))
    theirs = module(
        *map(torch.tensor, inputs), key_padding_mask=torch.tensor(np.where(padding, -np.inf, 0.0)),
        attn_mask=torch.tensor(mask), average_attn_weights=averaged,
    )  # fmt: skip
    ours = layer(
        *map(ops.convert_to_tensor, inputs), key_padding_mask=ops.convert_to_tensor(padding),
        attn_mask=ops.convert_to_tensor(mask), average_attn_weights=averaged,
    )  # fmt: skip
    close(ours, theirs)


TRANSFORMER = {"dim_feedforward": 10, "dropout": 0.1}


@pytest.mark.parametrize("keywords", [
    {}, {"batch_first": True, "norm_first": True}, {"activation": "gelu", "bias": False},
], ids=str)  # fmt: skip
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # torch's fast path
@pytest.mark.parametrize("norm", [False, True])
def test_transformer_stacks(keywords: dict[str, Any], norm: bool) -> None:
    keywords = TRANSFORMER | keywords

    def stacks(nn: Any, norm_class: Any) -> Any:
        ends = (lambda: norm_class(6)) if norm else (lambda: None)
        return (
            lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, **keywords), 2, ends()),
            lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, **keywords), 2, ends()),
        )

    theirs, ours = stacks(nn, nn.LayerNorm), stacks(layers, layers.LayerNormalization)
    encoder, encoder_port = pair(theirs[0], ours[0])
    decoder, decoder_port = pair(theirs[1], ours[1])
    rng = np.random.default_rng(2)
    lead = (lambda n: (3, n)) if keywords.get("batch_first") else (lambda n: (n, 3))
    source, target = rng.normal(size=(*lead(5), 6)), rng.normal(size=(*lead(4), 6))
    padding, causal = np.zeros((3, 5), "bool"), np.triu(np.ones((4, 4), "bool"), 1)
    padding[1, 3:] = True
    wanted = encoder(  # with gradients, so that torch takes its ordinary path
        torch.tensor(source), src_key_padding_mask=torch.tensor(padding)
    )
    found = encoder_port(
        ops.convert_to_tensor(source), src_key_padding_mask=ops.convert_to_tensor(padding)
    )
    close(found, wanted)
    close(
        decoder_port(
            ops.convert_to_tensor(target), found, tgt_mask=ops.convert_to_tensor(causal),
            memory_key_padding_mask=ops.convert_to_tensor(padding),
        ),
        decoder(
            torch.tensor(target), wanted, tgt_mask=torch.tensor(causal),
            memory_key_padding_mask=torch.tensor(padding),
        ),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # torch's fast path
def test_transformer() -> None:
    settings = {"num_encoder_layers": 1, "num_decoder_layers": 2, **TRANSFORMER}
    module, layer = pair(
        lambda: nn.Transformer(6, 2, **settings), lambda: layers.Transformer(6, 2, **settings)
    )
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(5, 3, 6)), rng.normal(size=(4, 3, 6))
    mask = layer.generate_square_subsequent_mask(4)
    close(mask, nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64))
    ours = layer(ops.convert_to_tensor(source), ops.convert_to_tensor(target), tgt_mask=mask)
    tgt_mask = torch.tensor(ops.convert_to_numpy(mask))
    close(ours, module(torch.tensor(source), torch.tensor(target), tgt_mask=tgt_mask))


def test_transformer_layers_refuse_unknown_activations() -> None:
    with pytest.raises(ValueError, match="expected activation 'relu', 'gelu' or a callable"):
        layers.TransformerEncoderLayer(6, 2, activation="silu")


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_weight_norm(dim: int | None) -> None:
    from torch.nn.utils import parametrizations

    module, layer = pair(
        lambda: parametrizations.weight_norm(
            nn.Conv1d(4, 6, 3, groups=2), dim=-1 if dim is None else dim
        ),
        lambda: layers.weight_norm(layers.Conv1D(4, 6, 3, groups=2), dim=dim),
    )
    value = np.random.default_rng(7).normal(size=(2, 4, 9))
    close(layer(ops.convert_to_tensor(value)), module(torch.tensor(value)))
    close(layer.weight, module.weight)
    assert len(layer.trainable_variables) == 3


def test_weight_norm_starts_at_the_weight_it_found() -> None:
    layer = layers.Dense(4, 6)
    before = ops.convert_to_numpy(layer.weight)
    layers.weight_norm(layer)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.weight), before, rtol=1e-12)


def test_a_parametrisation_that_is_removed_leaves_its_weight() -> None:
    layer = layers.weight_norm(layers.Conv1D(4, 6, 3))
    before = ops.convert_to_numpy(layer.weight)
    layers.remove_parametrization(layer)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.weight), before)
    assert sorted(weight.key for weight in named_weights(layer)) == ["bias", "weight"]
    assert layer(ops.ones((1, 4, 5), dtype=layer.dtype)).shape == (1, 6, 3)
    with pytest.raises(ValueError, match="call weight_norm"):
        layers.remove_parametrization(layer)


@pytest.mark.parametrize("training", [False, True])
def test_spectral_norm(training: bool) -> None:
    from torch.nn.utils import parametrizations

    module, layer = pair(
        lambda: parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)),
        lambda: layers.spectral_norm(layers.Conv2D(4, 6, 3)),
    )
    module.train(training)
    value = np.random.default_rng(7).normal(size=(2, 4, 6, 5))
    close(layer(ops.convert_to_tensor(value), training=training), module(torch.tensor(value)))


def test_transposed_dense_is_transformers_conv1d() -> None:
    from transformers.pytorch_utils import Conv1D

    module, layer = pair(lambda: Conv1D(6, 4), lambda: layers.TransposedDense(6, 4))
    value = np.random.default_rng(7).normal(size=(2, 3, 4))
    close(layer(ops.convert_to_tensor(value)), module(torch.tensor(value)))


def test_recurrent_layers_take_a_first_state() -> None:
    module, layer = pair(lambda: nn.LSTM(3, 4, 2), lambda: layers.LSTM(3, 4, 2))
    rng = np.random.default_rng(1)
    value, h, c = (rng.normal(size=s) for s in ((5, 2, 3), (2, 2, 4), (2, 2, 4)))
    theirs = module(torch.tensor(value), (torch.tensor(h), torch.tensor(c)))
    close(
        layer(ops.convert_to_tensor(value), (ops.convert_to_tensor(h), ops.convert_to_tensor(c))),
        theirs,
    )


def test_transposed_convolution_takes_an_output_size() -> None:
    module, layer = pair(
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1),
        lambda: layers.ConvTranspose2D(4, 6, 3, strides=2, padding=1),
    )
    value = np.random.default_rng(7).normal(size=(2, 4, 5, 6))
    theirs = module(torch.tensor(value), output_size=(10, 11))
    close(layer(ops.convert_to_tensor(value), output_size=(10, 11)), theirs)


LOSSES: list[tuple[str, dict[str, Any], str]] = [
    ("CrossEntropyLoss", {"ignore_index": 2, "label_smoothing": 0.1}, "classes"),
    ("NLLLoss", {}, "log_classes"),
    ("BCEWithLogitsLoss", {}, "unit"),
    ("BCELoss", {"reduction": "sum"}, "units"),
    ("MSELoss", {"reduction": "none"}, "unit"),
    ("L1Loss", {}, "unit"),
    ("SmoothL1Loss", {"beta": 0.5}, "unit"),
    ("HuberLoss", {"delta": 0.5}, "unit"),
    ("KLDivLoss", {"reduction": "batchmean"}, "unit"),
    ("CosineSimilarity", {"dim": 1}, "unit"),
    ("SoftMarginLoss", {}, "unit"),
]


@pytest.mark.parametrize(
    "name, keywords, kind", LOSSES, ids=lambda x: x if isinstance(x, str) else ""
)
def test_losses(name: str, keywords: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(4)
    value, target = rng.normal(size=(5, 3)), rng.uniform(0.1, 0.9, size=(5, 3))
    if kind == "units":
        value = rng.uniform(0.1, 0.9, size=(5, 3))
    if kind.endswith("classes"):
        target = np.array([0, 1, 2, 1, 0])
    theirs = getattr(nn, name)(**keywords)(torch.tensor(value), torch.tensor(target))
    ours = getattr(layers, name)(**keywords)(
        ops.convert_to_tensor(value), ops.convert_to_tensor(target)
    )
    close(ours, theirs)


def test_a_loss_names_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="size_average"):
        layers.MSELoss(size_average=False)
