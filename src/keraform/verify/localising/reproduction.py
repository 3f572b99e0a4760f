"""Reproductions: a script and its tensors that show the first difference of a localisation without
`keraform.verify`.
"""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from textwrap import dedent
from typing import Any

import keras
import numpy as np
import torch
import transformers
from torch import nn

from keraform.errors import KeraformError
from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.cases import Case, Variant
from keraform.verify.findings import WEIGHTS, Finding, Localisation, Place
from keraform.verify.given import arguments
from keraform.verify.localising.isolated import ROOT
from keraform.verify.localising.recorder import source_text
from keraform.verify.localising.stored_calls import StoredCall, call_of_model, call_of_stage, stored
from keraform.verify.localising.watched import watched_variable
from keraform.verify.tolerances import LIMITS
from keraform.version import __version__

# What the script's environment has; a class from anywhere else comes along as a file.
INSTALLED = ("keraform.", "keras.", "torch.", "transformers.")
DIFFERENT = "the two sides differ"  # the script's last line

# How far two right halves may be apart, in units of the dtype's eps: the frameworks' kernels round
# and add in other orders.
HALF_ROUNDINGS = 4


def write_reproduction(case: Case, localisation: Localisation, path: Path) -> list[Path]:
    """Write a script that shows the first finding, and the files that it reads, beside it.

    The guilty stage is run alone with the inputs it had; where that does not show the difference
    (an argument cannot be stored, a later stage brings it out), the whole model is. What is
    written has been run, and has shown the difference.

    Args:
        case: the pair.
        localisation: what was found; it has findings.
        path: of the script, `F.py`. `F.npz` holds the tensors; `F_torch.py` and `F_port.py` are
            copies of the files of classes that belong to no installed package.

    Returns:
        The files that were written, the script first.

    Raises:
        KeraformError: there is no finding, or no script shows it.
    """
    if not localisation.findings:
        raise KeraformError(
            expected=f"a difference in {case.name}, to be shown by {path}",
            got="none was found",
            try_next="the same command without --repro",
        )
    finding = localisation.findings[0]
    said = ""
    for parts in _attempts(case, finding, _stage_to_run(localisation), path):
        shown, said = _shows(parts, path.name)
        if shown:
            for name, content in parts.items():
                _write_whole(path.with_name(name), content)
            return [path.with_name(name) for name in parts]
    raise KeraformError(
        expected=f"{path} to show the difference in {finding.stage or 'the model'}",
        got=f"a script that ends with: {said or 'nothing'}",
        try_next="the same command without --repro: the finding stands",
    )


@dataclass
class _Sides:
    """Both sides of a case.

    Args:
        case: the pair.
        finding: what is to be shown.
        original: torch's model in the finding's dtype.
        port_class: the port's class.
        flags: those of a variant's flags that both sides take.
    """

    case: Case
    finding: Finding
    original: nn.Module
    port_class: type
    flags: Callable[[Variant], Mapping[str, Any]]

    @property
    def lift(self) -> bool:
        """Whether casts are lifted: in float64, where only the algebra counts."""
        return self.finding.dtype == "float64"


def _sides(case: Case, finding: Finding) -> _Sides:
    lift = finding.dtype == "float64"
    original = case.twin.build(finding.dtype, lift)
    try:
        model, _ = case.port.build_anyway(finding.dtype, lift)
    except Exception as error:
        made = _half_made(error)
        if made is None:
            raise
        return _Sides(case, finding, original, made, lambda variant: {})

    def flags(variant: Variant) -> Mapping[str, Any]:
        return ports.accepted(model, twin.accepted(original, variant.flags))

    return _Sides(case, finding, original, type(model), flags)


def _half_made(error: Exception) -> type | None:
    """The class of the outermost layer whose constructor was under way."""
    step = error.__traceback__
    while step is not None:
        owner = step.tb_frame.f_locals.get("self")
        if isinstance(owner, keras.layers.Layer):
            return type(owner)
        step = step.tb_next
    return None


def _stage_to_run(localisation: Localisation) -> str:
    """The stage that shows the first finding alone.

    Weights may have no place in either of the two. A constructor's statement belongs to no stage:
    the first one whose own code is wrong shows it.
    """
    finding = localisation.findings[0]
    if finding.kind == WEIGHTS:
        return ROOT
    return finding.stage or next((each.stage for each in localisation.findings if each.stage), ROOT)


def _attempts(case: Case, finding: Finding, alone: str, path: Path) -> Iterator[dict[str, bytes]]:
    """The files of each script that may show the finding: the stage alone first."""
    sides = _sides(case, finding)
    # Dtypes are looked at on the richest inputs alone.
    for variant in case.variants if sides.lift else case.variants[:1]:
        if alone != ROOT:
            call = call_of_stage(sides.original, alone, variant, finding.dtype, sides.lift)
            if call is not None:
                yield _files(sides, call, alone.partition("#")[0], path)
        call = call_of_model(sides.original, variant, finding.dtype, sides.flags(variant))
        yield _files(sides, call, ROOT, path)


