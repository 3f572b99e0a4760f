"""Rules as data: every one has a case, every name that one writes exists, every argument order is
torch's.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from keraform.translate.rules import functions, idioms, methods, modules
from keraform.translate.rules.record import Rule
from keraform.translate.rules.tensor_attributes import TENSOR_ATTRIBUTES
from translate.rule_cases import all_cases

ROOM = Path(functions.__file__).resolve().parents[1]
RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        *functions.FUNCTIONS.values(),
        *methods.METHODS.values(),
        *modules.MODULES.values(),
    )
}

# What has no case of its own, and why.
WITHOUT_CASE: dict[str, str] = {}

# Names of models in translate/, and why they stand there.
MODEL_NAMES_ALLOWED: dict[str, str] = {}


def targets() -> dict[str, ModuleType]:
    import keras

    from keraform.runtime import layers
    from keraform.runtime import ops as kf

    return {"ops": keras.ops, "kf": kf, "layers": layers}


def resolve(root: str, dotted: str) -> Any:
    value: Any = targets()[root]
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def test_every_rule_has_a_case() -> None:
    covered = {rule for case in all_cases() for rule in case.rules}
    wanted = {
        *RULES,
        *idioms.FUNCTIONS,
        *idioms.MODULES,
        *(f"Tensor.{name}" for name in idioms.METHODS),
        *(f"builtin: {name}" for name in idioms.BUILTINS),
        *(f"Module.{name}" for name in idioms.SELF_METHODS),
    }
    assert sorted(wanted - covered - set(WITHOUT_CASE)) == [], "add a section to docs/rules"
    assert sorted(set(WITHOUT_CASE) & covered) == [], "these exceptions are no longer needed"


def test_titles_of_cases_are_unique() -> None:
    titles = [case.title for case in all_cases()]
    assert sorted(titles) == sorted(set(titles))


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda p: p.stem)
def test_names_that_the_translator_writes_exist(path: Path) -> None:
    # names that an f-string completes (`kf.conv{n}d`) are checked by the test below
    text = re.sub(r"\b(?:ops|kf|layers)\.\w+\{", "", path.read_text("utf-8"))
    for root, dotted in re.findall(r"(?<![\w.])(ops|kf|layers)\.([a-zA-Z_][\w.]*[\w])", text):
        resolve(root, dotted)


def unknown_keywords(rule: Rule) -> list[str]:
    """Keyword arguments in a rule's template that the function it calls does not have."""
    if not isinstance(rule.emit, str):
        return []
    unknown = []
    for root, name in re.findall(r"\b(ops|kf|layers)\.([\w.]+)\(", rule.emit):
        target = resolve(root, name)
        parameters = inspect.signature(target).parameters
        known = {*parameters, *getattr(target, "defaults", ())}
        if root == "layers":
            known |= {"name", "dtype"}  # of every layer of Keras
        called = rule.emit.partition(f"{root}.{name}(")[2]
        if "(" in called:
            continue  # the keywords may be those of the inner call; the case decides
        unknown += [
            f"{rule.id}: {root}.{name} has no parameter {keyword!r}"
            for keyword in re.findall(r"(\w+)=", called)
            if keyword not in known
        ]
    return unknown


def test_arguments_that_a_rule_writes_exist() -> None:
    assert [problem for rule in RULES.values() for problem in unknown_keywords(rule)] == []


def torch_signature(name: str) -> inspect.Signature | None:
    import torch
    import torch.nn.functional as F
    from torch import nn

    try:
        return inspect.signature(eval(name, {"torch": torch, "nn": nn, "F": F}))
    except (AttributeError, ValueError):
        return None  # functions written in C++ say nothing of their parameters


def misplaced_arguments(rule: Rule) -> list[str]:
    """Parameters of a rule that stand at another position than in torch."""
    signature = torch_signature(rule.id)
    if signature is None:
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in signature.parameters.values() if p.kind in kinds]
    ours = [parameter.name for parameter in rule.parameters]
    return [
        f"{rule.id}: {name} is argument {position}, in torch {names.index(name)}"
        for position, name in enumerate(ours)
        if name in names and names.index(name) != position
    ]


