"""The Keras side of a Transformers class: the port, with the configuration, weights and inputs of a
torch trace; needs no torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops
from transformers import AutoConfig

from keraform.errors import KeraformError
from keraform.runtime.tree import inverse_axes, named_weights
from keraform.verify import port as ports
from keraform.verify.handwritten.trace import Trace, input_leaves
from keraform.verify.handwritten.weight_map import WeightMap
from keraform.verify.handwritten.weight_pairs import Weight, WeightPair
from keraform.verify.port import Port, load_state


@dataclass
class PortSide:
    """A port that repeats a torch trace.

    Args:
        target: as the user named it.
        torch: the trace.
        inputs: other inputs than the trace's.
    """

    target: str
    torch: Trace
    inputs: dict[str, Any] | None = None

    def trace(self, dtype: str) -> Trace:
        """Run once in `dtype`; in float64 the casts to smaller floats are lifted."""
        lift = dtype == "float64"
        inputs = self.inputs or {name: leaf.array for name, leaf in self.torch.inputs.items()}
        model = Port(self._construct, load_state, self.torch.weights).build(dtype, lift)
        recording = ports.run_model(model, inputs, dtype, lift)
        weights = {}
        for each in named_weights(model):
            value = ops.convert_to_numpy(each.variable)
            weights[each.key] = (
                value if each.axes is None else value.transpose(inverse_axes(each.axes))
            )
        return Trace(
            framework="keras",
            target=self.target,
            dtype=dtype,
            versions={"keras": keras.__version__, "backend": keras.backend.backend()},
            inputs=input_leaves(inputs),
            weights=weights,
            weight_list=[Weight(name, value.shape) for name, value in weights.items()],
            recording=recording,
            classes={path: type(layer).__name__ for path, layer in _layers(model).items()},
            weight_map=WeightMap([WeightPair(name, (name,), reason="by name") for name in weights]),
            config=self.torch.config,
        )

    def _construct(self) -> Any:
        told = self.torch.config
        if not told:
            raise KeraformError(
                expected="the torch trace of a Transformers class, which says its configuration",
                got=f"a trace of {self.torch.target}",
                try_next=f"keraform trace {self.target} --framework torch --out torch.safetensors",
            )
        values = {name: each for name, each in told["values"].items() if name != "model_type"}
        config = AutoConfig.for_model(told["type"], **values)
        config._attn_implementation = config._experts_implementation = "eager"
        mirror = told["module"].replace("transformers.", "keraform.", 1)
        return getattr(importlib.import_module(mirror), f"TF{told['class']}")(config)


def _layers(model: Any) -> dict[str, Any]:
    from keraform.runtime.tree import named_layers

    return dict(named_layers(model))
