"""A port with one edit in it, as a case: what a wrong rule would have written."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

from keraform.verify.cases import Case
from keraform.verify.eager import eager
from keraform.verify.localising.origins import origin_of
from keraform.verify.targets import Target, cases_of

MODULE = "keraform_edited_port"


def edited_case(model_type: str, class_name: str, old: str, new: str, folder: Path) -> Case:
    """The case of a class whose port has `new` in the place of its first `old`."""
    (case,) = cases_of(Target(model_type, (class_name,)))
    clean = sys.modules[type(case.make_port()).__module__]
    text = Path(clean.__file__).read_text(encoding="utf-8")
    assert old in text
    path = folder / "edited_port.py"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(MODULE, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)

    def make_port():
        return getattr(module, f"TF{class_name}")(eager(case.make_port().config))

    def origin(file: str):
        return origin_of(clean.__file__ if file == str(path) else file)

    return replace(case, make_port=make_port, origin=origin)
