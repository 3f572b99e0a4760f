"""Kind assertions: a wrong kind is found and told with its place, right ones are left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from keraform.translate import map_source
from keraform.translate.kinds import (
    BOOL,
    BOOL_TENSOR,
    DICT,
    DIM,
    FLOAT,
    FLOAT_TENSOR,
    INT,
    INT_TENSOR,
    LIST,
    PY,
    SIZE,
    TENSOR,
    TUPLE,
    UNKNOWN,
    Kind,
)
from keraform.verify.files import import_file
from keraform.verify.kind_assertions import Contradiction, KindAssertions, agrees, kinds_of_module
from keraform.verify.ladder import climb
from keraform.verify.targets import Target, cases_of
from keraform.verify.twin import twin_of

ONES = torch.ones(2, 3)

NET = """
import numpy as np
import torch
from torch import nn


def halved(x, size: int = 2):
    return x / size


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.FloatTensor, scale: {scale} = None, rows: {rows} = None):
        parts = []
        for part in self.linear(x).chunk(2, dim=-1):
            parts.append(halved(part, size=len(part.shape)))
        x = torch.cat(parts, dim=-1)
        if scale is not None:
            x = x * scale
        return x + rows.sum() if rows is not None else x


def make_inputs():
    return dict(
        x=np.ones((2, 3, 4)), scale=np.full((4,), 0.5), rows=np.arange(3)
    )
"""
GOOD = {"scale": "torch.Tensor", "rows": "torch.LongTensor"}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(**annotations: str) -> Path:
        path = tmp_path / "net_under_test.py"
        path.write_text(NET.format(**{**GOOD, **annotations}), encoding="utf-8")
        return path

    return write


def found(path: Path, facts: dict[str, str] | None = None) -> list[Contradiction]:
    """What a run of the file's class shows."""
    module = import_file(path, path.stem)
    kinds = map_source(path.read_text("utf-8"), filename=path.name, facts=facts)[1].kinds
    inputs = {name: np.asarray(value) for name, value in module.make_inputs().items()}
    assertions = KindAssertions(path.name, module, kinds)
    return assertions.contradictions(twin_of(module.Net), [(inputs, {})])


@pytest.mark.parametrize(
    ("kind", "value", "right"),
    [
        (TENSOR, ONES, True),
        (TENSOR, 3, False),
        (TENSOR, None, True),
        (FLOAT_TENSOR, ONES, True),
        (FLOAT_TENSOR, ONES.double(), False),
        (FLOAT_TENSOR, ONES.long(), False),
        (INT_TENSOR, ONES, False),
        (INT_TENSOR, ONES.long(), True),
        (INT_TENSOR, ONES.int(), False),
        (Kind("tensor", "int"), ONES.int(), True),
        (Kind("tensor", "int"), ONES.bool(), False),
        (BOOL_TENSOR, ONES.bool(), True),
        (Kind("tensor", "mixed"), ONES.int(), True),
        (Kind("tensor", "float", 2), ONES, True),
        (Kind("tensor", "float", 3), ONES, False),
        (DIM, 3, True),
        (DIM, 3.0, False),
        (DIM, torch.tensor(3), True),  # as in a graph of the port
        (DIM, torch.tensor(3.0), False),
        (DIM, torch.tensor([3]), False),
        (INT, torch.tensor(3), False),
        (Kind("dim", "float"), 1.5, True),
        (INT, 3, True),
        (INT, ONES, False),
        (FLOAT, 1.0, True),
        (FLOAT, 1, False),
        (Kind("float", name="annotated"), 1, True),
        (Kind("float", name="annotated"), ONES, False),
        (BOOL, ONES.bool(), False),
        (PY, "text", True),
        (PY, ONES, False),
        (SIZE, ONES.shape, True),
        (SIZE, ONES, False),
        (TUPLE, [ONES], True),
        (LIST, (ONES,), True),
        (LIST, ONES, False),
        (DICT, {}, True),
        (DICT, (), False),
        (Kind("layer", name="nn.Linear"), nn.Linear(1, 1), True),
        (Kind("layer", name="nn.Linear"), nn.ReLU(), False),
        (Kind("layers", name="nn.Linear"), nn.ModuleList([nn.Linear(1, 1)]), True),
        (Kind("layers", name="nn.Linear"), nn.ModuleList([nn.ReLU()]), False),
        (Kind("none"), ONES, False),
        (Kind("object", name="Cache"), ONES, False),
        (Kind("device"), ONES, False),
        (UNKNOWN, ONES, True),
    ],
)
def test_a_value_and_a_kind(kind: Kind, value: Any, right: bool) -> None:
    assert agrees(kind, value) == right


