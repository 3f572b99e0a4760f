"""Drives: the runs of one torch class that show what its expressions can be.

Each drive may fail (a flag that a class does not have, a combination that upstream refuses); what
ran until then counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.core_model_loading import build_glob_alternation
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging as transformers_logging

from keraform.verify.eager import ask_for_eager
from keraform.verify.inputs import Inputs, Scene, make_inputs, make_labels
from keraform.verify.kinds import MODEL_DTYPE
from keraform.verify.tiny import VARIANTS

if TYPE_CHECKING:
    from keraform.verify.fit import Fit

# Switches of the config that change no computation, or that select kernels of other packages.
NO_SWITCH = frozenset(
    {
        "return_dict",
        "output_hidden_states",
        "output_attentions",
        "tie_word_embeddings",
        "use_mambapy",
    }
)
DISPENSABLE = frozenset(
    {"attention_mask", "token_type_ids", "decoder_attention_mask", "pixel_mask", "bool_masked_pos"}
)


def torch_values(value: Any, dtype: torch.dtype | None = None) -> Any:
    """NumPy inputs as tensors, floats in `dtype` (the running model's where it is None)."""
    dtype = dtype or MODEL_DTYPE.get()
    if isinstance(value, np.ndarray):
        tensor = torch.from_numpy(np.array(value))
        return tensor.to(dtype) if tensor.is_floating_point() else tensor
    if isinstance(value, dict):
        return {key: torch_values(entry, dtype) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(torch_values(entry, dtype) for entry in value)
    return value


def keep_in_float32(model: nn.Module, dtype: torch.dtype) -> None:
    """Widen the weights that the class wants in float32, as upstream's `from_pretrained` does."""
    plan = model._get_dtype_plan(dtype) if isinstance(model, PreTrainedModel) else {}
    if not plan:
        return
    pattern, names, _ = build_glob_alternation(list(plan))
    for key, tensor in (*model.named_parameters(), *model.named_buffers()):
        found = pattern.search(key)
        if found is not None and tensor.is_floating_point():
            tensor.data = tensor.data.to(plan[names[found.lastgroup]])


def drive(fitted: Fit) -> None:
    """Run everything of one class, with the config and the inputs that it runs with."""
    with _quiet():
        base = fitted.built_config
        for config in (base, *_variants(base)):
            fitted = replace(fitted, config=config)
            _attempt(_drive_config, fitted, full=config is base)


def _variants(base: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    """The same config with each switch turned, one at a time."""
    values = base.to_dict()
    for field in fields(type(base)):
        value = getattr(base, field.name, None)
        if isinstance(value, bool) and field.name not in NO_SWITCH:
            yield from _rebuilt(base, {field.name: not value})
    yield from _rebuilt(base, {"id2label": {0: "LABEL_0"}})
    for changes in VARIANTS.get(type(base).model_type, ()):
        yield from _rebuilt(base, changes)
    if "add_cross_attention" in values:
        yield from _rebuilt(base, {"add_cross_attention": True, "is_decoder": True})


def _rebuilt(base: PreTrainedConfig, changes: dict[str, Any]) -> Iterator[PreTrainedConfig]:
    try:
        config = type(base).from_dict({**base.to_dict(), **changes})
    except Exception:
        return  # the class itself refuses the combination
    yield config


def _drive_config(fitted: Fit, full: bool) -> None:
    model_class, config = fitted.torch_class, fitted.built_config
    ask_for_eager(config)
    torch.manual_seed(0)
    np.random.seed(0)
    # Some classes keep modules in float32 when they run in float16, and only then.
    halves = [torch.float16] if model_class._keep_in_fp32_modules else []
    for dtype in (torch.float32, torch.bfloat16, *halves):
        token = MODEL_DTYPE.set(dtype)
        torch.set_default_dtype(dtype)
        try:
            config.dtype = dtype  # models inside are built in their config's dtype
            model = model_class(config)
            keep_in_float32(model, dtype)
            torch.set_default_dtype(torch.float32)  # upstream calls under torch's own default
            for run in FULL if full else SHORT:
                _attempt(run, model, fitted.scene())
        finally:
            torch.set_default_dtype(torch.float32)
            MODEL_DTYPE.reset(token)


def _call(model: Any, scene: Scene, train: bool = False, **extra: Any) -> Any:
    model.train(train)
    inputs = {**make_inputs(scene), **extra}
    with torch.set_grad_enabled(train):
        return model(**{name: torch_values(value) for name, value in inputs.items()})


def _plain(model: Any, scene: Scene) -> None:
    scene.masks = False
    _call(model, scene)


def _masked(model: Any, scene: Scene) -> None:
    _call(model, scene, **_encoder_states(scene))


def _bare(model: Any, scene: Scene) -> None:
    """Nothing but the inputs the model cannot do without: upstream makes the rest itself."""
    model.eval()
    inputs = make_inputs(scene)
    values = {name: torch_values(inputs[name]) for name in inputs if name not in DISPENSABLE}
    with torch.no_grad():
        model(**values)


def _recorded(model: Any, scene: Scene) -> None:
    _call(model, scene, output_hidden_states=True, output_attentions=True)


def _as_tuple(model: Any, scene: Scene) -> None:
    _call(model, scene, return_dict=False)


def _labels(model: Any, scene: Scene) -> None:
    _call(model, scene, **make_labels(scene))


def _labels_alone(model: Any, scene: Scene) -> None:
    """Labels from which the model makes its decoder's input; positions as columns."""
    labels = make_labels(scene)
    if "start_positions" in labels:
        _call(model, scene, **{name: value[:, None] for name, value in labels.items()})
    elif "decoder_input_ids" in scene.names:
        inputs = {k: v for k, v in make_inputs(scene).items() if not k.startswith("decoder_")}
        model.eval()
        with torch.no_grad():
            model(**{name: torch_values(value) for name, value in {**inputs, **labels}.items()})


def _encoder_given(model: Any, scene: Scene) -> None:
    """The encoder's output from outside, as an output object and as a tuple."""
    if "encoder_outputs" not in scene.names:
        return
    output = _call(model, scene)
    states = getattr(output, "encoder_last_hidden_state", None)
    if states is None:
        states = torch_values(
            scene.rng.normal(size=(scene.batch, scene.length, scene.config.hidden_size))
        )
    for given in ((states,), BaseModelOutput(last_hidden_state=states)):
        _attempt(_call, model, scene, encoder_outputs=given)


def _training(model: Any, scene: Scene) -> None:
    output = _call(model, scene, train=True, **make_labels(scene))
    if isinstance(getattr(output, "loss", None), torch.Tensor):
        output.loss.backward()


def _problems(model: Any, scene: Scene) -> None:
    labels = make_labels(scene)
    if "labels" not in labels or not scene.class_name.endswith("ForSequenceClassification"):
        return
    grid = {"labels": np.random.default_rng(0).normal(size=(scene.batch, scene.config.num_labels))}
    shaped: dict[str | None, Inputs] = {
        "regression": grid,
        "single_label_classification": labels,
        "multi_label_classification": {"labels": np.ones((scene.batch, scene.config.num_labels))},
        None: grid,  # the class then chooses by the labels' dtype
    }
    for problem, given in shaped.items():
        model.config.problem_type = problem
        _attempt(_call, model, scene, **given)
    model.config.problem_type = None


def _resized(model: Any, scene: Scene) -> None:
    if "input_ids" in scene.names:
        model.resize_token_embeddings(scene.text_config.vocab_size + 5)
        _call(model, scene)


def _embedded(model: Any, scene: Scene) -> None:
    inputs = make_inputs(scene)
    if "inputs_embeds" not in scene.names or "input_ids" not in inputs:
        return
    model.eval()
    table = model.get_input_embeddings()
    values = {name: torch_values(value) for name, value in inputs.items()}
    with torch.no_grad():
        values["inputs_embeds"] = table(values.pop("input_ids"))
        model(**values)


def _positions(model: Any, scene: Scene) -> None:
    if "position_ids" in scene.names and "input_ids" in scene.names:
        _call(model, scene, position_ids=np.tile(np.arange(scene.length)[None], (scene.batch, 1)))


def _cached(model: Any, scene: Scene) -> None:
    """A first call that fills the cache and a second that continues it by two tokens, without and
    with a mask.
    """
    for masks in (False, True):
        scene.masks = masks
        _attempt(_continue, model, scene)


# What the releases of Transformers call a cache.
CACHE_NAMES = ("cache", "past_key_values", "cache_params")


def _continue(model: Any, scene: Scene) -> None:
    states = _encoder_states(scene)
    first = _call(model, scene, use_cache=True, **states)
    inputs = {**make_inputs(scene), **states}
    key = "decoder_input_ids" if "decoder_input_ids" in inputs else "input_ids"
    cache = next((name for name in CACHE_NAMES if name in scene.names), None)
    if cache is None or getattr(first, cache, None) is None:
        return
    mask = key.replace("input_ids", "attention_mask")
    for name in {key, "token_type_ids"} & set(inputs):
        inputs[name] = inputs[name][..., -2:]
    if mask in inputs:
        inputs[mask] = np.concatenate([inputs[mask], inputs[mask][..., -2:]], -1)
    with torch.no_grad():
        model(
            **{k: torch_values(v) for k, v in inputs.items()},
            **{cache: first[cache]},
            use_cache=True,
        )


def _generated(model: Any, scene: Scene) -> None:
    if not getattr(model, "can_generate", lambda: False)():
        return
    model.eval()
    inputs = {k: v for k, v in make_inputs(scene).items() if not k.startswith("decoder_")}
    values = {name: torch_values(value) for name, value in inputs.items()}
    for options in ({}, {"num_beams": 2}):
        _attempt(model.generate, **values, **options, max_new_tokens=3, do_sample=False)


def _features(model: Any, scene: Scene) -> None:
    """The other public doors of two-tower models."""
    inputs = {name: torch_values(value) for name, value in make_inputs(scene).items()}
    doors = {
        "get_text_features": ("input_ids", "attention_mask"),
        "get_image_features": ("pixel_values",),
    }
    for door, names in doors.items():
        method = getattr(model, door, None)
        if method is not None:
            _attempt(method, **{n: inputs[n] for n in names if n in inputs})


def _encoder_states(scene: Scene) -> Inputs:
    """States to attend to, for a decoder with cross attention."""
    if "encoder_hidden_states" not in scene.names or not scene.get("add_cross_attention", False):
        return {}
    states = scene.rng.normal(size=(scene.batch, 9, scene.config.hidden_size))
    return {
        "encoder_hidden_states": states,
        "encoder_attention_mask": np.ones((scene.batch, 9), "int64"),
    }


Run = Callable[[Any, Scene], None]
SHORT: tuple[Run, ...] = (_plain, _masked, _labels, _training, _cached)
FULL: tuple[Run, ...] = (
    *SHORT, _bare, _labels_alone, _encoder_given, _recorded, _as_tuple, _problems, _embedded,
    _positions, _generated, _features, _resized,
)  # fmt: skip


def _attempt(run: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    try:
        run(*args, **kwargs)
    except Exception as error:
        logging.getLogger(__name__).debug("drive stopped: %s: %s", type(error).__name__, error)


@contextmanager
def _quiet() -> Iterator[None]:
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
