"""The torch side of a pair that somebody wrote: a module of a file, on record. Needs no Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from keraform.errors import KeraformError
from keraform.verify import twin as twins
from keraform.verify.findings import Place
from keraform.verify.given import Definition
from keraform.verify.handwritten.places import calling_place, files_beside
from keraform.verify.handwritten.trace import Trace, input_leaves
from keraform.verify.handwritten.weight_pairs import Weight
from keraform.verify.leaves import State
from keraform.verify.localising.recorder import Recorder
from keraform.verify.twin import Twin, twin_of

Wanted = Callable[[str], bool]


@dataclass
class TorchSide:
    """A module with weights, always the same, and the inputs it is run on.

    Args:
        target: as the user named it.
        twin: the module.
        inputs: of its forward pass, by name.
        file: whose lines are named.
        config: of a Transformers model.
    """

    target: str
    twin: Twin
    inputs: dict[str, Any]
    file: str = ""
    config: dict[str, Any] | None = None

    def weights(self) -> list[Weight]:
        """What is known of each entry of the state dict."""
        return weights_of(self.twin.build())

    def trace(self, dtype: str, statements: Wanted | None = None) -> Trace:
        """Run once in `dtype`; in float64 the casts to smaller floats are lifted.

        Args:
            dtype: float64 or float32.
            statements: of which stages the statements are recorded too; of none by default.
        """
        lift = dtype == "float64"
        model = self.twin.build(dtype, lift)
        recorder = None if statements is None else Recorder(twins.read_leaf, statements)
        with ExitStack() as stack:
            places = stack.enter_context(call_places(model, self.file))
            if recorder is not None:
                stack.enter_context(recorder.watching(files_beside(self.file)))
            recording = twins.run_model(model, self.inputs, dtype, lift, recorder)
        return Trace(
            framework="torch",
            target=self.target,
            dtype=dtype,
            versions={"torch": torch.__version__},
            inputs=input_leaves(self.inputs),
            weights=self.twin.state,
            weight_list=weights_of(model),
            recording=recording,
            classes={path: type(module).__name__ for path, module in model.named_modules()},
            places=places,
            options={path: _options(module) for path, module in model.named_modules()},
            executions=recorder.executions if recorder else [],
            config=self.config or {},
        )


def torch_side(
    target: str, definition: Definition, inputs: dict[str, Any], weights: State | None = None
) -> TorchSide:
    """The side of a module of a file: random weights, or the given ones.

    Raises:
        KeraformError: it is no torch module, or the weights are another's.
    """

    def construct() -> nn.Module:
        model = definition.make()
        if not isinstance(model, nn.Module):
            raise KeraformError(
                expected=f"{target} to give a torch.nn.Module",
                got=type(model).__name__,
                try_next=f"{definition.path}:NAME, with the name of a module's class",
            )
        return model

    twin = twin_of(construct)
    if weights is not None:
        twin = replace(twin, state=_fitting(twin.state, weights, target))
    return TorchSide(target, twin, inputs, str(definition.path))


def _fitting(own: State, weights: State, target: str) -> State:
    wrong = sorted(own.keys() ^ weights.keys())
    wrong += [key for key in own if key in weights and own[key].shape != weights[key].shape]
    if wrong:
        raise KeraformError(
            expected=f"the weights of {target}: {', '.join(list(own)[:3])}, ...",
            got=f"{len(wrong)} keys that only one side has, or of another shape: "
            + ", ".join(wrong[:3]),
            try_next="the same command without --weights, which makes random ones",
        )
    return weights


def weights_of(model: nn.Module) -> list[Weight]:
    """What is known of each entry of the state dict; a tensor's second name is an alias."""
    modules = dict(model.named_modules(remove_duplicate=False))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    first: dict[int, str] = {}
    found = []
    for key, value in model.state_dict(keep_vars=True).items():
        earlier = first.setdefault(id(value), key)
        owner = modules.get(key.rpartition(".")[0])
        found.append(
            Weight(
                key,
                tuple(value.shape),
                _library_class(owner),
                key in parameters,
                None if earlier == key else earlier,
            )
        )
    return found


def _library_class(module: nn.Module | None) -> str:
    """The nearest class of torch's (or Transformers') own layers, "" where there is none."""
    for each in type(module).__mro__:
        if each.__module__.startswith(("torch.nn.modules", "transformers.pytorch_utils")):
            return "" if each in CONTAINERS else each.__name__
    return ""


def _options(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, int | float | str) and not name.startswith("_")
    }


CONTAINERS = (
    nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict,
)  # fmt: skip


@contextmanager
def call_places(model: nn.Module, file: str) -> Iterator[dict[str, Place]]:
    """While active, notes where the user's file calls each module for the first time."""
    places: dict[str, Place] = {}

    def note(path: str) -> Callable[..., None]:
        def called(*_: Any) -> None:
            if path not in places and (place := calling_place(file)) is not None:
                places[path] = place

        return called

    handles = [
        module.register_forward_pre_hook(note(path))
        for path, module in model.named_modules()
        if path and file
    ]
    try:
        yield places
    finally:
        for handle in handles:
            handle.remove()
