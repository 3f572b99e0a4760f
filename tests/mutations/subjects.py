"""The models that faults are seeded into: good ports, and what of them a run executes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from tests.mutations.models import CLASSES
from tests.mutations.source import Place, PortSource

from keraform.runtime.tree import named_layers
from keraform.verify.cases import Case
from keraform.verify.classes import config_class_of, import_upstream, upstream_module_name
from keraform.verify.port import run_model
from keraform.verify.targets import class_case, port_class
from keraform.verify.tiny import shrink_config


@dataclass
class Subject:
    """One class of a model type, as it is."""

    model_type: str
    class_name: str
    case: Case
    config: Any

    @cached_property
    def port_class(self) -> type:
        """The Keras class."""
        return port_class(upstream_module_name(self.model_type), self.class_name)

    @cached_property
    def module(self) -> ModuleType:
        """The port's module."""
        return sys.modules[self.port_class.__module__]

    @cached_property
    def source(self) -> PortSource:
        """The port's file."""
        return PortSource.read(Path(self.module.__file__))

    @cached_property
    def model(self) -> Any:
        """The port, built and loaded."""
        return self.case.port.build("float32")

    @cached_property
    def owners(self) -> dict[str, str]:
        """The class of the layer at each path."""
        return {path: type(layer).__name__ for path, layer in named_layers(self.model)}

    @cached_property
    def executed(self) -> frozenset[int]:
        """The lines of the port's file that building and running the class executes."""
        lines: set[int] = set()
        file = str(self.source.path)

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_filename != file:
                return None
            if event == "line":
                lines.add(frame.f_lineno)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            model = self.case.port.build("float32")
            for variant in self.case.variants:
                run_model(model, variant.inputs, "float32", False, **variant.flags)
        finally:
            sys.settrace(before)
        return frozenset(lines)

    def executes(self, place: Place) -> bool:
        """Whether a statement is run: its lines, or, in a class body, the class itself."""
        if place.owner in self.source.classes:
            return place.owner in {each.__name__ for each in self.port_class.__mro__}
        lines = range(place.statement.lineno, place.statement.end_lineno + 1)
        return not self.executed.isdisjoint(lines)


def subject(model_type: str, class_name: str) -> Subject:
    """A subject of the table, its twin made."""
    torch_class = getattr(import_upstream(model_type), class_name)
    changes = CLASSES[model_type][class_name]
    config = shrink_config(config_class_of(torch_class), class_name, **changes)
    case = class_case(upstream_module_name(model_type), torch_class, config)
    assert case.twin and case.variants  # made once, shared by every fault
    return Subject(model_type, class_name, case, config)


def subjects(model_type: str) -> list[Subject]:
    """The subjects of a model type."""
    return [subject(model_type, name) for name in CLASSES[model_type]]
