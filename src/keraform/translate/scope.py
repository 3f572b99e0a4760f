"""What the translator knows while it walks a file: its classes and local variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import libcst as cst

from keraform.translate.kinds import Kind, join


@dataclass(slots=True)
class ClassInfo:
    """What is known of a class of the file."""

    name: str
    node: cst.ClassDef
    bases: list[str]
    is_layer: bool = False
    is_model: bool = False
    is_output: bool = False
    is_public: bool = False
    is_split: bool = False
    torch_base: str | None = None
    attributes: dict[str, Kind] = field(default_factory=dict)
    weights: set[str] = field(default_factory=set)
    several: set[str] = field(default_factory=set)  # attributes that are set more than once
    methods: dict[str, cst.FunctionDef] = field(default_factory=dict)

    @property
    def port_name(self) -> str:
        """The name of the class in the port."""
        return f"TF{self.name}"

    @property
    def component_name(self) -> str:
        """The name of the class that other classes hold: the main layer where there is one."""
        return main_layer_name(self.name) if self.is_split else self.port_name


def main_layer_name(name: str) -> str:
    """`BertModel` gives `TFBertMainLayer`."""
    stem = name.removesuffix("Model") or name
    return f"TF{stem}MainLayer"


@dataclass(slots=True)
class Scope:
    """Local variables of a function and what surrounds it.

    `parameters` are the kinds of the function's own parameters as it begins; `borrowed` are those
    of a plain function that still are the caller's tensors.
    `assigning` is the attribute of self whose value is being translated, which names a layer;
    `unpacking` is the number of names that a value is unpacked into.
    """

    names: dict[str, Kind] = field(default_factory=dict)
    parameters: dict[str, Kind] = field(default_factory=dict)
    owner: ClassInfo | None = None
    function: cst.FunctionDef | None = None
    self_name: str | None = None
    borrowed: set[str] = field(default_factory=set)
    assigning: str | None = None
    unpacking: int | None = None

    @contextmanager
    def assigned_to(self, name: str | None, unpacking: int | None = None) -> Iterator[None]:
        """While it lasts, the value of `self.name` is translated (of no attribute with None)."""
        saved = self.assigning, self.unpacking
        self.assigning, self.unpacking = name, unpacking
        try:
            yield
        finally:
            self.assigning, self.unpacking = saved


def join_names(a: dict[str, Kind], b: dict[str, Kind]) -> dict[str, Kind]:
    """Local variables after two paths; a name of one path alone keeps its kind."""
    result = {name: join(kind, b[name]) if name in b else kind for name, kind in a.items()}
    return result | {name: kind for name, kind in b.items() if name not in a}
