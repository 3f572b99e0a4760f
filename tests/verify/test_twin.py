"""The torch side: random everything, the float64 lift, stages by path."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mini import Mini, mini_inputs
from torch import nn
from transformers import RagConfig

from keraform.verify import cases
from keraform.verify.cases import Case, Variant
from keraform.verify.classes import config_class_of, import_upstream
from keraform.verify.compare import compare
from keraform.verify.eager import eager
from keraform.verify.inputs import make_inputs, scene_of
from keraform.verify.lift import LiftCasts, torch_precision
from keraform.verify.tiny import shrink_config
from keraform.verify.twin import SMALL_GAINS, Twin, random_twin, twin_of


def test_every_weight_is_random_and_always_the_same():
    construct = lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4))  # noqa: E731
    first, second = twin_of(construct).state, twin_of(construct).state
    assert all(np.array_equal(first[key], second[key]) for key in first)
    for key, value in first.items():
        if value.ndim == 1:
            assert len(np.unique(value)) == value.size, key
    assert (first["1.running_var"] > 0).all()
    assert first["1.num_batches_tracked"] == 0


def test_every_part_is_asked_for_eager_attention():
    parts = eager(
        RagConfig(question_encoder={"model_type": "dpr"}, generator={"model_type": "bart"})
    )
    assert parts.generator._attn_implementation == "eager"
    assert parts.question_encoder._attn_implementation == "eager"


def test_lift_reaches_every_way_to_name_a_dtype():
    x = torch.ones(2, dtype=torch.float64)
    with torch_precision("float64", lift=True):
        made = [
            x.float(),
            x.half(),
            x.bfloat16(),
            x.to(torch.float32),
            x.to("cpu", torch.float16),
            x.type(torch.float32),
            x.to(dtype=torch.bfloat16),
            torch.softmax(x, 0, dtype=torch.float32),
            nn.functional.softmax(x, dim=0, dtype=torch.float32),
            torch.arange(3, dtype=torch.float32),
            torch.zeros(2),
            torch.tensor([1.5]),
            torch.ones(2, dtype=torch.long).float(),
            x.sum(dtype=torch.float32),
        ]
    assert {value.dtype for value in made} == {torch.float64}
    assert x.float().dtype is torch.float32
    assert torch.get_default_dtype() is torch.float32


def test_lift_leaves_other_dtypes_alone():
    x = torch.ones(2, dtype=torch.float64)
    with LiftCasts():
        assert x.to(torch.int64).dtype is torch.int64
        assert x.view(torch.int64).dtype is torch.int64
        assert x.bool().dtype is torch.bool


def test_constants_are_made_at_the_precision_of_the_run():
    module = import_upstream("llama")
    config = shrink_config(config_class_of(module.LlamaModel))
    twin = random_twin(module.LlamaModel, config)
    inputs = make_inputs(scene_of(module.LlamaModel, config))
    recording = twin.run(inputs, "float64", lift=True)
    dtypes = {leaf.dtype for stage in recording.stages.values() for leaf in stage.outputs.values()}
    assert "float32" not in dtypes
    assert twin.build("float64", lift=True).rotary_emb.inv_freq.dtype is torch.float64
    assert twin.build("bfloat16").rotary_emb.inv_freq.dtype is torch.float32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtypes_of_the_run(dtype):
    recording = twin_of(Mini).run(mini_inputs(), dtype)
    assert recording.outputs["states"].dtype == dtype
    assert recording.stages["blocks.1.norm"].outputs["output"].dtype == dtype


def test_stages_stand_in_the_order_in_which_they_ended():
    recording = twin_of(Mini).run(mini_inputs())
    names = list(recording.stages)
    assert names[:5] == [
        "blocks.0.query",
        "blocks.0.key",
        "blocks.0.value",
        "blocks.0.norm",
        "blocks.0",
    ]
    assert "blocks.0#2" in names and names[-1] == "head"
    assert list(recording.stages["blocks.0"].inputs) == ["x", "mask"]


def test_a_recording_equals_itself():
    twin = twin_of(Mini)
    first, second = (twin.run(mini_inputs(), "float64", True) for _ in range(2))
    assert all(found.within(0) for found in compare(first, second))


class Stretching(nn.Module):
    """Divides what is almost nothing by its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = x * self.scale.abs() + 1.0 - 1.0
        return small / small.pow(2).mean().sqrt()


