"""Making traces: which side a request means, and what it runs with. Each side is imported only when
it is asked for, so that the other framework need not be installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keraform.errors import KeraformError
from keraform.verify.given import Definition, definition, read_inputs
from keraform.verify.handwritten.trace import FRAMEWORKS, Trace, is_trace, read, weights_of
from keraform.verify.handwritten.weight_pairs import Weight
from keraform.verify.leaves import State

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Request:
    """What is to be traced, in the user's words.

    Args:
        target: `FILE.py:NAME`, a model type, or a checkpoint's directory.
        framework: `torch` or `keras`.
        class_name: of a type or directory.
        init: constructor arguments of a file's class.
        inputs: `F.npz`, `F.safetensors`, `module:function` or `FILE.py:function`.
        weights: a trace, or a checkpoint in safetensors.
        map_path: a weight map for the Keras side.
        channels_last: whether Keras is given images channels last.
        dtype: float64 or float32.
        statements: whether the statements of the user's files are recorded too.
    """

    target: str
    framework: str
    class_name: str | None = None
    init: dict[str, str] = field(default_factory=dict)
    inputs: str | None = None
    weights: str | None = None
    map_path: str | None = None
    channels_last: bool = False
    dtype: str = "float64"
    statements: bool = False


def make_trace(request: Request) -> Trace:
    """Run what a request names, on record.

    Raises:
        KeraformError: something that it names is not there or does not fit.
    """
    for value, known, option in (
        (request.framework, FRAMEWORKS, "--framework"),
        (request.dtype, DTYPES, "--dtype"),
    ):
        if value not in known:
            raise KeraformError(
                expected=f"{option} {' or '.join(known)}",
                got=f"{option} {value}",
                try_next=f"{option} {known[0]}",
            )
    return _MAKERS[request.framework, _is_file(request.target)](request)


def _is_file(target: str) -> bool:
    return target.partition(":")[0].endswith(".py")


def _definition(request: Request) -> Definition:
    target = request.target
    if ":" not in target and request.class_name:
        target = f"{target}:{request.class_name}"
    example = (
        f"keraform trace my_model.py:Model --framework {request.framework} --out t.safetensors"
    )
    return definition(target, request.init, example)


def _inputs(request: Request, path: Path) -> dict[str, Any] | None:
    return None if request.inputs is None else read_inputs(request.inputs, path)


def _wanted(request: Request) -> Any:
    return (lambda stage: True) if request.statements else None


def _torch_file(request: Request) -> Trace:
    from keraform.verify.handwritten.torch_side import torch_side

    found = _definition(request)
    weights = None if request.weights is None else weights_of(Path(request.weights))
    side = torch_side(request.target, found, read_inputs(request.inputs, found.path), weights)
    return side.trace(request.dtype, _wanted(request))


def _torch_upstream(request: Request) -> Trace:
    from keraform.verify.handwritten.upstream_side import upstream_side

    name, _, class_name = request.target.partition(":")
    inputs = _inputs(request, Path(name))
    side = upstream_side(name, class_name or request.class_name, inputs)
    return side.trace(request.dtype, _wanted(request))


def _keras_file(request: Request) -> Trace:
    from keraform.verify.handwritten.keras_calls import CHANNELS_LAST
    from keraform.verify.handwritten.keras_side import KerasSide

    found = _definition(request)
    state, weights = _weights(request)
    side = KerasSide(
        request.target,
        found,
        read_inputs(request.inputs or _trace_of(request), found.path),
        state,
        weights,
        request.map_path,
        CHANNELS_LAST if request.channels_last else None,
    )
    return side.trace(request.dtype, _wanted(request))


def _trace_of(request: Request) -> str | None:
    """The torch trace, whose inputs are taken where there are no others."""
    if request.weights is None or not is_trace(Path(request.weights)):
        return None
    return request.weights


def _weights(request: Request) -> tuple[State | None, list[Weight]]:
    if request.weights is None:
        return None, []
    path = Path(request.weights)
    if is_trace(path):
        torch = read(path)
        return torch.weights, torch.weight_list
    state = weights_of(path)
    return state, [Weight(name, value.shape) for name, value in state.items()]


def _keras_upstream(request: Request) -> Trace:
    from keraform.verify.handwritten.port_side import PortSide

    if request.weights is None:
        raise KeraformError(
            expected="the torch trace of the class, which says configuration, weights and inputs",
            got="no --weights",
            try_next=f"keraform trace {request.target} --framework keras "
            "--weights torch.safetensors --out keras.safetensors",
        )
    inputs = _inputs(request, Path(request.target))
    return PortSide(request.target, read(Path(request.weights)), inputs).trace(request.dtype)


_MAKERS = {
    ("torch", True): _torch_file,
    ("torch", False): _torch_upstream,
    ("keras", True): _keras_file,
    ("keras", False): _keras_upstream,
}
