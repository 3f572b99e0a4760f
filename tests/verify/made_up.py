"""Reports and localisations made by hand, for the tests of the page that shows them."""

from __future__ import annotations

import math
from pathlib import Path

from keraform.verify.findings import STATEMENT, Finding, Localisation, Place, Statistics
from keraform.verify.outcome import PASS, ClassReport, Report, StageError
from keraform.verify.port import LoadReport
from keraform.verify.refusals import Refusal

BLOCK = ("attention.self.query", "attention.self", "attention.output.dense", "attention", "mlp", "")

TORCH = '''\
class MiniAttention(nn.Module):
    """Attention."""

    def forward(self, hidden_states, mask=None):
        # one head
        query = self.query(hidden_states)
        scores = torch.matmul(query, query.transpose(-1, -2))
        scores = scores / math.sqrt(self.head_size)
        return torch.softmax(scores, dim=-1)
'''
KERAS = '''\
class TFMiniAttention(Layer):
    """Attention."""

    def call(self, hidden_states, mask=None):
        # one head
        query = self.query(hidden_states)
        scores = ops.matmul(query, ops.swapaxes(query, -1, -2))
        scores = scores / self.head_size
        return ops.softmax(scores, axis=-1)
'''


def stage_errors(layers: int, guilty: str | None = None) -> dict[str, StageError]:
    """The stages of a model of so many layers; from the guilty one on everything is wrong."""
    names = ["embeddings.word_embeddings", "embeddings"]
    names += [f"encoder.layer.{i}.{part}".rstrip(".") for i in range(layers) for part in BLOCK]
    names += ["encoder", "pooler", "pooler#2", "outputs/last_hidden_state", "outputs/attentions.0"]
    stages: dict[str, StageError] = {}
    wrong = False
    for place, name in enumerate(names):
        wrong = wrong or name == guilty
        own = 3e-16 * (place % 5)
        stages[name] = StageError(
            name,
            float64=2e-2 + 1e-3 * (place % 7) if wrong else own * (1 + place / 20),
            float32=2e-2 + 1e-3 * (place % 7) if wrong else 2e-7 + 3e-9 * place,
            noise=1e-7 + 2e-9 * place,
            isolated=3e-2 if name == guilty else own,
            layer=f"TFMini{name.rpartition('.')[2].partition('#')[0].title()}",
        )
    return stages


def equal_report(layers: int = 2, name: str = "TFMini") -> Report:
    """A class that equals torch's."""
    entry = ClassReport(name, stages=stage_errors(layers))
    entry.rungs.update(dict.fromkeys((1, 2, 3, 4, 5), PASS))
    entry.rungs[10] = "not applicable: it does not generate"
    return Report("mini", "5.0", "tensorflow", [entry], asked={1, 2, 3, 4, 5})


def guilty_report(
    folder: Path, layers: int = 3, at: str = "encoder.layer.1.attention.self"
) -> tuple[Report, list[Localisation]]:
    """A class with a missing square root, found; its two files lie in `folder`."""
    places = []
    for name, text, line in (("torch_mini.py", TORCH, 8), ("keras_mini.py", KERAS, 8)):
        (folder / name).write_text(text, "utf-8")
        places.append(Place(str(folder / name), line, text.splitlines()[line - 1].strip()))
    values = [
        Statistics("float64", (2, 7, 7), 0.113, rms, -2 * rms, 3 * rms) for rms in (1.25, 0.31)
    ]
    finding = Finding(
        STATEMENT, at, "float64", 0.94, *places, ("methods.truediv", "idioms.sqrt"),
        "a missing scale: the port's values are torch's times 0.25", *values,
    )  # fmt: skip
    stages = stage_errors(layers, at)
    report = equal_report(layers)
    report.classes[0].stages = {
        name: StageError(name, each.float64, each.float32, each.noise)
        for name, each in stages.items()
    }
    report.classes[0].rungs[4] = f"fail: float64: 9 stages differ, first {at} (masked): 2.0e-02"
    report.classes[0].rungs[5] = f"fail: float32: 9 stages differ, first {at} (masked): 2.0e-02"
    report.classes[0].refusals = [Refusal("torch.qr", "torch_mini.py", 3, "no rule covers it")]
    return report, [Localisation("TFMini", stages, LoadReport(), [finding])]


def hostile_report(word: str) -> tuple[Report, list[Localisation]]:
    """Everything that a user's code can name is `word`; errors have no number."""
    stages = {
        word: StageError(word, math.inf, math.nan, 1e-7, 0.0, word),
        f"outputs/{word}": StageError(f"outputs/{word}", math.inf),
    }
    place = Place(word, 3, f"x = {word!r}")
    numbers = Statistics(word, (), math.nan, math.inf, -math.inf, 0.0, 3)
    finding = Finding(
        word, word, word, math.inf, place, place, (word,), word, numbers, numbers, word
    )
    entry = ClassReport(word, refusals=[Refusal(word, word, 1, word)], stages=stages)
    entry.rungs[1] = f"fail: {word}"
    weights = LoadReport((word,), (word,), (word,))
    return Report(word, word, word, [entry]), [Localisation(word, stages, weights, [finding])]
