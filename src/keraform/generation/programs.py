"""Compiled programs of a model: functions of tensors, and of containers and caches made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keraform.runtime.caches.state import put_together, take_apart


class Programs:
    """The compiled programs of one model, each made when it is first run.

    Args:
        model: the model whose weights the programs read when they run.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._made: dict[Any, list[tuple[Any, Callable[..., Any], list[Any]]]] = {}

    def run(self, key: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """`function(*arguments)`, compiled for the shapes of the arguments.

        Args:
            key: what the function depends on besides its arguments.
            function: what to compile; called when there is no program yet.
            arguments: tensors, and whatever holds tensors.
        """
        leaves, recipe = take_apart(arguments)
        signature = tuple((tuple(leaf.shape), str(leaf.dtype)) for leaf in leaves)
        known = self._made.setdefault((key, signature), [])
        found = next((entry for entry in known if entry[0] == recipe), None)
        if found is None:
            results: list[Any] = []  # the recipe of what the function gives, once it is traced

            def flat(*leaves: Any) -> list[Any]:
                given, made = take_apart(function(*put_together(recipe, iter(leaves))))
                results[:] = [made]
                return given

            found = (recipe, _compiled(self.model, flat, leaves), results)
            known.append(found)
        _, program, results = found
        flat_results = program(*leaves)
        return put_together(results[0], iter(flat_results))


def _compiled(
    model: Any, function: Callable[..., list[Any]], examples: list[Any]
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
        return _for_jax(model, function)
    return function


def _for_jax(model: Any, function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """JAX takes what a function reads for constants, so that weights have to be arguments."""
    import jax

    variables = model.variables

    @jax.jit
    def pure(values: list[Any], *leaves: Any) -> list[Any]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return function(*leaves)

    return lambda *leaves: pure([variable.value for variable in variables], *leaves)
