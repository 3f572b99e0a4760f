"""What a worker process of the matrix does. Keras and torch are imported when the first piece of
work comes: a worker's backend is known by then.
"""

from __future__ import annotations

import functools
from typing import Any

from keraform.verify.matrix.rows import Row, is_without_twin, merged, rungs_to_run

JAX_RUNG = 9


def classes_in(model_type: str) -> list[str]:
    """The names of a type's classes; none where it has no modeling file."""
    try:
        return list(_torch_classes(model_type))
    except ModuleNotFoundError:
        return []


def row_of(model_type: str, name: str, rungs: set[int], known: Row | None) -> Row:
    """One class's row: what is known of the same generated file, and the rungs that are not.

    Args:
        model_type: the type.
        name: of the torch class.
        rungs: to run, where they are not known; rung 9 alone, in a process on JAX.
        known: an earlier row.
    """
    row = {"family": family_of(_torch_classes(model_type)[name]), **_file(model_type, name)}
    if known is not None and (known["hash"] != row["hash"] or is_without_twin(known)):
        known = None  # a package may have come since then, or a tiny config
    todo = rungs_to_run(rungs, known)
    if todo == {JAX_RUNG}:
        row |= _on_jax(model_type, name)
    elif todo:
        row |= _climb(model_type, name, todo)
    return merged(row, known)


def counts_of(module: str) -> dict[str, Any]:
    """How many operations a port has, how many of them decide at run time, and why."""
    from keraform import translate

    stats = translate.translation(module).stats
    return {
        "operations": stats.operations,
        "dispatched": stats.helper_calls,
        "reasons": dict(sorted(stats.helper_reasons.items())),
    }


def family_of(torch_class: type) -> str:
    """What a class reads, by the arguments of its forward pass."""
    import inspect

    names = set(inspect.signature(torch_class.forward).parameters)
    kinds = {
        "text": bool(names & {"input_ids"}),
        "image": any("pixel_values" in name or "image" in name for name in names),
        "audio": bool(names & {"input_values", "input_features", "audio_values", "audio_codes"}),
        "time series": bool(names & {"past_values", "past_sequences"}),
    }
    return " and ".join(kind for kind, read in kinds.items() if read) or "other"


@functools.lru_cache(maxsize=4)
def _torch_classes(model_type: str) -> dict[str, type]:
    from keraform.verify.classes import classes_of
    from keraform.verify.quiet import quiet

    with quiet():
        return {each.__name__: each for each in classes_of(model_type)}


def _file(model_type: str, name: str) -> dict[str, str]:
    """Where a class stands, and the hash of what is generated from it."""
    module = _torch_classes(model_type)[name].__module__
    return {"source": module, "hash": _digest(module)}


@functools.lru_cache(maxsize=4)
def _digest(module: str) -> str:
    from keraform import translate

    return translate.digest_of(translate.translation(module).code)


def _on_jax(model_type: str, name: str) -> Row:
    """Rung 9, which is rungs 4 and 5 on JAX, in a process on that backend."""
    from keraform.verify.rungs.portable import INNER_RUNGS, verdict

    found = _climb(model_type, name, set(INNER_RUNGS))
    if "torch" in found:
        return {"torch": found["torch"]}
    return {"rungs": {str(JAX_RUNG): verdict(found["rungs"][str(rung)] for rung in INNER_RUNGS)}}


@functools.cache
def _prepare() -> None:
    """What a worker does once, when all is imported that serves every class."""
    from keraform.verify import ladder, live_code  # noqa: F401

    live_code.freeze()


def _climb(model_type: str, name: str, rungs: set[int]) -> Row:
    _prepare()
    from keraform.verify.ladder import climb
    from keraform.verify.targets import Target

    report = climb(Target(model_type, (name,)), rungs).classes[0]
    record = report.to_json()
    refusals = sorted({f"{each.rule}: {each.reason}" for each in report.refusals})
    kept: Row = {key: record[key] for key in ("rungs", "max_error", "torch") if key in record}
    return {**kept, **({"refusals": refusals} if refusals else {})}
