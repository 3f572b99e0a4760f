"""Caches as tensors and a recipe, for compiled functions that take or return them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keraform.runtime.outputs import ModelOutput

Recipe = tuple


class CacheState:
    """Base of caches and their layers: TensorFlow's nest protocol, and JAX's registration."""

    is_keraform_cache = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if keras.backend.backend() == "jax":
            import jax

            def flatten(state: CacheState) -> tuple[list[Any], Recipe]:
                return take_apart(state)

            def unflatten(recipe: Recipe, leaves: list[Any]) -> CacheState:
                return put_together(recipe, iter(leaves))

            jax.tree_util.register_pytree_node(cls, flatten, unflatten)

    def copy(self) -> CacheState:
        """A cache of its own with the same tensors.

        `tf.function` refuses to have an argument changed: a compiled step that takes a cache
        begins with `cache = cache.copy()` and returns the copy.
        """
        leaves, recipe = take_apart(self)
        return put_together(recipe, iter(leaves))

    def __tf_flatten__(self) -> tuple[Recipe, tuple[Any, ...]]:
        leaves, recipe = take_apart(self)
        return recipe, tuple(leaves)

    @classmethod
    def __tf_unflatten__(cls, metadata: Recipe, components: tuple[Any, ...]) -> CacheState:
        return put_together(metadata, iter(components))


def take_apart(value: Any) -> tuple[list[Any], Recipe]:
    """The tensors in `value`, in a fixed order, and what is needed to rebuild it."""
    if isinstance(value, CacheState):
        return _many(vars(value), "object", type(value))
    if isinstance(value, ModelOutput):
        return _many(dict(value), "output", type(value))
    if isinstance(value, dict):
        return _many(value, "dict", type(value))
    if isinstance(value, (list, tuple)):
        return _many(dict(enumerate(value)), "sequence", type(value))
    if ops.is_tensor(value):
        return [value], ("tensor",)
    return [], ("value", value)


def _many(items: dict, kind: str, cls: type) -> tuple[list[Any], Recipe]:
    leaves: list[Any] = []
    recipes = []
    for key, item in items.items():
        found, recipe = take_apart(item)
        leaves.extend(found)
        recipes.append((key, recipe))
    return leaves, (kind, cls, tuple(recipes))


def put_together(recipe: Recipe, leaves: Iterator[Any]) -> Any:
    """The inverse of `take_apart`."""
    kind = recipe[0]
    if kind == "tensor":
        return next(leaves)
    if kind == "value":
        return recipe[1]
    items = {key: put_together(inner, leaves) for key, inner in recipe[2]}
    if kind == "dict":
        return items
    if kind == "output":
        return recipe[1](**items)
    if kind == "sequence":
        return recipe[1](items.values())
    state = object.__new__(recipe[1])
    vars(state).update(items)
    return state
