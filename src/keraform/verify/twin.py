"""Twins: the PyTorch original with random weights, run with every module's inputs and outputs on
record.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from keraform.verify.draws.of_torch import torch_noise
from keraform.verify.drives import keep_in_float32, torch_values
from keraform.verify.eager import eager
from keraform.verify.leaves import (
    Leaf,
    Leaves,
    Recording,
    State,
    leaves,
    named_arguments,
)
from keraform.verify.lift import torch_precision
from keraform.verify.localising.recorder import Recorder, flatten
from keraform.verify.written_over import GivenTensors

# From this seed on the gains of norms are small, too: after a norm, each of them multiplies what
# rounding has made of a value.
SMALL_GAINS = 4
GAIN = 0.25


@dataclass
class Twin:
    """A torch model in any dtype, always with the same weights.

    Args:
        construct: builds the module anew; weights do not matter.
        state: the weights, float32, under the keys of torch's state dict.
    """

    construct: Callable[[], nn.Module]
    state: State

    def build(self, dtype: str = "float32", lift: bool = False) -> nn.Module:
        """The module in `dtype` and evaluation mode, constants made at that precision."""
        with torch_precision(dtype, lift):
            model = self.construct()
            keep_in_float32(model, getattr(torch, dtype))
            if lift:
                model.double()  # torch.FloatTensor and the like, which name float32 as a type
            own = model.state_dict()
            wanted = {key: _tensor(value, own[key].dtype) for key, value in self.state.items()}
            model.load_state_dict(wanted)
        return model.eval()

    def run(
        self, inputs: Mapping[str, Any], dtype: str = "float32", lift: bool = False, **flags: Any
    ) -> Recording:
        """Build in `dtype`, run once, and give what was recorded."""
        return run_model(self.build(dtype, lift), inputs, dtype, lift, **flags)


def run_model(
    model: nn.Module,
    inputs: Mapping[str, Any],
    dtype: str,
    lift: bool,
    recorder: Recorder | None = None,
    **flags: Any,
) -> Recording:
    """Run a twin that was built in `dtype`; what it draws at random, the port draws too.

    Upstream builds with the model's dtype as the default and calls with torch's own default.
    """
    default = "float64" if dtype == "float64" else "float32"
    with torch_precision(default, lift), torch.no_grad(), torch_noise():
        return record(model, torch_values(dict(inputs), getattr(torch, dtype)), recorder, **flags)


def random_twin(model_class: type, config: Any, seed: int = 0, spread: float = 1.0) -> Twin:
    """The twin of a Transformers class under eager attention, every weight random."""
    config = eager(config, model_class.__name__)

    def construct() -> nn.Module:
        return model_class(copy.deepcopy(config))

    return twin_of(construct, seed, spread)


def twin_of(construct: Callable[[], nn.Module], seed: int = 0, spread: float = 1.0) -> Twin:
    """A twin whose weights are the constructor's own plus noise, which depends on `seed`, `spread`
    and each key alone.
    """
    torch.manual_seed(seed)
    with torch_precision("float32", lift=False):
        model = construct()
    randomise(model, seed, spread)
    return Twin(construct, {key: _array(value) for key, value in model.state_dict().items()})


def randomise(model: nn.Module, seed: int, spread: float = 1.0) -> None:
    """Add noise to every parameter and float buffer of the state dict; variances stay positive.

    Biases start at 0 and norms at 1, where a swapped or forgotten one cannot be seen.
    """
    kept = set(model.state_dict())
    tensors = [*model.named_parameters(), *((k, b) for k, b in model.named_buffers() if k in kept)]
    with torch.no_grad():
        for key, tensor in tensors:
            if tensor.is_floating_point():
                tensor.copy_(_noisy(key, tensor.detach().float().numpy(), seed, spread))


def _noisy(key: str, value: np.ndarray, seed: int, spread: float) -> torch.Tensor:
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    if key.endswith("running_var"):
        return torch.from_numpy(rng.uniform(1.0, 4.0, value.shape).astype("float32"))
    value = np.where(np.isnan(value), 0, value)  # memory that a constructor leaves as it was
    inputs = math.prod(value.shape[1:]) or 1
    if seed:
        small = value.ndim < 2 and seed >= SMALL_GAINS
        value = _calmed(value, GAIN if small else 1 / math.sqrt(inputs))
    scale = 0.2 if value.ndim < 2 else 0.5 / math.sqrt(inputs)
    noise = spread * scale * rng.normal(size=value.shape)
    return torch.from_numpy(np.asarray(value + noise, "float32"))


def _calmed(value: np.ndarray, largest: float) -> np.ndarray:
    """What a constructor draws large, made as small as what adds up to inputs of one: frequencies
    of a sine and scores of attention, at which rounding would decide. Bounds stay infinite.
    """
    finite = value[np.isfinite(value)]
    rms = float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
    return np.where(np.isfinite(value), value / max(1.0, rms / largest), value)


def record(
    model: nn.Module, inputs: Mapping[str, Any], recorder: Recorder | None = None, **flags: Any
) -> Recording:
    """Call the model with all of its modules on record, shared modules under their first path.

    An output that the model changes in place after a module has given it (`encoder_states +=
    positions`, of what the caller holds) counts as it was given (`deviations.py`).

    Args:
        model: the torch side.
        inputs: of the forward pass.
        recorder: told which stage runs, for statements; what it reads of tensors, is read of all.
        **flags: such as `output_attentions`, for a forward pass that takes them.
    """
    recording = Recording()
    given = GivenTensors(read_leaf if recorder is None else recorder.read)
    with _hooks(model, recording, recorder, given):
        output = model(**inputs, **accepted(model, flags))
    recording.outputs = leaves(output, given.first, caches=True)
    recording.written_over = given.replaced(recording.outputs)
    return recording


def accepted(model: nn.Module, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `output_hidden_states` and its like that the forward pass takes."""
    parameters = inspect.signature(model.forward).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(flags)
    return {name: value for name, value in flags.items() if name in parameters}