def stretching_case(scales: list[float]) -> Case:
    """A case whose twins have one scale each, the first by default."""

    def make(number: int) -> Twin:
        return Twin(Stretching, {"scale": np.array([scales[number]], "float32")})

    inputs = {"x": np.linspace(-1.0, 1.0, 7)}
    return Case(
        name="Stretching",
        make_twin=lambda: make(0),
        make_port=lambda: None,
        load=lambda model, state: None,
        make_variants=lambda: (Variant("plain", inputs),),
        reseeded=lambda seed, spread: make(min(seed, len(scales) - 1)),
    )


@pytest.mark.parametrize(
    ("scales", "taken"),
    [([1.0, 2.0], 1.0), ([1e-4, 0.5], 0.5), ([1e-6, 1e-4, 1e-7], 1e-4)],
    ids=["calm as it is", "another is calm", "none is, the calmest"],
)
def test_weights_are_drawn_again_where_rounding_decides(scales, taken):
    assert stretching_case(scales).twin.state["scale"] == np.float32(taken)


class Choosing(Stretching):
    """Takes the largest values, which rounding may choose."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.scale).topk(3).values


@pytest.mark.parametrize(("module", "kernels"), [(Stretching, 0), (Choosing, 1)])
def test_what_sorts_is_run_with_the_backends_kernels_too(module, kernels, monkeypatch):
    used = []
    monkeypatch.setattr(cases, "BackendKernels", lambda: used.append(1) or nullcontext())
    case = stretching_case([1.0])
    case.make_twin = lambda: Twin(module, {"scale": np.array([1.0], "float32")})
    assert case.twin.construct is module
    assert len(used) == kernels


def test_constructors_large_values_are_smaller_in_other_twins():
    def construct() -> nn.Module:
        module = nn.Linear(8, 8)
        nn.init.normal_(module.weight, std=50.0)
        return module

    first, other = twin_of(construct).state["weight"], twin_of(construct, 1).state["weight"]
    assert np.sqrt(np.mean(first**2)) > 10 > 2 > np.sqrt(np.mean(other**2))


def test_bounds_stay_infinite_and_memory_that_was_left_as_it_was_gets_values():
    def construct() -> nn.Module:
        module = nn.Linear(2, 2)
        module.register_buffer("bounds", torch.tensor([-torch.inf, torch.inf]))
        nn.init.constant_(module.weight, torch.nan)
        return module

    for seed in (0, 1):
        state = twin_of(construct, seed).state
        assert list(state["bounds"]) == [-np.inf, np.inf]
        assert np.isfinite(state["weight"]).all()


class WritesOver(nn.Module):
    """Adds in place to what its first part gave, and passes it on through the second."""

    def __init__(self, returns_sum: bool):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Identity()
        self.returns_sum = returns_sum

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = kept = self.first(x)
        hidden += 1.0
        hidden = self.second(hidden)
        return {"hidden": hidden + 0.0} if self.returns_sum else {"kept": kept, "new": hidden * 2}


def test_what_is_written_over_counts_as_it_was_given():
    recording = twin_of(lambda: WritesOver(False)).run({"x": np.ones((2, 3))})
    given = recording.stages["first"].outputs["output"].array
    assert recording.written_over == {"kept"}
    assert (recording.outputs["kept"].array == given).all()
    assert np.allclose(recording.outputs["new"].array, 2 * (given + 1))


def test_a_sum_in_place_that_is_given_away_as_a_new_tensor_is_nothing_special():
    recording = twin_of(lambda: WritesOver(True)).run({"x": np.ones((2, 3))})
    assert recording.written_over == set()


def test_gains_are_small_in_the_last_twins():
    states = [twin_of(lambda: nn.LayerNorm(64), seed, 0.25).state for seed in (1, SMALL_GAINS)]
    assert [round(float(state["weight"].mean()), 1) for state in states] == [1.0, 0.2]
    assert all(len(np.unique(state["weight"])) == 64 for state in states)
