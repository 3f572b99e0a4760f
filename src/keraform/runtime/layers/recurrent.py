"""GRU and LSTM with torch's gates, layouts and keys.

Algebra (torch 2.13): LSTM gates i, f, g, o; `c' = f c + i g`, `h' = o tanh(c')`. GRU gates r, z,
n; `n = tanh(W x + b + r (U h + c))`, `h' = (1 - z) n + z h`. Weights stay in torch's layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keraform.runtime.layers.base import Layer, Tensor
from keraform.runtime.tree import read

Step = Callable[[Tensor, tuple[Tensor, ...], Tensor, Tensor | None], tuple[Tensor, ...]]


def lstm_step(
    projected: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """One LSTM step from the projected input `[b, 4 h]` and the state `(h, c)`."""
    hidden, cell = state
    gates = projected + _linear(hidden, recurrent, bias)
    i, f, g, o = ops.split(gates, 4, axis=-1)
    cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(cell), cell


def gru_step(
    projected: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """One GRU step from the projected input `[b, 3 h]` and the state `(h,)`."""
    (hidden,) = state
    r, z, n = ops.split(projected, 3, axis=-1)
    hidden_r, hidden_z, hidden_n = ops.split(_linear(hidden, recurrent, bias), 3, axis=-1)
    update = ops.sigmoid(z + hidden_z)
    new = ops.tanh(n + ops.sigmoid(r + hidden_r) * hidden_n)
    return ((1.0 - update) * new + update * hidden,)


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    outputs = ops.matmul(inputs, ops.transpose(weight))
    return outputs if bias is None else outputs + bias


class _Recurrent(Layer):
    """What GRU and LSTM share: stacking, directions, scanning."""

    gates = 4
    states = 2
    step: Step

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if proj_size and self.states == 1:
            raise ValueError(
                f"expected proj_size=0 for {type(self).__name__}; got {proj_size}; "
                "only LSTM has projections."
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._directions = ("", "_reverse") if bidirectional else ("",)
        if dropout > 0 and num_layers > 1:
            self.seed_generator = keras.random.SeedGenerator()
        bound = 1.0 / math.sqrt(hidden_size) if hidden_size else 0.0
        self._bound = keras.initializers.RandomUniform(-bound, bound)
        output_size = proj_size or hidden_size
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            size = input_size if layer == 0 else output_size * len(self._directions)
            for direction in self._directions:
                end = f"l{layer}{direction}"
                self._add(f"weight_ih_{end}", (rows, size))
                self._add(f"weight_hh_{end}", (rows, output_size))
                if bias:
                    self._add(f"bias_ih_{end}", (rows,))
                    self._add(f"bias_hh_{end}", (rows,))
                if proj_size:
                    self._add(f"weight_hr_{end}", (proj_size, hidden_size))

    def _add(self, name: str, shape: tuple[int, ...]) -> None:
        # a fresh copy, since Keras refuses to use one unseeded initialiser twice
        how = self._bound.__class__.from_config(self._bound.get_config())
        setattr(self, name, self.add_weight(name=name, shape=shape, initializer=how))

    def call(self, inputs: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Run over the sequence.

        Call arguments:
            inputs: `[length, b, input_size]`, or `[b, length, input_size]` with `batch_first`.
            hx: the first state `[layers * directions, b, hidden_size]`; for LSTM a pair.

        Returns:
            All outputs, and the last state.
        """
        inputs = self.cast_input(inputs)
        batched = len(inputs.shape) == 3
        axis = 0 if self.batch_first and batched else 1
        if not batched:
            inputs = ops.expand_dims(inputs, 1)
        elif self.batch_first:
            inputs = ops.transpose(inputs, (1, 0, 2))
        states = self._first_states(inputs, hx, batched)
        values, last = inputs, []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                values = keras.random.dropout(values, self.dropout, seed=self.seed_generator)
            sides = []
            for side, direction in enumerate(self._directions):
                place = layer * len(self._directions) + side
                start = tuple(state[place] for state in states)
                outputs, end = self._scan(values, start, f"l{layer}{direction}", side == 1)
                sides.append(outputs)
                last.append(end)
            values = sides[0] if len(sides) == 1 else ops.concatenate(sides, axis=-1)
        final = [ops.stack([end[i] for end in last]) for i in range(self.states)]
        if not batched:
            values, final = ops.squeeze(values, 1), [ops.squeeze(state, 1) for state in final]
        elif axis == 0:
            values = ops.transpose(values, (1, 0, 2))
        return values, tuple(final) if self.states > 1 else final[0]

    def _first_states(self, inputs: Tensor, hx: Any, batched: bool) -> list[Tensor]:
        if hx is not None:
            states = list(hx) if self.states > 1 else [hx]
            return states if batched else [ops.expand_dims(state, 1) for state in states]
        count = self.num_layers * len(self._directions)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: self.states]
        b = ops.shape(inputs)[1]
        return [ops.zeros((count, b, size), dtype=inputs.dtype) for size in sizes]

    def _scan(
        self, values: Tensor, start: tuple[Tensor, ...], end: str, reverse: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        def weight(name: str) -> Tensor | None:
            held = getattr(self, f"{name}_{end}", None)
            return None if held is None else read(held)

        recurrent, bias, narrow = weight("weight_hh"), weight("bias_hh"), weight("weight_hr")
        projected = _linear(values, weight("weight_ih"), weight("bias_ih"))  # all steps at once

        width = start[0].shape[-1]

        def step(packed: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
            # one tensor, state and output alike: TensorFlow's scan wants no other structure
            state = tuple(ops.split(packed, [width], axis=-1))[: self.states]
            new = type(self).step(current, state, recurrent, bias)
            if narrow is not None:
                new = (_linear(new[0], narrow, None), *new[1:])
            packed = ops.concatenate(new, axis=-1)
            return packed, packed

        packed = ops.concatenate(start, axis=-1)
        if values.shape[0] == 1:
            packed, _ = step(packed, projected[0])
            outputs = ops.expand_dims(packed, 0)
        else:
            packed, outputs = ops.scan(step, packed, projected, reverse=reverse)
        return outputs[..., :width], tuple(ops.split(packed, [width], axis=-1))[: self.states]


class LSTM(_Recurrent):
    """torch's `LSTM`; gives `outputs, (h, c)`."""

    step = staticmethod(lstm_step)


class GRU(_Recurrent):
    """torch's `GRU`; gives `outputs, h`."""

    gates = 3
    states = 1
    step = staticmethod(gru_step)


class _Cell(Layer):
    """One step of a recurrent layer, with torch's keys `weight_ih`, `weight_hh` and biases."""

    gates = 4
    states = 2
    step: Step

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        bound = 1.0 / math.sqrt(hidden_size) if hidden_size else 0.0
        rows = self.gates * hidden_size
        shapes: dict[str, tuple[int, ...]]
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        else:
            self.bias_ih = self.bias_hh = None
        for name, shape in shapes.items():
            how = keras.initializers.RandomUniform(-bound, bound)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=how))

    def call(self, inputs: Tensor, hx: Any = None) -> Any:
        inputs = self.cast_input(inputs)
        if hx is None:
            shape = (*ops.shape(inputs)[:-1], self.hidden_size)
            state = tuple(ops.zeros(shape, dtype=inputs.dtype) for _ in range(self.states))
        else:
            state = tuple(hx) if self.states > 1 else (hx,)
        projected = _linear(inputs, self.weight_ih, self.bias_ih)
        new = type(self).step(projected, state, self.weight_hh, self.bias_hh)
        return new if self.states > 1 else new[0]


class LSTMCell(_Cell):
    """torch's `LSTMCell`; gives `(h, c)`."""

    step = staticmethod(lstm_step)


class GRUCell(_Cell):
    """torch's `GRUCell`; gives `h`."""

    gates = 3
    states = 1
    step = staticmethod(gru_step)
