"""Checkpoint directories as targets: real weights, read on each side by its own
`from_pretrained`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
import transformers
from transformers import AutoConfig

from keraform.auto import class_modules
from keraform.checkpoints.report import incomplete_error
from keraform.errors import KeraformError
from keraform.hub import Repository
from keraform.modeling.loading import read_config
from keraform.verify.cases import Case, Variant
from keraform.verify.classes import config_class_of
from keraform.verify.eager import eager
from keraform.verify.inputs import make_inputs, resized_inputs, scene_of
from keraform.verify.kind_assertions import kinds_of_module
from keraform.verify.port import LoadReport
from keraform.verify.repositories import references_in, repository_cases
from keraform.verify.rungs.kept import weights_of
from keraform.verify.targets import (
    RECORDED,
    labelled_variants,
    port_class,
    refusals_in,
)
from keraform.verify.twin import State, Twin

SENTENCES = (
    "A short one.",
    "The second sentence is a little longer than the first, and it ends here.",
    "Numbers such as 3.14 and odd words like 'floccinaucinihilipilification' are cut into pieces.",
)

# A tokenizer without a vocabulary, which Transformers makes of a config alone, gives fewer
# different tokens of them.
KNOWN = 10


def directory_cases(folder: Path, trust: bool = False) -> list[Case]:
    """The classes that the checkpoint's config names; the base model where it names none.

    Args:
        folder: The directory.
        trust: Whether code that lies there may run.
    """
    read_config(Repository.of(folder))
    references = references_in(folder)
    if references:
        return repository_cases(folder, references, trust, partial(_case, folder))
    config = _config(folder)
    names = config.architectures or [transformers.AutoModel._model_mapping[type(config)].__name__]
    return [_case(folder, config, _torch_class(name.removeprefix("TF"))) for name in names]


def directory_case(folder: Path, class_name: str | None = None) -> Case:
    """A checkpoint's case for one class: the named one, or the first that its config names.

    Raises:
        KeraformError: there is no config, no such class, or one of another model type.
    """
    if class_name is None:
        return directory_cases(folder)[0]
    read_config(Repository.of(folder))
    config, torch_class = _config(folder), _torch_class(class_name.removeprefix("TF"))
    wanted = config_class_of(torch_class)
    if not isinstance(config, wanted):
        raise KeraformError(
            expected=f"a checkpoint of {torch_class.__name__}, with a {wanted.__name__}",
            got=f"{folder}: {type(config).__name__} (model_type {config.model_type!r})",
            try_next=f"keraform status {config.model_type}, which lists its classes",
        )
    return _case(folder, config, torch_class)


def _config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise KeraformError(
            expected=f"a config.json of a model type that transformers knows, in {folder}",
            got=" ".join(str(error).split())[:300],
            try_next=f"keraform status {folder}",
        ) from error


def _torch_class(name: str) -> type:
    found = getattr(transformers, name, None)
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        near = difflib.get_close_matches(name, class_modules(), n=3)
        raise KeraformError(
            expected="a model class of the installed transformers",
            got=repr(name),
            try_next=" or ".join(near) or "keraform status TYPE, which lists a type's classes",
        )
    return found


def _case(
    folder: Path, config: Any, torch_class: type, find_port: Callable[[], type] | None = None
) -> Case:
    module = torch_class.__module__
    find_port = find_port or partial(port_class, module, torch_class.__name__)

    def make_twin() -> Twin:
        model, info = torch_class.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
        )
        _require_all(info["missing_keys"], folder, torch_class.__name__)
        state = {key: value.detach().numpy() for key, value in model.state_dict().items()}
        return Twin(lambda: torch_class(eager(config)), state)

    def make_port() -> Any:
        policy = keras.config.dtype_policy().name
        return find_port().from_pretrained(folder, dtype=policy)

    return Case(
        name=f"TF{torch_class.__name__}",
        make_twin=make_twin,
        make_port=make_port,
        load=same_weights,
        make_variants=lambda: _variants(folder, torch_class, config),
        make_labelled=lambda: _labelled(folder, torch_class, config),
        find_refusals=lambda: refusals_in(module, torch_class.__name__),
        find_kinds=lambda: kinds_of_module(module),
        resized=lambda: _resized(folder, torch_class, config),
        torch_class=torch_class,
        reads_itself=True,
    )


def _require_all(missing: Iterable[str], folder: Path, name: str) -> None:
    """What a checkpoint lacks is new random numbers on either side, which equal nothing."""
    keys = list(missing)
    if keys:
        advice = "another class, such as the base model; or save what was trained from it"
        raise incomplete_error(keys, name, folder, advice)


def same_weights(model: Any, state: State) -> LoadReport:
    """Nothing is loaded: the port has read the directory itself, and must hold what torch holds."""
    own = weights_of(model)
    unequal = tuple(key for key in state if key in own and not _same(state[key], own[key]))
    return LoadReport(
        missing=tuple(key for key in own if key not in state),
        unexpected=tuple(key for key in state if key not in own),
        mismatched=tuple(f"{key} (values)" for key in unequal),
    )


def _same(wanted: np.ndarray, own: np.ndarray) -> bool:
    return wanted.shape == own.shape and bool((wanted.astype(own.dtype) == own).all())


def _variants(folder: Path, torch_class: type, config: Any) -> tuple[Variant, ...]:
    inputs = text_inputs(folder, torch_class, config) or make_inputs(scene_of(torch_class, config))
    return (Variant("text", inputs, dict(RECORDED)),)


def _labelled(folder: Path, torch_class: type, config: Any) -> tuple[Variant, ...]:
    inputs = text_inputs(folder, torch_class, config)
    if inputs is None:
        return labelled_variants(torch_class, scene_of(torch_class, config))
    batch, length = inputs["input_ids"].shape
    decoder = inputs.get("decoder_input_ids", inputs["input_ids"]).shape[1]
    scene = scene_of(torch_class, config, batch=batch, length=length, decoder_length=decoder)
    return labelled_variants(torch_class, scene, inputs)


def _resized(folder: Path, torch_class: type, config: Any) -> Any:
    return text_inputs(folder, torch_class, config, count=2) or resized_inputs(torch_class, config)


def text_inputs(
    folder: Path, torch_class: type, config: Any, count: int = 3
) -> dict[str, np.ndarray] | None:
    """Sentences through the checkpoint's tokenizer, padded; None where there is none that knows
    words, where they are too long, or the model reads no text.
    """
    names = scene_of(torch_class, config).names
    if "input_ids" not in names:
        return None
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        encoded = tokenizer(list(SENTENCES[:count]), padding=True, return_tensors="np")
    except (OSError, ValueError, KeyError):
        return None  # no tokenizer, or one that has no padding token
    longest = getattr(config.get_text_config(), "max_position_embeddings", None) or math.inf
    ids = encoded["input_ids"]
    if np.unique(ids).size < KNOWN or ids.shape[1] > longest:
        return None
    inputs = {name: np.asarray(encoded[name]).astype("int64") for name in encoded if name in names}
    if "decoder_input_ids" in names:
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :5]
    return inputs
