"""Targets: what can be proved (a model type, a checkpoint's directory, a Python file: a port that
somebody edited or a torch file), and its cases.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from keraform.errors import KeraformError
from keraform.verify.cases import Case, Variant
from keraform.verify.classes import classes_of
from keraform.verify.eager import eager
from keraform.verify.fit import RECORDED, Fit, fit
from keraform.verify.inputs import (
    RESIZED,
    Inputs,
    Scene,
    make_inputs,
    make_labels,
    make_problems,
)
from keraform.verify.kind_assertions import kinds_of_module
from keraform.verify.port import load_state
from keraform.verify.refusals import Refusal, refusals_of
from keraform.verify.twin import random_twin


@dataclass(frozen=True)
class Target:
    """What to prove, in words that another process understands.

    Args:
        name: a model type, a directory, or a Python file.
        class_names: only these classes; all when empty.
        init: constructor arguments of a torch file's class, as expressions in that file's names.
        inputs: `F.npz` or `module:function`, for a torch file.
        trust: whether code that lies in the directory may run.
    """

    name: str
    class_names: tuple[str, ...] = ()
    init: dict[str, str] = field(default_factory=dict)
    inputs: str | None = None
    trust: bool = False

    def to_json(self) -> dict[str, Any]:
        """The target for another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Target:
        """The target from another process."""
        return cls(**{**record, "class_names": tuple(record["class_names"])})


def cases_of(target: Target) -> list[Case]:
    """The cases of a target, the wanted classes only.

    Raises:
        KeraformError: there is no such target, or no such class in it.
    """
    from keraform.verify.directories import directory_cases
    from keraform.verify.files import file_cases
    from keraform.verify.port_files import port_file_cases, read_port

    if target.name.endswith(".py"):
        port = read_port(Path(target.name))
        cases = file_cases(target) if port is None else port_file_cases(port)
    elif Path(target.name).is_dir():
        cases = directory_cases(Path(target.name), target.trust)
    elif target.name in CONFIG_MAPPING:
        cases = type_cases(target.name)
    else:
        raise KeraformError(
            expected="a model type, a directory with config.json, or a Python file",
            got=repr(target.name),
            try_next="keraform status, which lists the model types",
        )
    return _wanted(cases, target)


def _wanted(cases: list[Case], target: Target) -> list[Case]:
    if not target.class_names:
        return cases
    names = {name.removeprefix("TF") for name in target.class_names}
    found = [case for case in cases if case.name.removeprefix("TF") in names]
    missing = names - {case.name.removeprefix("TF") for case in found}
    if missing:
        raise KeraformError(
            expected=f"classes of {target.name}: {', '.join(case.name for case in cases)}",
            got=", ".join(sorted(missing)),
            try_next=f"keraform verify {target.name} --class {cases[0].name if cases else '...'}",
        )
    return found


def type_cases(model_type: str) -> list[Case]:
    """One case for each public model class of a type."""
    try:
        classes = classes_of(model_type)
    except ModuleNotFoundError as error:
        raise KeraformError(
            expected=f"a modeling file for {model_type!r}",
            got=str(error),
            try_next="keraform status, which lists the model types",
        ) from error
    return [class_case(each.__module__, each) for each in classes]


def class_case(
    module_name: str,
    torch_class: type,
    config: Any = None,
    find_port: Callable[[str, str], type] | None = None,
) -> Case:
    """The case of one class on a tiny config, its own or the given one.

    Args:
        module_name: the torch module.
        torch_class: the class.
        config: a tiny config; the first that fits when None.
        find_port: gives the Keras class of a module's class; `port_class` when None.
    """
    name, find = torch_class.__name__, find_port or port_class
    fitted = cache(lambda: fit(torch_class, config))
    return Case(
        name=f"TF{name}",
        make_twin=lambda: fitted().running_twin,
        make_port=lambda: find(module_name, name)(eager(fitted().built_config, name)),
        load=load_state,
        make_variants=lambda: input_variants(fitted()),
        make_labelled=lambda: labelled_variants(torch_class, fitted().scene()),
        find_refusals=lambda: refusals_in(module_name, name),
        find_kinds=lambda: kinds_of_module(module_name),
        resized=lambda: make_inputs(fitted().scene(**RESIZED)),
        torch_class=torch_class,
        reseeded=lambda *how: random_twin(torch_class, fitted().built_config, *how),
    )


def input_variants(fitted: Fit) -> tuple[Variant, ...]:
    """With masks and everything recorded, then bare."""
    full = Variant("masked", make_inputs(fitted.scene()), dict(RECORDED))
    bare = Variant("plain", make_inputs(fitted.scene(masks=not fitted.bare)))
    return full, bare


def labelled_variants(
    torch_class: type, scene: Scene, inputs: Inputs | None = None
) -> tuple[Variant, ...]:
    """With the class's labels, with those of each problem type, and with labels from which the
    model makes its decoder's input.
    """
    inputs = make_inputs(scene) if inputs is None else inputs
    labels = make_labels(scene)
    if not labels:
        return ()
    problems = make_problems(torch_class, scene)
    free = {"config": {"problem_type": None}} if problems else {}
    found = [Variant("labels", {**inputs, **labels}, **free)]
    for problem, values in problems.items():
        given = {**inputs, "labels": values}
        found.append(Variant(problem, given, config={"problem_type": problem}))
    encoder = {name: value for name, value in inputs.items() if not name.startswith("decoder_")}
    if "decoder_input_ids" in inputs:
        found.append(Variant("labels alone", {**encoder, **labels}))
    return tuple(found)


def port_class(module_name: str, torch_name: str) -> type:
    """The Keras class of a torch class, through the package that users import."""
    mirror = module_name.replace("transformers.", "keraform.", 1)
    return getattr(importlib.import_module(mirror), f"TF{torch_name}")


def refusals_in(module_name: str, torch_name: str) -> list[Refusal]:
    """What was refused in a class and in what it uses."""
    from keraform import translate

    found = [
        Refusal(each.rule, each.file, each.line, each.reason)
        for each in translate.translation(module_name).refusals
    ]
    return refusals_of(importlib.import_module(module_name).__file__, torch_name, found)


CasesOf = Callable[[Target], list[Case]]
