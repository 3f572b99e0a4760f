"""Fitting: the tiny config and the inputs with which a torch class runs, found by running it.

What a class wants is not all in its signature and its config: whether images come whole or as
patches, how many tokens stand for one, whether two widths have to be equal. Torch's own model
knows. The first plan that runs is taken; for most classes that is the first one. One whose
outputs hold NaN (attention that leaves a row of padding nothing, by -inf) is taken last.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig

from keraform.verify.classes import config_class_of
from keraform.verify.drives import torch_values
from keraform.verify.inputs import (
    Inputs,
    Scene,
    make_inputs,
    required_names,
    scene_of,
    several_forms,
)
from keraform.verify.leaves import Leaves
from keraform.verify.lift import torch_precision
from keraform.verify.originals import out_of_reach
from keraform.verify.tiny import (
    by_class,
    ratios_of,
    round_config,
    scaled_config,
    shrink_config,
)
from keraform.verify.trials import (
    MODALITIES,
    TRIALS,
    Forms,
    Trials,
    combinations,
    features_of,
    width_of,
)
from keraform.verify.twin import Twin, outputs_of, random_twin

RECORDED = {"output_hidden_states": True, "output_attentions": True}
PARAMETERS = 4_000_000
# Arguments that stand for a modality.
GIVEN_AS = {
    "image": {"pixel_values"},
    "video": {"pixel_values_videos"},
    "audio": {"input_features", "input_values"},
}


@dataclass(frozen=True)
class Fit:
    """How a class runs.

    Args:
        torch_class: the class.
        config: a tiny config.
        twin: the class with random weights.
        forms: of arguments that have several (`inputs.makers.MAKERS`).
        placeholders: tokens of a row that stand for something that is not text, by their id.
        width: of the hidden states that it is given, where its config does not say it.
        bare: whether it runs without masks.
        undefined: whether its outputs hold NaN, which equal nothing.
        problem: why torch's own model does not run, where it does not.
    """

    torch_class: type
    config: PreTrainedConfig | None
    twin: Twin | None = None
    forms: dict[str, int] = field(default_factory=dict)
    placeholders: dict[int, int] = field(default_factory=dict)
    width: int | None = None
    bare: bool = True
    undefined: bool = False
    problem: Exception | None = None

    @property
    def built_config(self) -> PreTrainedConfig:
        """The config.

        Raises:
            Exception: the config class's own, where it is not content.
        """
        if self.config is None:
            raise self.problem or ValueError("no config could be made")
        return self.config

    @property
    def running_twin(self) -> Twin:
        """The twin.

        Raises:
            Exception: torch's own, where it does not run.
        """
        if self.problem is not None or self.twin is None:
            raise self.problem or ValueError("torch's own model does not run")
        return self.twin

    def scene(self, **options: Any) -> Scene:
        """The scene of its inputs."""
        found = {
            "forms": self.forms,
            "placeholders": self.placeholders,
            "width": self.width,
            **options,
        }
        return scene_of(self.torch_class, self.config, **found)


def fit(torch_class: type, config: PreTrainedConfig | None = None) -> Fit:
    """How a torch class runs, on the given config or the first tiny one that it takes; where
    nothing was found with the first plan's problem, or with one that no other plan could mend.
    """
    plans = _plans(torch_class) if config is None else iter((lambda: config,))
    tried: list[Fit] = []
    for plan in plans:
        found = _fit(torch_class, plan)
        if found.problem is None or isinstance(found.problem, ImportError):
            return found
        tried.append(found)
    name = torch_class.__name__
    final = (each for each in tried if each.problem and out_of_reach(name, each.problem))
    return next(final, tried[0])


def _plans(torch_class: type) -> Iterator[Callable[[], PreTrainedConfig]]:
    config_class = config_class_of(torch_class)
    yield lambda: shrink_config(config_class, torch_class.__name__)
    yield lambda: round_config(config_class, torch_class.__name__)
    for ratio in ratios_of(config_class):
        yield partial(scaled_config, config_class, ratio, **by_class(torch_class.__name__))


def _fit(torch_class: type, plan: Callable[[], PreTrainedConfig]) -> Fit:
    config = None
    try:
        config = plan()
        if _parameters(torch_class, config) > PARAMETERS:
            raise ValueError(f"over {PARAMETERS} parameters")
        twin = random_twin(torch_class, config)
        model = twin.build()
        counts = several_forms(scene_of(torch_class, config))
    except Exception as error:
        return Fit(torch_class, config, problem=error)
    problem, undefined = None, None
    trials = Trials(counts, _every_form(model, config, counts))
    for forms in trials:
        try:
            found = _trial(Fit(torch_class, config, twin, forms), model)
        except Exception as error:
            problem = problem or error
            trials.blame(forms, error)
            continue
        if found.undefined:
            undefined = undefined or found
            continue
        return _with_bare(found, model)
    if undefined is not None:
        return _with_bare(undefined, model)
    return Fit(torch_class, config, twin, problem=problem)


def _with_bare(found: Fit, model: nn.Module) -> Fit:
    """The fit, told whether it runs without masks too."""
    try:
        _run(model, make_inputs(found.scene(masks=False)), {})
    except Exception:
        return replace(found, bare=False)
    return found


def _trial(fitted: Fit, model: nn.Module) -> Fit:
    """A fit that runs, with as many placeholders as the model counts or asks for.

    Raises:
        Exception: the model's own, where it does not run.
    """
    asked: dict[int, int] = {}
    while True:
        try:
            counted = _placeholders(model, fitted.scene(placeholders=asked))
            found = replace(fitted, placeholders={**counted, **asked})
            outputs = _run(model, make_inputs(found.scene()), RECORDED)
            return replace(found, undefined=_has_nan(outputs))
        except Exception as error:
            more, width = _asked_for(error, fitted.scene()), width_of(error)
            if more and not more.items() <= asked.items():
                asked |= more
            elif width is not None and fitted.width is None and fitted.scene().takes_states:
                fitted = replace(fitted, width=width)
            elif guessed := _guessed(model, fitted.scene(), asked):
                asked |= guessed
            else:
                raise


def _guessed(model: nn.Module, scene: Scene, asked: Mapping[int, int]) -> dict[int, int]:
    """Two placeholders for what a model is given and has no method to count; it may then say how
    many there should be.
    """
    given = [each for each in MODALITIES if GIVEN_AS[each] & set(scene.names)]
    uncounted = (each for each in given if _method(model, f"get_{each}_features") is None)
    tokens = (_token_of(scene, each) for each in uncounted)
    return {token: 2 for token in tokens if token is not None and token not in asked}


def _asked_for(error: Exception, scene: Scene) -> dict[int, int]:
    """How many placeholders a row needs, by an error's words."""
    mismatch = features_of(error)
    if mismatch is None:
        return {}
    modalities, count = mismatch
    tokens = (_token_of(scene, each) for each in modalities)
    token = next((each for each in tokens if each is not None), None)
    return {} if token is None or count % scene.batch else {token: count // scene.batch}


def _token_of(scene: Scene, modality: str) -> int | None:
    """The id that stands for an image, a video or audio."""
    token = scene.find("text", f"{modality}_token_id", f"{modality}_token_index")
    return token if isinstance(token, int) else None


def _every_form(
    model: nn.Module, config: PreTrainedConfig, counts: dict[str, int]
) -> Iterator[Forms]:
    """Which form of each argument: those first that the model's own parts take
    (`get_image_features` and its like), then those with the fewest changes.
    """
    taken = _forms_of_parts(model, config, counts)
    others = {name: count for name, count in counts.items() if name not in taken}
    for forms in combinations(others):
        yield {**taken, **forms}
    if any(taken.values()):
        yield from combinations(counts)


def _forms_of_parts(model: nn.Module, config: PreTrainedConfig, counts: dict[str, int]) -> Forms:
    """The forms of images, videos and audio with which the model gives their features."""
    found: Forms = {}
    for modality in MODALITIES:
        features = _method(model, f"get_{modality}_features")
        if features is None:
            continue
        parameters = inspect.signature(features).parameters
        own = {k: count for k, count in counts.items() if k in parameters and k != "attention_mask"}
        for forms in islice(combinations(own), TRIALS):
            try:
                scene = scene_of(type(model), config, forms={**found, **forms})
                given = _given(features, torch_values(make_inputs(scene), torch.float32))
                if given:
                    _called(features, given)
                    found |= forms
                    break
            except Exception:
                continue
    return found


def _run(model: nn.Module, inputs: Inputs, flags: Mapping[str, Any]) -> Leaves:
    with torch_precision("float32", lift=False):
        return outputs_of(model, torch_values(dict(inputs), torch.float32), **flags)


def _has_nan(outputs: Leaves) -> bool:
    arrays = (leaf.array for leaf in outputs.values())
    return any(array.dtype.kind in "fc" and np.isnan(array).any() for array in arrays)


def _parameters(torch_class: type, config: PreTrainedConfig) -> int:
    """How many there would be; 0 for a class that cannot be built without values.

    Raises:
        ImportError: a package is missing.
        ValueError: a matrix has no rows or no columns, as no model of use has.
    """
    try:
        with torch.device("meta"):
            sizes = [tuple(each.shape) for each in torch_class(config).parameters()]
    except ImportError:
        raise
    except Exception:
        return 0
    if any(len(each) > 1 and 0 in each for each in sizes):
        raise ValueError("a matrix without rows or columns")
    return sum(map(math.prod, sizes))


def _placeholders(model: nn.Module, scene: Scene) -> dict[int, int]:
    """How many tokens of a row stand for its image, video or audio, by the model's own code."""
    methods = {each: _method(model, f"get_{each}_features") for each in MODALITIES}
    if "input_ids" not in scene.names or not any(methods.values()):
        return {}
    inputs = torch_values(make_inputs(scene), torch.float32)
    found = {}
    for modality, features in methods.items():
        token = _token_of(scene, modality)
        given = _given(features, inputs)
        if token is not None and features is not None and given:
            found[token] = _tokens(_called(features, given)) // scene.batch
    return found


def _method(model: nn.Module, name: str) -> Callable[..., Any] | None:
    """A method of the model or of a module in it, the one that names the most arguments, the
    outermost of several: others hand theirs on.
    """
    methods = [getattr(each, name) for each in model.modules() if hasattr(each, name)]
    return max(methods, key=lambda each: len(required_names(each)), default=None)


def _given(function: Callable[..., Any] | None, inputs: Inputs) -> Inputs:
    """Those of the inputs that a function takes; none where it wants more."""
    required = frozenset() if function is None else required_names(function)
    if function is None or not required <= inputs.keys():
        return {}
    parameters = inspect.signature(function).parameters
    return {
        k: v for k, v in inputs.items() if k in parameters and (k != "input_ids" or k in required)
    }


def _called(features: Callable[..., Any], given: Inputs) -> Any:
    """The features; of several images or patches a row, all rows after each other where the method
    wants it so.
    """
    images = given.get("pixel_values")
    with torch.no_grad(), torch_precision("float32", lift=False):
        try:
            return features(**given)
        except Exception:
            if images is None or images.dim() not in (3, 5):
                raise
            return features(**{**given, "pixel_values": images.flatten(0, 1)})


def _tokens(features: Any) -> int:
    """How many tokens there are features for, of all rows."""
    if hasattr(features, "keys"):
        others = (each for each in features.keys() if each.endswith("features"))
        names = ("pooler_output", "last_hidden_state", *others)
        features = next(features[each] for each in names if features.get(each) is not None)
    if isinstance(features, tuple | list):
        if features and isinstance(features[0], tuple) and isinstance(features[0][0], int):
            return _tokens(features[0][1])  # by layer, as many for each
        return sum(_tokens(each) for each in features)
    return math.prod(features.shape[:-1])
