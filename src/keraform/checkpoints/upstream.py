"""Transformers' own table of old key names, read from its source (importing it needs torch)."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keraform.checkpoints import operations, renames

_TABLE = "_MODEL_TO_CONVERSION_PATTERN"
_FUNCTION = "_build_checkpoint_conversion_mapping"

_COUNTERPARTS: dict[str, Any] = {
    "WeightRenaming": renames.Rename,
    "WeightConverter": renames.Converter,
    "PrefixChange": renames.PrefixChange,
    "GroupWeightRename": renames.GroupRename,
    "Inkling2IndexOffsetWeightRename": renames.OffsetRename,
    "LayerPairCollapse": renames.LayerPairCollapse,
    "Chunk": operations.Chunk,
    "Split": operations.Split,
    "Concatenate": operations.Concatenate,
    "Interleave": operations.Interleave,
    "MergeModulelist": operations.MergeModulelist,
    "SplitModulelist": operations.SplitModulelist,
    "Transpose": operations.Transpose,
    "PermuteForRope": operations.PermuteForRope,
}


@functools.cache
def conversions() -> dict[str, list[renames.Rename]]:
    """Upstream's rules by class name or model type; `legacy` holds those that count for all.

    Only the table and the function that builds it are taken from the file, and run with this
    package's records in place of upstream's classes.
    """
    path = _source()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [node for node in tree.body if _name(node) in (_TABLE, _FUNCTION)]
    if {_name(node) for node in kept} != {_TABLE, _FUNCTION}:
        raise RuntimeError(
            f"expected: {_TABLE} and {_FUNCTION} in {path}\n"
            f"got: a file without them (another release of transformers?)\n"
            f"try: an older release of transformers, or a newer one of keraform"
        )
    namespace: dict[str, Any] = dict(_COUNTERPARTS)
    for name in _called_names(kept) - set(namespace) - set(vars(builtins)) - {_FUNCTION}:
        namespace[name] = _unknown(name)
    module = ast.Module(body=kept, type_ignores=[])
    exec(compile(module, str(path), "exec"), namespace)
    return {name: _expressed(rules) for name, rules in namespace[_FUNCTION]().items()}


def _expressed(rules: Iterable[Any]) -> list[renames.Rename]:
    """The rules of a type; those without a counterpart as rules that say so."""
    return [
        renames.UnknownRename(rule.name) if isinstance(rule, operations.Unknown) else rule
        for rule in rules
    ]


def _source() -> Path:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("transformers is not installed; try: pip install transformers")
    return Path(spec.origin).parent / "conversion_mapping.py"


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _called_names(nodes: Iterable[ast.stmt]) -> set[str]:
    calls = (call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call))
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def _unknown(name: str) -> Callable[..., operations.Unknown]:
    def make(*args: Any, **kwargs: Any) -> operations.Unknown:
        return operations.Unknown(name, {"args": args, **kwargs})

    return make
