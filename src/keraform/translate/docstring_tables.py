"""Transformers' docstring tables, read from the installed release without importing torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keraform.translate.source import transformers_root

TABLES_FILE = "utils/auto_docstring.py"

# Tables of arguments, in the order in which a later one wins over an earlier one.
MODEL_TABLES = ("ModelArgs", "ImageProcessorArgs", "VideoProcessorArgs")
TASK_TABLE = "ModelForArgs"
OUTPUT_TABLE = "ModelOutputArgs"
INTRO_TABLE = "ClassDocstring"

# Placeholder in the tables' text: the file under models/auto and the table in it that resolve it,
# and what stands there for a model type that the table does not list.
PLACEHOLDERS: dict[str, tuple[str, str, str]] = {
    "image_processor_class": (
        "image_processing_auto",
        "IMAGE_PROCESSOR_MAPPING_NAMES",
        "AutoImageProcessor",
    ),
    "video_processor_class": (
        "video_processing_auto",
        "VIDEO_PROCESSOR_MAPPING_NAMES",
        "AutoVideoProcessor",
    ),
    "feature_extractor_class": (
        "feature_extraction_auto",
        "FEATURE_EXTRACTOR_MAPPING_NAMES",
        "AutoFeatureExtractor",
    ),
    "tokenizer_class": ("tokenization_auto", "TOKENIZER_MAPPING_NAMES", "AutoTokenizer"),
    "processor_class": ("processing_auto", "PROCESSOR_MAPPING_NAMES", "AutoProcessor"),
    "config_class": ("configuration_auto", "CONFIG_MAPPING_NAMES", "AutoConfig"),
    "model_class": ("modeling_auto", "MODEL_MAPPING_NAMES", "AutoModel"),
}

# Where a table lists one class for each image library, the first of these that is there is the name
# in the text.
LIBRARY_ORDER = ("torchvision", "pil")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class TableEntry:
    """One argument as a table describes it."""

    description: str
    shape: str | None = None
    type: str | None = None
    additional_info: str | None = None


def _entry(record: Mapping[str, Any]) -> TableEntry:
    return TableEntry(
        description=record["description"],
        shape=record.get("shape"),
        type=record.get("type"),
        additional_info=record.get("additional_info"),
    )


@lru_cache
def _tables() -> dict[str, dict[str, Any]]:
    """Every class of the tables' file as a mapping; a class inside a class is one inside it."""
    tree = _tree(_package_file(TABLES_FILE))
    return {node.name: _members(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _members(node: ast.ClassDef) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in node.body:
        if isinstance(each, ast.ClassDef):
            found[each.name] = _members(each)
        elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            # one row may be another's name: `ForVideoClassification = ForImageClassification`
            value = each.value
            same = found.get(value.id) if isinstance(value, ast.Name) else _literal(value)
            found[each.targets[0].id] = same
    return found


def _table(name: str) -> Mapping[str, Any]:
    return _tables().get(name, {})


@lru_cache
def _task_suffixes() -> tuple[str, ...]:
    """Names such as ForMaskedLM, longest first, so that a short one does not hide a long one."""
    return tuple(sorted(_table(TASK_TABLE), key=len, reverse=True))


def argument(name: str, class_name: str) -> TableEntry | None:
    """The entry of a call's or a constructor's argument; the class's task decides what `labels`
    are.
    """
    for suffix in _task_suffixes():
        if class_name.endswith(suffix):
            record = _table(TASK_TABLE)[suffix].get(name)
            if record is not None:
                return _entry(record)
            break
    for table in reversed(MODEL_TABLES):
        record = _table(table).get(name)
        if isinstance(record, dict):
            return _entry(record)
    return None


def output_field(name: str) -> TableEntry | None:
    """The entry of a field of an output class."""
    record = _table(OUTPUT_TABLE).get(name)
    return _entry(record) if isinstance(record, dict) else None


def class_intro(class_name: str) -> tuple[str | None, str | None]:
    """The name of the longest table row that the class's name ends with, and its text."""
    rows = {name: text for name, text in _table(INTRO_TABLE).items() if isinstance(text, str)}
    names = [name for name in rows if class_name.endswith(name) and not name.startswith("_")]
    if not names:
        return None, rows.get("PreTrainedModel")
    name = max(names, key=len)
    return name, rows[name]


def base_intro() -> str:
    """The paragraph that every model class has on what it inherits."""
    return _table(INTRO_TABLE).get("PreTrainedModel", "")


def fill_placeholders(text: str, model_type: str | None) -> str:
    """Puts the classes of a model type into the text where the tables have `{tokenizer_class}` and
    the like.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        return placeholder(name, model_type) if name in PLACEHOLDERS else match.group(0)

    return _PLACEHOLDER.sub(replace, text)


@lru_cache
def placeholder(name: str, model_type: str | None) -> str:
    """The class that a placeholder stands for, by the auto tables' source."""
    file_name, table, fallback = PLACEHOLDERS[name]
    rows = _auto_table(file_name, table)
    value = rows.get(model_type or "") or rows.get((model_type or "").replace("_", "-"))
    if isinstance(value, Mapping):
        value = next((value[key] for key in LIBRARY_ORDER if value.get(key)), None)
    if isinstance(value, tuple | list):
        value = next((item for item in reversed(value) if item), None)
    return value or fallback


@lru_cache
def _auto_table(file_name: str, table: str) -> dict[str, Any]:
    """An auto table, read from source: importing these files would import torch and torchvision."""
    rows: dict[str, Any] = {}
    for path in (
        _package_file("models/auto/auto_mappings.py"),
        _package_file(f"models/auto/{file_name}.py"),
    ):
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(
                node.value, ast.Call
            ):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            # Auto-inferred rows stand in one file; rows by hand, in a table of nearly that name, in
            # the other.
            if any(
                isinstance(each, ast.Name) and each.id in (table, f"MISSING_{table}")
                for each in targets
            ):
                for argument_node in node.value.args:
                    rows.update(_pairs(argument_node))
    return rows


def _pairs(node: ast.expr) -> dict[str, Any]:
    """The rows of a literal list of pairs; a conditional value counts as if its library
    were there.
    """
    rows: dict[str, Any] = {}
    for element in node.elts if isinstance(node, ast.List) else []:
        if isinstance(element, ast.Tuple) and len(element.elts) == 2:
            rows[ast.literal_eval(element.elts[0])] = _literal(element.elts[1])
    return rows


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.IfExp):
        return _literal(node.body)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(element) for element in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def shared_output(name: str) -> str | None:
    """The docstring of an output class that many models share, or None."""
    return _shared_outputs().get(name)


@lru_cache
def _shared_outputs() -> dict[str, str]:
    tree = _tree(_package_file("modeling_outputs.py"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: ast.get_docstring(node) or "" for node in classes}


@lru_cache
def checkpoint(model_type: str | None) -> str | None:
    """The Hub id that the configuration's source names as the model's checkpoint."""
    if not model_type:
        return None
    folder = model_type.replace("-", "_")
    try:
        source = _package_file(f"models/{folder}/configuration_{folder}.py").read_text("utf-8")
    except OSError:
        return None
    match = re.search(r"@auto_docstring\([^)]*?checkpoint=\"([^\"]+)\"", source)
    return match.group(1) if match else None


def _package_file(relative: str) -> Path:
    return transformers_root() / relative


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text("utf-8"))
    except OSError:  # a release that does not have the file
        return ast.Module(body=[], type_ignores=[])
