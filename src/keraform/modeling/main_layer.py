"""The Keras layer that holds a base model: usable alone, in wrappers and in any Keras model."""

from __future__ import annotations

from typing import Any

import numpy as np

from keraform.modeling.inputs import Arguments
from keraform.runtime.given import as_dict, as_tensor, is_mapping
from keraform.runtime.layers import Layer


class MainLayer(Layer):
    """Base of `TF...MainLayer` and of encoders and decoders that are models of their own.

    It is called with keywords, or with one dict (or BatchEncoding) of them; arrays become tensors.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        if any(is_mapping(value) or isinstance(value, np.ndarray) for value in given):
            args, kwargs = self._named(args, kwargs)
        return super().__call__(*args, **kwargs)

    __call__.autograph_info__ = {}  # noqa: RUF012

    def _named(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments = Arguments.of(type(self))
        if args and is_mapping(args[0]) and arguments.is_unpackable(args[0]):
            args = (as_dict(args[0]), *args[1:])
            kwargs, args = arguments.gather(type(self).__name__, args, kwargs), ()
        dtype = self.compute_dtype
        return (
            tuple(as_tensor(value, dtype) for value in args),
            {name: as_tensor(value, dtype) for name, value in kwargs.items()},
        )
