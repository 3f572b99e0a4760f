"""The torch side of a Transformers class, a tiny random one of a type or a checkpoint's; needs no
Keras.
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig

from keraform.errors import KeraformError
from keraform.verify.classes import classes_of
from keraform.verify.fit import fit
from keraform.verify.handwritten.torch_side import TorchSide
from keraform.verify.inputs import make_inputs, scene_of
from keraform.verify.twin import Twin


def upstream_side(
    target: str, class_name: str | None, inputs: dict[str, Any] | None = None
) -> TorchSide:
    """The side of one class of a model type, or of a directory with a checkpoint.

    Raises:
        KeraformError: there is no such type, class or checkpoint.
    """
    if Path(target).is_dir():
        torch_class, config, twin = _checkpoint(Path(target), class_name)
    else:
        torch_class = _class_of(target, class_name)
        found = fit(torch_class)
        twin, config = found.running_twin, found.config
        inputs = inputs or make_inputs(found.scene())
    name = torch_class.__name__
    record = {
        "module": torch_class.__module__,
        "class": name,
        "type": config.model_type,
        "values": config.to_dict(),
    }
    given = inputs or make_inputs(scene_of(torch_class, config))
    file = inspect.getsourcefile(torch_class) or ""
    return TorchSide(f"{target}:{name}", twin, given, file, record)


def _class_of(model_type: str, class_name: str | None) -> type:
    try:
        classes = {each.__name__: each for each in classes_of(model_type)}
    except (KeyError, ModuleNotFoundError) as error:
        raise KeraformError(
            expected="FILE.py:NAME, a model type, or a directory with config.json",
            got=repr(model_type),
            try_next="keraform status, which lists the model types",
        ) from error
    wanted = (class_name or "").removeprefix("TF")
    if wanted not in classes:
        raise KeraformError(
            expected=f"one class of {model_type}: {', '.join(classes)}",
            got=class_name or "no --class",
            try_next=f"keraform trace {model_type} --class {next(iter(classes), 'NAME')} "
            "--framework torch --out torch.safetensors",
        )
    return classes[wanted]


def _checkpoint(folder: Path, class_name: str | None) -> tuple[type, Any, Twin]:
    if not (folder / "config.json").is_file():
        raise KeraformError(
            expected="a directory with config.json", got=str(folder), try_next=f"ls {folder}"
        )
    config = AutoConfig.from_pretrained(folder)
    base = transformers.AutoModel._model_mapping[type(config)].__name__
    name = (class_name or (config.architectures or [base])[0]).removeprefix("TF")
    torch_class = getattr(transformers, name)
    model = torch_class.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    state = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    eager = copy.deepcopy(config)
    eager._attn_implementation = eager._experts_implementation = "eager"
    return torch_class, config, Twin(lambda: torch_class(copy.deepcopy(eager)), state)
