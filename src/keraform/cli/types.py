"""The model types that a command may name, and the upstream modules that they consist of.

Read from the files of the installed Transformers: importing its auto tables would import torch
where it is installed.
"""

from __future__ import annotations

import difflib
import runpy
from functools import lru_cache

from keraform.errors import KeraformError


@lru_cache(maxsize=1)
def folders() -> dict[str, str]:
    """Each model type that has a modeling file, and its folder under `models/`."""
    from keraform.translate.source import transformers_root

    models = transformers_root() / "models"
    ported = {path.parent.name for path in models.glob("*/modeling_*.py")}
    file = models / "auto" / "auto_mappings.py"
    tables = runpy.run_path(str(file)) if file.exists() else {}  # older releases do not have it
    special = tables.get("SPECIAL_MODEL_TYPE_TO_MODULE_NAME", {})
    found = {}
    for name in tables.get("CONFIG_MAPPING_NAMES", ()):
        folder = special.get(name, name.replace("-", "_"))
        if folder in ported:
            found[name] = folder
    found |= {folder: folder for folder in ported - set(found.values())}
    return dict(sorted(found.items()))


def folder_of(model_type: str) -> str:
    """The folder of a model type.

    Raises:
        KeraformError: Transformers has no such type.
    """
    known = folders()
    if model_type in known:
        return known[model_type]
    # a few rare types stand only in the tables that Transformers makes when it is imported
    from transformers.models.auto import configuration_auto

    if model_type in configuration_auto.CONFIG_MAPPING_NAMES:
        folder = configuration_auto.model_type_to_module_name(model_type)
        if folder in known.values():
            return folder
    near = difflib.get_close_matches(model_type, known, n=3) or ["bert"]
    raise KeraformError(
        expected="a model type of the installed Transformers",
        got=repr(model_type),
        try_next=", ".join(f"keraform status {each}" for each in near),
    )


def modules_of(model_type: str) -> list[str]:
    """The upstream modeling modules of a type, its own file last."""
    from keraform import translate

    folder = folder_of(model_type)
    modules = translate.modeling_modules(folder)
    return sorted(modules, key=lambda module: module.endswith(f".modeling_{folder}"))
