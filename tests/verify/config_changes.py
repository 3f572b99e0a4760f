"""Changing one config field at a time, on both sides: which fields torch reads, what else they
could be, and whether the port follows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from config_values import companions, other_values, reason_without_effect
from transformers import PreTrainedConfig

from keraform.runtime.tree import named_layers
from keraform.verify.cases import Case
from keraform.verify.classes import config_class_of, import_upstream, model_classes
from keraform.verify.compare import compare_outputs, distance
from keraform.verify.inputs import make_labels, scene_of
from keraform.verify.leaves import Leaves
from keraform.verify.rungs.values import crash
from keraform.verify.targets import class_case
from keraform.verify.tiny import shrink_config
from keraform.verify.tolerances import LIMITS

MOST_CLASSES = 4  # tried for one field
SHOWN = ("outputs", "loss", "attributes")


@dataclass(frozen=True)
class FieldReport:
    """What came of one field.

    Args:
        field: its name.
        value: what it was set to.
        class_name: the torch class on which it was seen to matter.
        how: `outputs`, `loss` or `attributes`, or why there was nothing to see.
        failure: what the port did instead of following; empty when it followed.
    """

    field: str
    value: Any = None
    class_name: str = ""
    how: str = ""
    failure: str = ""

    def __str__(self) -> str:
        where = f" on {self.class_name}" if self.class_name else ""
        return f"{self.field}={self.value!r}{where} ({self.how}): {self.failure or 'follows'}"


@dataclass
class Reader:
    """The upstream file of a model type, and who in it reads which field."""

    model_type: str
    module: ModuleType
    by_class: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, model_type: str) -> Reader:
        """Parse the file."""
        module = import_upstream(model_type)
        tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
        nodes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
        own = {name: set(fields_read(node)) for name, node in nodes.items()}
        names = {name: _names(node) & nodes.keys() for name, node in nodes.items()}
        return cls(model_type, module, {name: _closure(name, own, names) for name in nodes})

    @property
    def classes(self) -> list[type]:
        """The public classes."""
        return model_classes(self.module)

    def readers(self, name: str, config_class: type[PreTrainedConfig]) -> list[type]:
        """The first classes of a config class that read a field, under any of its names."""
        others = config_class.attribute_map
        names = {name, *(alias for alias, target in others.items() if target == name)}
        found = [
            each
            for each in self.classes
            if config_class_of(each) is config_class
            and names & self.by_class.get(each.__name__, set())
        ]
        return found[:MOST_CLASSES]

    def fields(self, config_class: type[PreTrainedConfig]) -> list[str]:
        """The fields of a config class that the file reads, under their own names."""
        read = set().union(*self.by_class.values())
        names = {config_class.attribute_map.get(name, name) for name in read}
        given = {f.name for f in fields(config_class)} | {"num_labels", "problem_type"}
        return sorted(name for name in names & given if name not in config_class.sub_configs)


def fields_read(tree: ast.AST) -> Iterator[str]:
    """Every X in `config.X`, `self.config.X`, `text_config.X` and `getattr(config, "X", ...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_config(node.value):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            owner, name = node.args[:2]
            if node.func.id in ("getattr", "hasattr") and _is_config(owner):
                if isinstance(name, ast.Constant):
                    yield name.value


def _is_config(node: ast.AST) -> bool:
    name = getattr(node, "id", getattr(node, "attr", ""))
    return name == "config" or name.endswith("_config")


def _names(tree: ast.ClassDef | ast.FunctionDef) -> set[str]:
    """The names in a definition; those in `_init_weights` are not inside the class for that."""
    parts = [each for each in tree.body if getattr(each, "name", "") != "_init_weights"]
    bases = tree.bases if isinstance(tree, ast.ClassDef) else []
    return {
        node.id
        for part in (*parts, *bases)
        for node in ast.walk(part)
        if isinstance(node, ast.Name)
    }


def _closure(name: str, own: dict[str, set[str]], names: dict[str, set[str]]) -> set[str]:
    seen, waiting, found = {name}, [name], set()
    while waiting:
        current = waiting.pop()
        found |= own[current]
        fresh = names[current] - seen
        seen |= fresh
        waiting += fresh
    return found


def changed_config(torch_class: type, name: str, value: Any) -> PreTrainedConfig:
    """The class's tiny config with one field changed, and what has to change along."""
    config_class = config_class_of(torch_class)
    changes = {**companions(config_class, name), name: value}
    return shrink_config(config_class, torch_class.__name__, **changes)


class Comparison:
    """One class: its reference outputs, and the port under changed fields."""

    def __init__(self, module_name: str, torch_class: type, dtype: str = "float64") -> None:
        self.module_name = module_name
        self.torch_class = torch_class
        self.dtype = dtype
        self.lift = dtype == "float64"
        self._references: dict[tuple[str, bool], tuple[Leaves, dict[str, Any]]] = {}

    def reference(self, name: str, labels: bool) -> tuple[Leaves, dict[str, Any]]:
        """Torch's outputs and module attributes with the companions of a field, but not itself."""
        config_class = config_class_of(self.torch_class)
        changes = companions(config_class, name)
        key = (name if changes else "", labels)
        if key not in self._references:
            config = shrink_config(config_class, self.torch_class.__name__, **changes)
            try:
                self._references[key] = self.torch(config, labels)
            except Exception:  # the companion alone is refused
                self._references[key] = self.reference("", labels)
        return self._references[key]

    def case(self, config: PreTrainedConfig) -> Case:
        """The class on a config."""
        return class_case(self.module_name, self.torch_class, config)

    def inputs(self, case: Case, config: PreTrainedConfig, labels: bool) -> dict[str, Any]:
        """The richest inputs, with labels where asked."""
        scene = scene_of(self.torch_class, config)
        given = make_labels(scene) if labels else {}
        if "labels" in given and config.problem_type == "multi_label_classification":
            given["labels"] = np.eye(config.num_labels)[given["labels"]]
        inputs = case.variants[0].inputs
        if "labels" in given:  # from which the decoder's ids are made
            inputs = {k: v for k, v in inputs.items() if not k.startswith("decoder_")}
        return {**inputs, **given}

    def torch(self, config: PreTrainedConfig, labels: bool) -> tuple[Leaves, dict[str, Any]]:
        """Torch's outputs, and the numbers and words that its modules hold."""
        case = self.case(config)
        model = case.twin.build(self.dtype, self.lift)
        held = {path: _plain(vars(module)) for path, module in model.named_modules()}
        outputs = case.twin.run(
            self.inputs(case, config, labels), self.dtype, self.lift, **case.variants[0].flags
        ).outputs
        return outputs, held

    def port(self, config: PreTrainedConfig, labels: bool) -> tuple[Leaves, Any]:
        """The port's outputs, and the port."""
        from keraform.verify import port as ports

        case = self.case(config)
        model = case.port.build(self.dtype, self.lift)
        inputs = self.inputs(case, config, labels)
        run = ports.run_model(model, inputs, self.dtype, self.lift, **case.variants[0].flags)
        return run.outputs, model

    def has_loss(self) -> bool:
        """Whether the class has a loss of its own."""
        config = shrink_config(config_class_of(self.torch_class), self.torch_class.__name__)
        return bool(make_labels(scene_of(self.torch_class, config)))


def _plain(held: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in held.items()
        if isinstance(value, bool | int | float | str) and name != "training"
        if not name.startswith("_")
    }


def follow(comparison: Comparison, name: str, values: list[Any]) -> FieldReport:
    """Try other values of one field on one class."""
    refusal, accepted = "", None
    for value in values:
        try:
            config = changed_config(comparison.torch_class, name, value)
            outputs, held = comparison.torch(config, labels=False)
        except Exception as error:
            refusal = f"torch refuses: {type(error).__name__}"
            continue
        accepted = accepted or (value, config, held)
        if not same(comparison.reference(name, False)[0], outputs):
            return _report(comparison, name, value, "outputs", config, outputs)
    if accepted is None:
        return FieldReport(name, None, how=refusal or "no other value is known")
    value, config, held = accepted
    if comparison.has_loss():
        try:
            outputs, _ = comparison.torch(config, labels=True)
            differs = not same(comparison.reference(name, True)[0], outputs)
        except Exception:
            differs = False
        if differs:
            return _report(comparison, name, value, "loss", config, outputs)
    moved = _moved(comparison.reference(name, False)[1], held)
    if moved:
        return _compare_held(comparison, name, value, config, moved)
    return FieldReport(name, value, comparison.torch_class.__name__, "torch gives the same")


def _report(
    comparison: Comparison, name: str, value: Any, how: str, config: Any, torch: Leaves
) -> FieldReport:
    class_name = comparison.torch_class.__name__
    try:
        port, _ = comparison.port(config, labels=how == "loss")
    except Exception as error:
        return FieldReport(name, value, class_name, how, crash(error))
    beyond = [d for d in compare_outputs(torch, port) if not d.within(LIMITS[comparison.dtype])]
    first = f"{beyond[0].stage}: {beyond[0].problem or f'{beyond[0].error:.1e}'}" if beyond else ""
    return FieldReport(name, value, class_name, how, first)


def _moved(before: dict[str, Any], after: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """The attributes of torch's modules that a field changed: (path, attribute) to value."""
    return {
        (path, attribute): value
        for path, held in after.items()
        for attribute, value in held.items()
        if path not in before or before[path].get(attribute) != value
    }


def _compare_held(
    comparison: Comparison, name: str, value: Any, config: Any, moved: dict[tuple[str, str], Any]
) -> FieldReport:
    class_name = comparison.torch_class.__name__
    try:
        _, model = comparison.port(config, labels=False)
    except Exception as error:
        return FieldReport(name, value, class_name, "attributes", crash(error))
    layers = dict(named_layers(model, remove_duplicate=False))
    for (path, attribute), wanted in moved.items():
        if path not in layers:
            return FieldReport(name, value, class_name, "attributes", f"no layer {path}")
        given = getattr(layers[path], attribute, None)
        if given != wanted:
            failure = f"{path}.{attribute} is {given!r}, torch has {wanted!r}"
            return FieldReport(name, value, class_name, "attributes", failure)
    return FieldReport(name, value, class_name, "attributes")


def same(one: Leaves, other: Leaves) -> bool:
    """Whether two runs of torch gave the same outputs."""
    return one.keys() == other.keys() and all(
        one[name].array.shape == other[name].array.shape
        and distance(one[name].array, other[name].array) == 0
        for name in one
    )


def check(model_type: str) -> Iterator[FieldReport]:
    """Every field that the file reads, on the first class on which it shows."""
    reader = Reader.of(model_type)
    module_name = reader.module.__name__
    for config_class in dict.fromkeys(config_class_of(each) for each in reader.classes):
        comparisons: dict[type, Comparison] = {}
        for name in reader.fields(config_class):
            if reason_without_effect(name):
                continue
            report = None
            for each in reader.readers(name, config_class):
                base = shrink_config(config_class, each.__name__)
                comparison = comparisons.setdefault(each, Comparison(module_name, each))
                values = other_values(name, getattr(base, name, None))
                report = follow(comparison, name, values)
                if report.how.startswith("torch refuses"):
                    # code that names float32 may not run with its casts lifted
                    report = follow(Comparison(module_name, each, "float32"), name, values)
                if report.how in SHOWN:
                    break
            if report is not None:
                yield report