@contextmanager
def _hooks(
    model: nn.Module, recording: Recording, recorder: Recorder | None, given: GivenTensors
) -> Iterator[None]:
    running: list[tuple[str, Leaves]] = []

    def begin(path: str) -> Callable[..., None]:
        def begun(module: nn.Module, args: Any, kwargs: Any) -> None:
            arguments = named_arguments(type(module).forward, args, kwargs)
            running.append((recording.begin(path), flatten(arguments, given.read)))
            if recorder is not None:
                recorder.enter(running[-1][0])

        return begun

    def end(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        name, inputs = running.pop()
        if recorder is not None:
            recorder.leave()
        given.passed_on = {id(value) for value in (*args, *kwargs.values())}
        recording.end(name, inputs, leaves(output, given.note))

    handles: list[Any] = []
    for path, module in model.named_modules():
        if path:
            handles.append(module.register_forward_pre_hook(begin(path), with_kwargs=True))
            handles.append(module.register_forward_hook(end, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read_leaf(value: Any) -> Leaf | None:
    """A torch tensor as a leaf; copied, since modules may write in place later."""
    if not isinstance(value, torch.Tensor):
        return None
    tensor = value.detach()
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.dtype is torch.bfloat16:
        tensor = tensor.float()
    return Leaf(dtype, tensor.numpy().copy())


def read_dtype(value: Any) -> Leaf | None:
    """The dtype of a torch tensor as a leaf."""
    if not isinstance(value, torch.Tensor):
        return None
    return Leaf.without_values(str(value.dtype).removeprefix("torch."))


def outputs_of(model: nn.Module, inputs: Mapping[str, Any], **flags: Any) -> Leaves:
    """The outputs alone."""
    with torch.no_grad():
        return leaves(model(**inputs, **accepted(model, flags)), read_leaf, caches=True)


def _array(value: torch.Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().copy()


def _tensor(value: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(np.array(value)).to(dtype)