def _files(sides: _Sides, call: StoredCall, stage: str, path: Path) -> dict[str, bytes]:
    """A script and what it reads, by file name; the script first."""
    state = sides.original.get_submodule(stage).state_dict()
    config = _config_of(sides)
    data = {f"inputs/{name}": value for name, value in call.arrays.items()}
    data |= {f"weights/{key}": stored(value) for key, value in state.items()}
    if config is not None:
        data["config"] = np.array(config.to_json_string(use_diff=False))
    copies: dict[str, Path] = {}
    torch_class = type(sides.original)
    sources = {
        "torch": _source(torch_class, f"{path.stem}_torch.py", copies),
        "port": _source(sides.port_class, f"{path.stem}_port.py", copies),
    }
    names = [f"{path.stem}.npz", *copies]
    text = _template().substitute(
        _words(sides, copies),
        **_limit_words(sides.finding),
        script=path.name,
        data=names[0],
        files=" and ".join(names),
        stage=repr(stage),
        torch_source=repr(sources["torch"]),
        port_source=repr(sources["port"]),
        torch_model=repr(_expression(torch_class, sides.case, config)),
        port_model=repr(_expression(sides.port_class, sides.case, config)),
        config=repr((type(config).__module__, type(config).__qualname__) if config else None),
        folders=repr(sorted({str(each.parent) for each in copies.values()})),
        kept=repr(_kept_in_float32(state, sides.finding.dtype)),
        arguments=call.text(),
    )
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **data)  # type: ignore[arg-type]
    return {
        path.name: text.encode(),
        names[0]: arrays.getvalue(),
        **{name: source_text(str(file)).encode() for name, file in copies.items()},
    }


def _template() -> Template:
    script = files("keraform.verify.localising").joinpath("reproduction_script.txt")
    return Template(script.read_text("utf-8"))


def _words(sides: _Sides, copies: Mapping[str, Path]) -> dict[str, str]:
    """What the script says of the finding."""
    finding = sides.finding

    def place(found: Place | None) -> str:
        if found is None:
            return "None"
        copy = (name for name, file in copies.items() if str(file) == found.file)
        return repr((next(copy, Path(found.file).name), found.line, dedent(found.text)))

    return {
        "title": f"A difference between torch's {type(sides.original).__name__} and its port "
        f"{sides.port_class.__name__}, run alone.",
        "keraform": __version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "backend": keras.backend.backend(),
        "torch_statement": place(finding.torch),
        "port_statement": place(finding.keras),
        "problem": repr(finding.problem),
        "cause": repr(finding.cause),
    }


def _limit_words(finding: Finding) -> dict[str, str]:
    """How far the two sides may be apart, and why."""
    dtype = finding.dtype
    half = dtype not in LIMITS
    limit = HALF_ROUNDINGS * torch.finfo(getattr(torch, dtype)).eps if half else LIMITS[dtype]
    reasons = {
        "float64": "casts are lifted, so that one ulp moves outputs by 1e-15 to 1e-12",
        "float32": "rounding moves outputs by 1e-7 to 1e-6",
    }
    roundings = f"{HALF_ROUNDINGS} times the dtype's eps: kernels round and add in other orders"
    return {
        "dtype": dtype,
        "limit": repr(limit),
        "limit_reason": f"# Relative to the larger of 1 and torch's rms; "
        f"{reasons.get(dtype, roundings)}.",
        "watched": repr(watched_variable(finding.torch, finding.keras) if half else None),
        "watched_reason": "# Functions of both sides and a variable whose dtypes are to agree.",
    }


def _config_of(sides: _Sides) -> Any | None:
    """The config that both classes are made with; None where they take other arguments."""
    config = getattr(sides.original, "config", None)
    known = type(config).__module__.startswith(INSTALLED)
    return config if known and not sides.case.init else None


def _source(model_class: type, copy: str, copies: dict[str, Path]) -> str:
    """Where the script finds a class: a module's name, or a file that is noted in `copies`."""
    if model_class.__module__.startswith(INSTALLED):
        return model_class.__module__
    copies[copy] = Path(inspect.getfile(model_class))
    return copy


def _expression(model_class: type, case: Case, config: Any | None) -> str:
    """The source that makes a model."""
    if config is not None:
        return f"{model_class.__qualname__}(config)"
    module = sys.modules[model_class.__module__]
    given = []
    for name, text in case.init.items():
        is_text = arguments({name: text}, module)[name] == text
        given.append(f"{name}={text!r}" if is_text else f"{name}={text}")
    return f"{model_class.__qualname__}({', '.join(given)})"


def _kept_in_float32(state: Mapping[str, torch.Tensor], dtype: str) -> tuple[str, ...]:
    if dtype in LIMITS:
        return ()
    return tuple(key for key, value in state.items() if value.dtype is torch.float32)


def _shows(parts: Mapping[str, bytes], script: str) -> tuple[bool, str]:
    """Whether a script, run by itself, shows the difference; and its last line."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in parts.items():
            (Path(folder) / name).write_bytes(content)
        places = os.pathsep.join(each for each in sys.path if each)
        ran = subprocess.run(
            [sys.executable, str(Path(folder) / script)],
            env={**os.environ, "PYTHONPATH": places},
            cwd=folder,
            capture_output=True,
            text=True,
        )
    shown = ran.returncode == 1 and ran.stdout.rstrip().endswith(DIFFERENT)
    said = ran.stdout if ran.returncode == 0 else ran.stderr  # after a failure, the exception
    return shown, said.rstrip().rpartition("\n")[2]


def _write_whole(path: Path, content: bytes) -> None:
    """A file in one piece, or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise KeraformError(
            expected="a place to write", got=f"{path}: {error.strerror}", try_next=f"touch {path}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