def test_right_kinds_are_left_alone(written: Callable[..., Path]) -> None:
    assert found(written()) == []


def test_a_tensor_in_a_number_s_place_is_told(written: Callable[..., Path]) -> None:
    wrong, *_ = found(written(scale="int"))
    assert wrong.file == "net_under_test.py"
    lines = NET.split("\n")
    assert wrong.line == 1 + lines.index("        if scale is not None:")
    assert str(wrong).endswith(
        "`scale` was taken for dim annotated, and is a tensor of float32 with 1 axes"
    )


def test_a_wrong_dtype_is_told(written: Callable[..., Path]) -> None:
    wrong = found(written(rows="torch.FloatTensor"))
    assert {each.text for each in wrong} == {"rows", "rows.sum()"}
    assert wrong[0].taken == "a tensor of float"
    assert wrong[0].seen == "a tensor of int64 with 1 axes"


def test_a_wrong_fact_is_told(written: Callable[..., Path]) -> None:
    path = written()
    lines = path.read_text("utf-8").split("\n")
    number = 1 + lines.index("    return x / size")
    wrong, *_ = found(path, facts={f"{number}:11:{number}:12": "tensor:float32:2"})
    assert (wrong.line, wrong.text) == (number, "x")
    assert wrong.seen == "a tensor of float32 with 3 axes"


def test_functions_get_their_own_code_back(written: Callable[..., Path]) -> None:
    path = written()
    module = import_file(path, path.stem)
    before = module.Net.forward.__code__, module.halved.__code__
    kinds = map_source(path.read_text("utf-8"), filename=path.name)[1].kinds
    inputs = {name: np.asarray(value) for name, value in module.make_inputs().items()}
    KindAssertions(path.name, module, kinds).contradictions(twin_of(module.Net), [(inputs, {})])
    assert (module.Net.forward.__code__, module.halved.__code__) == before
    assert "keraform_record" not in vars(module)


def outcome(path: Path) -> str:
    report = climb(Target(str(path), ("Net",), inputs=f"{path}:make_inputs"), {4})
    return report.classes[0].rungs[4]


def test_rung_4_fails_by_a_wrong_kind_alone(written: Callable[..., Path]) -> None:
    assert outcome(written()) == "pass"


def test_rung_4_says_which(written: Callable[..., Path]) -> None:
    said = outcome(written(scale="int"))
    assert said.startswith("fail: ")
    assert "kinds are wrong, first net_under_test.py:" in said
    assert "`scale` was taken for dim annotated" in said


@pytest.mark.parametrize("name", ["LlamaModel", "LlamaForSequenceClassification"])
def test_no_false_alarm_upstream(name: str) -> None:
    (case,) = cases_of(Target("llama", (name,)))
    kinds = case.find_kinds()
    runs = [(each.inputs, each.flags) for each in case.variants]
    assert kinds is not None and kinds.contradictions(case.twin, runs) == []


def test_a_seeded_wrong_kind_upstream_is_found() -> None:
    (case,) = cases_of(Target("llama", ("LlamaModel",)))
    good = kinds_of_module("transformers.models.llama.modeling_llama")
    seeded = dict(good._wanted)
    position = next(p for p, kind in seeded.items() if kind == Kind("tensor", "float", 4))
    seeded[position] = Kind("tensor", "float", 3)
    module = __import__(case.torch_class.__module__, fromlist=["x"])  # type: ignore[union-attr]
    runs = [(each.inputs, each.flags) for each in case.variants]
    (wrong,) = KindAssertions(good.name, module, seeded).contradictions(case.twin, runs)
    assert wrong.line == int(position.split(":")[0])
    assert wrong.seen == "a tensor of float32 with 4 axes"