def test_positional_arguments_are_torchs() -> None:
    rules = [rule for rule in RULES.values() if not rule.id.startswith("Tensor.")]
    assert [problem for rule in rules for problem in misplaced_arguments(rule)] == []


def test_attributes_of_tensors_are_torchs() -> None:
    import torch

    found = {name for name in dir(torch.Tensor) if not name.startswith("_")}
    assert sorted(found - TENSOR_ATTRIBUTES) == []


def test_rules_name_functions_that_torch_has() -> None:
    import torch

    tensors = torch.Tensor
    names = [rule.id.removeprefix("Tensor.") for rule in methods.METHODS.values()]
    missing = [n for n in names if not hasattr(tensors, n) and not hasattr(tensors, n + "_")]
    assert missing == []


@pytest.mark.parametrize("table", ["functions", "methods", "modules"])
def test_two_rules_with_one_name_raise(table: str, tmp_path: Path) -> None:
    path = ROOM / "rules" / f"{table}.py"
    text = path.read_text("utf-8")
    group = {"functions": "ELEMENTWISE", "methods": "SHAPES", "modules": "WEIGHTED"}[table]
    doubled = text.replace(f"in (*{group}, ", f"in (*{group}, *{group}, ").replace(
        f"(*UNCHANGED, *CASTS, *{group}, ", f"(*UNCHANGED, *CASTS, *{group}, *{group}, "
    )
    assert doubled != text
    with pytest.raises(ValueError, match="two rules for"):
        exec(compile(doubled, str(path), "exec"), {"__name__": "doubled"})


def test_two_idioms_with_one_name_raise() -> None:
    with pytest.raises(ValueError, match=r"two idioms for torch\.max"):
        idioms._table({"torch.max": None}, {"torch.max": None})


def test_no_rule_names_a_model_type() -> None:
    from keraform.translate.source import transformers_root

    types = {p.name for p in (transformers_root() / "models").iterdir() if p.is_dir()}
    # words that are model types and ordinary words at once are told apart by the dotted path
    pattern = re.compile(r"transformers\.models\.(\w+)[\w.]*")
    found = {}
    for path in sorted(ROOM.rglob("*.py")):
        code = re.sub(r'"""(.*?)"""|#.*|`[^`\n]*`', "", path.read_text("utf-8"), flags=re.S)
        for match in pattern.finditer(code):
            if match.group(1) in types and match.group(0) not in MODEL_NAMES_ALLOWED:
                found[match.group(0)] = path.name
    assert found == {}
    unused = [n for n in MODEL_NAMES_ALLOWED if n not in (ROOM / "rules/seams.py").read_text()]
    assert unused == []


def test_no_class_of_a_model_is_named() -> None:
    from keraform.translate.source import transformers_root

    # BertModel, LlamaAttention: a model's prefix before one of the endings of modeling files
    prefixes = set()
    for folder in (transformers_root() / "models").iterdir():
        for path in folder.glob("configuration_*.py"):
            prefixes |= set(
                re.findall(r"^class (\w+?)(?:Text|Vision)?Config\(", path.read_text(), re.M)
            )
    prefixes -= {"", "PreTrained"}
    endings = "Model|PreTrainedModel|Attention|Layer|MLP|For[A-Z]\\w+|Encoder|Decoder|Mixin"
    allowed: set[str] = set()
    named = set()
    for path in sorted(ROOM.rglob("*.py")):
        code = re.sub(r'"""(.*?)"""|#.*|`[^`\n]*`', "", path.read_text("utf-8"), flags=re.S)
        named |= {
            m.group(0)
            for m in re.finditer(rf"\b([A-Z]\w+?)(?:{endings})\b", code)
            if m.group(1) in prefixes
        }
    assert named - allowed == set()


def test_the_translator_does_not_import_torch() -> None:
    code = (
        "import sys; from keraform.translate import translate_source; "
        "translate_source('import torch\\nx = torch.ones(2)\\n', filename='f.py'); "
        "assert 'torch' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
