"""Checkpoint directories with modeling code of their own as targets: torch runs that code, and the
port is its translation.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import AutoConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from keraform.auto.repositories import Reference, is_allowed, ported, reference_in, torch_module
from keraform.checkpoints.json_files import read_object
from keraform.verify.cases import Case
from keraform.verify.kind_assertions import KindAssertions
from keraform.verify.refusals import Refusal, refusals_of


def references_in(folder: Path) -> list[Reference]:
    """The models of a directory's `auto_map`: those that its config names, else all.

    Args:
        folder: A directory with config.json.
    """
    fields = read_object(folder / "config.json")
    auto_map = fields.get("auto_map")
    names = [name for name in auto_map or () if name.startswith("AutoModel")]
    found = [reference_in(auto_map, name, str(folder), {}) for name in names]
    known = {each.name: each for each in found if each is not None}
    named = [known[name] for name in fields.get("architectures") or () if name in known]
    return named or list(known.values())


def repository_cases(
    folder: Path, references: list[Reference], trust: bool, case_of: Any
) -> list[Case]:
    """One case for each class.

    Args:
        folder: A directory.
        references: Its classes.
        trust: Whether its code may run.
        case_of: Makes a directory's case of its configuration, a torch class and a port.

    Raises:
        KeraformError: The code may not run, or is no Python.
    """
    is_allowed(references[0], trust, False, str(folder))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    return [_case(folder, config, each, case_of) for each in references]


def _case(folder: Path, config: Any, reference: Reference, case_of: Any) -> Case:
    name = f"{reference.module}.{reference.name}"
    torch_class = get_class_from_dynamic_module(name, str(folder))
    module = sys.modules[torch_class.__module__]
    known_as = torch_module(reference)
    return replace(
        case_of(config, torch_class, lambda: ported(reference)),
        find_refusals=lambda: _refusals(known_as, module, reference.name),
        find_kinds=lambda: _kinds(known_as, module),
    )


def _refusals(known_as: str, module: ModuleType, name: str) -> list[Refusal]:
    from keraform import translate

    found = [
        Refusal(each.rule, each.file, each.line, each.reason)
        for each in translate.translation(known_as).refusals
    ]
    return refusals_of(module.__file__, name, found)


def _kinds(known_as: str, module: ModuleType) -> KindAssertions:
    from keraform.translate import map_module

    return KindAssertions(f"{known_as.rsplit('.', 1)[-1]}.py", module, map_module(known_as).kinds)
