"""Pairs that somebody wrote: good ones are equal, and a fault in one is named at its statement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from keraform.errors import KeraformError
from keraform.verify.handwritten.pairs import PairReport, PairTarget, localise_pair

FILES = Path(__file__).parent / "pairs"
NAMES = {
    "cnn": ("ConvNet", "ConvNet"),
    "gpt": ("GPT", "TinyGPT"),
    "tagger": ("Tagger", "Tagger"),
    "mixer": ("MixerNet", "build"),
}


@dataclass(frozen=True)
class Fault:
    """A change of the Keras file, and what has to be said: the kind, and a part of the statement on
    either side.
    """

    pair: str
    old: str
    new: str
    kind: str
    keras: str
    torch: str
    cause: str = ""


FAULTS = {
    "eps of a library layer": Fault(
        "cnn",
        "self.norm = layers.LayerNormalization(epsilon=1e-5)",
        "self.norm = layers.LayerNormalization(epsilon=1e-3)",
        "construction",
        "self.classifier(self.norm(pooled))",
        "self.head(self.norm(pooled))",
        "epsilon=0.001, torch has eps=1e-05",
    ),
    "missing residual": Fault(
        "cnn",
        "return x + self.dw(x)",
        "return self.dw(x)",
        "statement",
        "return self.dw(x)",
        "return x + self.depthwise(x)",
    ),
    "maximum for mean": Fault(
        "cnn",
        "ops.mean(image, axis=(1, 2))",
        "ops.max(image, axis=(1, 2))",
        "statement",
        "pooled = ops.max",
        "pooled = torch.flatten",
    ),
    "padding on the wrong side": Fault(
        "cnn",
        "self.pad = layers.ZeroPadding2D(1)",
        "self.pad = layers.ZeroPadding2D(((0, 2), (0, 2)))",
        "statement",
        "x = self.convolution(self.pad(x))",
        "x = self.act(self.bn(self.conv(x)))",
    ),
    "eps of an own layer": Fault(
        "gpt",
        "def __init__(self, epsilon=1e-6",
        "def __init__(self, epsilon=1e-3",
        "statement",
        "tf.math.rsqrt(variance + self.epsilon)",
        "scale = torch.rsqrt",
    ),
    "missing scale": Fault(
        "gpt",
        "scores = scores / tf.sqrt(tf.cast(c // self.heads, tf.float32))",
        "pass",
        "statement",
        "scores = tf.matmul(q, k, transpose_b=True)",
        "scores = (q @ k.transpose(-2, -1)) / math.sqrt(c // self.heads)",
        "missing factor: torch multiplies by 0.5",
    ),
    "another scale": Fault(
        "gpt",
        "tf.sqrt(tf.cast(c // self.heads, tf.float32))",
        "tf.sqrt(tf.cast(c, tf.float32))",
        "statement",
        "scores = scores / tf.sqrt",
        "/ math.sqrt(c // self.heads)",
        "0.57735 times torch's",
    ),
    "swapped query and key": Fault(
        "gpt",
        "scores = tf.matmul(q, k, transpose_b=True)",
        "scores = tf.matmul(k, q, transpose_b=True)",
        "statement",
        "scores = ",
        "scores = ",
    ),
    "mask off by one": Fault(
        "gpt",
        "tf.linalg.band_part(tf.ones((t, t)), -1, 0)",
        "tf.linalg.band_part(tf.ones((t, t)), -1, 1)",
        "statement",
        "mask = tf.linalg.band_part",
        "causal = torch.tril",
    ),
    "tanh gelu": Fault(
        "gpt",
        "approximate=False",
        "approximate=True",
        "statement",
        "inner = ops.gelu",
        "self.mlp(h)",
    ),
    "swapped gate": Fault(
        "gpt",
        "x + self.gate(h) * self.fc2(inner)",
        "x + (1 - self.gate(h)) * self.fc2(inner)",
        "statement",
        "(1 - self.gate(h))",
        "torch.sigmoid(self.gate(h)) * self.mlp(h)",
    ),
    "heads not transposed back": Fault(
        "gpt",
        "tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (b, t, c))",
        "tf.reshape(y, (b, t, c))",
        "statement",
        "return self.out(y)",
        "return self.c_proj(y)",
    ),
    "untied head": Fault(
        "gpt",
        "ops.transpose(self.token_embedding.embeddings)",
        "ops.transpose(self.token_embedding.embeddings[::-1])",
        "statement",
        "return ops.matmul(x, ops.transpose",
        "return self.lm_head(self.ln_f(x))",
    ),
    "positions from 1": Fault(
        "gpt",
        "positions = ops.arange(tokens.shape[1])",
        "positions = ops.arange(tokens.shape[1]) + 1",
        "statement",
        "positions = ops.arange",
        "self.wte(ids) + self.wpe(positions)",
    ),
    "causal attention": Fault(
        "tagger",
        "self.mha(x, x)",
        "self.mha(x, x, use_causal_mask=True)",
        "stage",
        "use_causal_mask=True",
        "attended, _ = self.attention",
    ),
    "one direction backwards": Fault(
        "tagger",
        "layers.LSTM(hidden, return_sequences=True)",
        "layers.LSTM(hidden, return_sequences=True, recurrent_activation='hard_sigmoid')",
        "stage",
        "self.encoder(self.embed(words))",
        "self.lstm(self.embedding(words))",
    ),
    "transposed square weight": Fault(
        "mixer",
        "ops.matmul(x, self.matrix)",
        "ops.matmul(x, ops.transpose(self.matrix))",
        "statement",
        "return ops.matmul(x, ops.transpose(self.matrix))",
        "x = self.first(patches) @ self.mix",
        "the two are equal",
    ),
    "minimum for maximum": Fault(
        "mixer",
        "ops.max(x, axis=1)",
        "ops.min(x, axis=1)",
        "statement",
        "",
        '"pooled": x.amax(dim=1)',
    ),
}


def files_of(pair: str, folder: Path, old: str = "", new: str = "") -> PairTarget:
    """The pair with a change of its Keras file."""
    text = (FILES / f"keras_{pair}.py").read_text("utf-8")
    assert old in text
    file = folder / f"keras_{pair}.py"
    file.write_text(text.replace(old, new), "utf-8")
    torch, keras = NAMES[pair]
    source = FILES / f"torch_{pair}.py"
    return PairTarget(f"{source}:{torch}", f"{file}:{keras}", inputs=f"{source}:make_inputs")


def run(target: PairTarget) -> PairReport:
    from keraform.verify.quiet import quiet

    with quiet():
        return localise_pair(target)


@pytest.mark.parametrize("pair", NAMES)
def test_a_good_pair_is_equal(pair: str, tmp_path: Path) -> None:
    report = run(files_of(pair, tmp_path))
    assert report.equal, report.localisation.findings
    assert not report.weight_map.torch_left
    assert not report.weight_map.keras_left
    outputs = {k: v for k, v in report.localisation.stages.items() if k.startswith("outputs/")}
    assert outputs
    assert all(stage.float64 < 1e-12 and stage.float32 < 1e-5 for stage in outputs.values())


# One of each kind; the others are run with the slow tests.
QUICK = {
    "eps of a library layer", "missing residual", "missing scale", "swapped gate",
    "transposed square weight", "causal attention",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in FAULTS],
)
def test_a_fault_is_named(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    report = run(files_of(fault.pair, tmp_path, fault.old, fault.new))
    (finding,) = report.localisation.findings
    assert finding.kind == fault.kind
    assert finding.error > 1e-9
    assert fault.torch in finding.torch.text
    assert fault.keras in (finding.keras.text if finding.keras else "")
    assert fault.cause in (finding.cause or "")


def test_the_users_inputs_and_arguments_reach_both_sides(tmp_path: Path) -> None:
    target = files_of("cnn", tmp_path)
    images = np.random.default_rng(1).normal(size=(1, 3, 9, 11))
    np.savez(tmp_path / "torch.npz", image=images)
    np.savez(tmp_path / "keras.npz", image=np.moveaxis(images, 1, -1))
    report = run(
        PairTarget(
            target.torch,
            target.keras,
            {"widths": "(5, 7)"},
            {"classes": "5"},
            str(tmp_path / "torch.npz"),
            str(tmp_path / "keras.npz"),
        )
    )
    assert report.equal
    assert report.shapes[1]["stages.1.convolution.kernel"] == (3, 3, 5, 7)


def test_a_weight_that_only_keras_has_is_named(tmp_path: Path) -> None:
    report = run(files_of("cnn", tmp_path, "use_bias=False", "use_bias=True"))
    problems = [finding.problem for finding in report.localisation.findings]
    assert "stages.0.convolution.bias: Keras has it, no tensor of torch's fits" in problems


def test_a_model_that_cannot_be_called(tmp_path: Path) -> None:
    target = files_of("tagger", tmp_path, "def call(self, words):", "def call(self, words, more):")
    with pytest.raises(KeraformError, match="--keras-inputs"):
        run(target)
