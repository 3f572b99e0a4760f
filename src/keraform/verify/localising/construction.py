"""Where a layer of a model is made: the statement of a constructor, and what makes its layer differ
from torch's.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from keraform.runtime.tree import named_layers
from keraform.verify.findings import Place
from keraform.verify.leaves import Leaves
from keraform.verify.localising.causes import close, likely_cause
from keraform.verify.localising.recorder import source_text
from keraform.verify.localising.statements import Statement, instrument

EPSILONS = (0.0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)


def holders(path: str, tree: Iterator[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The layers (or modules) around a path, the nearest first, with the attribute of each that
    leads to it.
    """
    found = []
    for outer, layer in tree:
        inner = path[len(outer) :].lstrip(".") if path.startswith(outer) else ""
        if inner and (not outer or path.startswith(outer + ".")):
            found.append((len(outer), inner.split(".")[0], layer))
    found.sort(key=lambda each: -each[0])
    return [(attribute, layer) for _, attribute, layer in found]


def construction_of(path: str, model: Any, files: list[str]) -> Place | None:
    """The statement `self.x = ...` of the port that makes the layer (or weight) at a path."""
    for attribute, layer in holders(path, named_layers(model)):
        made = getattr(layer, attribute, None)
        place = assignment_of(type(layer), attribute, files, type(made).__name__)
        if place is not None:
            return place
    return None


def assignment_of(owner: type, attribute: str, files: list[str], made: str = "") -> Place | None:
    """The statement of a class, or of one below it, that gives `self.attribute` its value.

    Args:
        owner: the class.
        attribute: the attribute.
        files: where to look.
        made: the class of the value: of several statements the first that calls it is meant.
    """
    for each in owner.__mro__:
        try:
            file = inspect.getfile(each)
        except TypeError:
            continue
        if file not in files:
            continue
        statements = _assignments(file).get((each.__name__, attribute), [])
        calls = [statement for statement in statements if f"{made}(" in statement.text]
        for statement in (calls or statements)[:1]:
            return Place(file, statement.line, statement.text)
    return None


@lru_cache(maxsize=64)
def _assignments(file: str) -> dict[tuple[str, str], list[Statement]]:
    """The assignments to each attribute in each class of a file."""
    text = source_text(file)
    lines = {each.line: each for each in instrument(text, file).statements}
    found: dict[tuple[str, str], list[Statement]] = defaultdict(list)
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef):
            continue
        for inner in ast.walk(node):
            for name in _assigned(inner, inner in node.body):
                statement = lines.get(inner.lineno)
                if statement is None and inner in node.body:  # in the class's own body
                    statement = _whole(file, inner, text)
                if statement is not None:
                    found[node.name, name].append(statement)
    return dict(found)


def _assigned(node: ast.AST, of_class: bool) -> list[str]:
    """The attributes that a statement gives a value to, in a class's own body or in a method."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [
        target.attr if isinstance(target, ast.Attribute) else target.id
        for target in targets
        if (isinstance(target, ast.Name) and of_class)
        or (isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self")
    ]


def _whole(file: str, node: ast.stmt, text: str) -> Statement:
    end = node.end_lineno or node.lineno
    source = "\n".join(text.splitlines()[node.lineno - 1 : end])
    return Statement(file, node.lineno, end, "", source)


def layer_cause(module: nn.Module | None, inputs: Leaves, torch_out: Any, keras_out: Any) -> Any:
    """What makes a layer of the runtime differ from torch's, found by changing torch's.

    Args:
        module: torch's, in float64.
        inputs: what it was given.
        torch_out: what it gave.
        keras_out: what the port's layer gave.
    """
    tensors = [leaf.array for leaf in inputs.values() if leaf.array.ndim]
    if module is not None and tensors:
        for words, changed in _changes(module):
            try:
                with torch.no_grad():
                    output = changed(*(torch.from_numpy(np.array(each)) for each in tensors))
            except Exception:
                continue
            if isinstance(output, torch.Tensor) and close(output.numpy(), keras_out):
                return words
    reads = {name: leaf.array for name, leaf in inputs.items()}
    return likely_cause(torch_out, keras_out, reads)


def _changes(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A layer with one thing changed at a time, and what that is in words."""
    for name, value in vars(module).items():
        if "eps" in name and isinstance(value, float):
            for epsilon in EPSILONS:
                if epsilon != value:
                    words = f"epsilon: the port computes with {epsilon:g}, torch with {value:g}"
                    yield words, _with(module, **{name: epsilon})
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if isinstance(bias, torch.Tensor):
        zero = nn.Parameter(torch.zeros_like(bias), requires_grad=False)
        yield "the bias is missing", _with(module, bias=zero)
    if isinstance(weight, torch.Tensor):
        if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
            turned = nn.Parameter(weight.T.contiguous(), requires_grad=False)
            yield "the weight is transposed", _with(module, weight=turned)
        one = nn.Parameter(torch.ones_like(weight), requires_grad=False)
        yield "the weight is left out", _with(module, weight=one)
        yield "1 is added to the weight", _with(module, weight=nn.Parameter(weight + 1))


def _with(module: nn.Module, **changes: Any) -> nn.Module:
    changed = copy.deepcopy(module)
    changed._forward_hooks.clear()
    changed._forward_pre_hooks.clear()
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed
