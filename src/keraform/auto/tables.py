"""Upstream's tables of classes, model types and Auto classes, read from its source text."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

AutoTable = dict[str, str | tuple[str, ...]]

# names that Transformers v5 no longer has: {old: (tables that it stands for, the first one wins)}
ALIASES = {
    "AutoModelForVision2Seq": ("AutoModelForImageTextToText",),
    "AutoModelWithLMHead": (
        "AutoModelForSeq2SeqLM",
        "AutoModelForMaskedLM",
        "AutoModelForCausalLM",
    ),
}


@functools.cache
def transformers_root() -> Path:
    """Where the installed transformers lies; it is not imported."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("transformers is not installed; try: pip install transformers")
    return Path(spec.origin).parent


@functools.cache
def class_modules() -> dict[str, str]:
    """Where each public class of a modeling file is: `BertModel` -> `models.bert.modeling_bert`."""
    found: dict[str, str] = {}
    for path in sorted((transformers_root() / "models").glob("*/modeling_*.py")):
        module = f"models.{path.parent.name}.{path.stem}"
        for name in _exported(path):
            if name not in found or f"class {name}(" in path.read_text(encoding="utf-8"):
                found[name] = module  # another file may export what it imports from here
    return found


def _exported(path: Path) -> list[str]:
    """The class names in `__all__`, which stands at the end of the file."""
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        for length in (8_000, size):
            file.seek(max(0, size - length))
            text = file.read().decode("utf-8", errors="replace")
            block = re.search(r"^__all__ = \[(.*?)\]", text, re.S | re.M)
            if block is not None:
                return re.findall(r"[\"']([A-Z]\w*)[\"']", block.group(1))
    return []


@functools.cache
def auto_tables() -> dict[str, AutoTable]:
    """For each Auto class the class name of each model type: `AutoModel` -> {`bert`: `BertModel`}.

    Importing upstream's module would import torch where it is installed; its tables are literals.
    """
    text = (transformers_root() / "models" / "auto" / "modeling_auto.py").read_text(
        encoding="utf-8"
    )
    names: dict[str, Any] = {"OrderedDict": OrderedDict, "list": list}
    mappings: dict[str, AutoTable] = {}
    tables: dict[str, AutoTable] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            used = _mapping_of(node)
            if used in mappings:
                tables[node.name] = mappings[used]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target, value = node.targets[0].id, node.value
            if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
                continue
            if value.func.id == "OrderedDict":
                # a literal, but for one table that begins with another's items
                code = compile(ast.Expression(value), "modeling_auto.py", "eval")
                names[target] = eval(code, {"__builtins__": {}}, names)
            elif value.func.id == "_LazyAutoMapping":
                mappings[target] = dict(names[ast.unparse(value.args[-1])])
    for alias, parts in ALIASES.items():
        merged: AutoTable = {}
        for part in reversed(parts):
            merged.update(tables.get(part, {}))
        tables.setdefault(alias, merged)
    return tables


def _mapping_of(node: ast.ClassDef) -> str | None:
    for statement in node.body:
        if (
            isinstance(statement, ast.Assign)
            and ast.unparse(statement.targets[0]) == "_model_mapping"
        ):
            return ast.unparse(statement.value)
    return None


def auto_names() -> list[str]:
    """The names of all Auto classes for models, without the TF prefix."""
    return sorted(auto_tables())
