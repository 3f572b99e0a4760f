"""Compiled programs of a model: functions of tensors, and of containers and caches made of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime.caches.state import put_together, take_apart
from keraform.runtime.layers import Tensor

# Arguments of integers that decide how large something is: grids of patches, sizes, lengths.
_DECIDING = re.compile(r"grid|sizes|shapes|lens|lengths|durations")


@dataclass(frozen=True)
class Constant:
    """A tensor whose values a program knows, so that other values make another program."""

    values: bytes
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, value: Tensor) -> Constant:
        """The constant with the values of a tensor."""
        found = ops.convert_to_numpy(value)
        return cls(found.tobytes(), str(found.dtype), found.shape)

    def tensor(self) -> Tensor:
        """The tensor."""
        found = np.frombuffer(self.values, self.dtype).reshape(self.shape)
        return ops.convert_to_tensor(found)


def with_constants(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a model, with those that decide sizes as constants."""

    def decides(name: str, value: Any) -> bool:
        return bool(
            _DECIDING.search(name)
            and ops.is_tensor(value)
            and keras.backend.is_int_dtype(keras.backend.standardize_dtype(value.dtype))
        )

    return {
        name: Constant.of(value) if decides(name, value) else value
        for name, value in arguments.items()
    }


def without_constants(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with tensors in place of constants."""
    return {
        name: value.tensor() if isinstance(value, Constant) else value
        for name, value in arguments.items()
    }


@dataclass(frozen=True)
class _Program:
    """A compiled function of tensors, and how to put together what it takes and gives."""

    takes: Any
    gives: list[Any]  # one recipe, once the function is traced
    run: Callable[..., list[Any]]


def programs_of(model: Any) -> Programs:
    """The programs of a model compiled so far, which go when the model goes, or when it gets other
    variables in place of those it had (LoRA, quantized weights).
    """
    found = model.__dict__.get("_generation_programs")
    if found is None:
        found = model.__dict__.setdefault("_generation_programs", Programs(model))
    found.forget_others()
    return found


class CannotBeCompiled(NotImplementedError):
    """A function of a model that could not be made a program; its message says why."""


class Programs:
    """The compiled programs of one model, each made when it is first run.

    They read the model's weights when they run. Several threads may run them; they are made one
    after the other.

    Args:
        model: the model whose weights the programs read when they run.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._made: dict[Any, list[_Program]] = {}
        self._variables = model.variables
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """How many programs there are."""
        return sum(len(found) for found in self._made.values())

    def forget_others(self) -> None:
        """Forgets the programs of variables that the model no longer has."""
        variables = self.model.variables
        with self._lock:
            if [id(each) for each in variables] != [id(each) for each in self._variables]:
                self._made.clear()
                self._variables = variables

    def run(self, key: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """`function(*arguments)`, compiled for the shapes of the arguments.

        Args:
            key: what the function depends on besides its arguments.
            function: what to compile; called when there is no program yet.
            arguments: tensors, and whatever holds tensors.

        Raises:
            CannotBeCompiled: the function is not one for a program; the message says why.
        """
        leaves, recipe = take_apart(arguments)
        signature = tuple((tuple(leaf.shape), str(leaf.dtype)) for leaf in leaves)
        with self._lock:
            known = self._made.setdefault((key, signature), [])
            found = next((program for program in known if program.takes == recipe), None)
            if found is None:
                found, results = self._first_run(function, recipe, leaves)
                known.append(found)
                return put_together(found.gives[0], iter(results))
        return put_together(found.gives[0], iter(found.run(*leaves)))

    def _first_run(
        self, function: Callable[..., Any], recipe: Any, leaves: list[Any]
    ) -> tuple[_Program, list[Any]]:
        """A program, and what it gives: TensorFlow compiles it when it runs."""
        gives: list[Any] = []

        def flat(*leaves: Any) -> list[Any]:
            given, made = take_apart(function(*put_together(recipe, iter(leaves))))
            gives[:] = [made]
            return given

        try:
            program = _Program(recipe, gives, _compiled(self._variables, flat, leaves))
            return program, program.run(*leaves)
        except Exception as error:
            if isinstance(error, CannotBeCompiled):
                raise
            raise CannotBeCompiled(
                explain(
                    f"a {type(self.model).__name__} that can be compiled",
                    f"{type(error).__name__}: {str(error).strip()[:500]}",
                    "generate(..., disable_compile=True)",
                )
            ) from error


def _compiled(
    variables: list[Any], function: Callable[..., list[Any]], examples: list[Any]
) -> Callable[..., list[Any]]:
    """`function` of tensors like the examples, compiled by XLA where the backend has it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        specs = [tf.TensorSpec(example.shape, example.dtype) for example in examples]
        return tf.function(function, jit_compile=True, autograph=False).get_concrete_function(
            *specs
        )
    if backend == "jax":
        return _for_jax(variables, function, examples)
    return function


def _for_jax(
    variables: list[Any], function: Callable[..., list[Any]], examples: list[Any]
) -> Callable[..., list[Any]]:
    """JAX takes what a function reads for constants, so that weights have to be arguments."""
    import jax

    def pure(values: list[Any], *leaves: Any) -> list[Any]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return function(*leaves)

    program = jax.jit(pure).lower([variable.value for variable in variables], *examples).compile()
    return lambda *leaves: program([variable.value for variable in variables], *leaves)
