"""`resize_token_embeddings`: more or fewer rows for tokens, in the table and in the head."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.errors import KeraformError
from keraform.modeling.building import dtype_scope, lay_out
from keraform.modeling.changed import forget_functions, require_fresh_optimizer
from keraform.runtime import layers
from keraform.runtime.filling import torch_shape, torch_value
from keraform.runtime.ops.randomness import choose_seed
from keraform.runtime.tree import TorchWeight, named_layers, named_weights, own_weights

# the spread of new rows around the mean of the old ones, as a share of the old rows' variance
_SPREAD = 1e-9


class Resizing:
    """Gives pretrained models `resize_token_embeddings`, and the steps that classes override.

    Variables stay the same objects and get another shape, so that what is tied stays tied.
    """

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> Any:
        """Gives the table of tokens, and the head that is tied to it or not, another length.

        Rows that were there stay, new ones come last. Call it before `fit`; a compiled model may
        stay compiled.

        Args:
            new_num_tokens: The number of rows; None for as many as there are.
            pad_to_multiple_of: Round the number up to a multiple of this.
            mean_resizing: Draw new rows around the mean of the old ones, with 1e-9 of their
                covariance; else as the class starts its weights.

        Returns:
            The input embeddings.

        Raises:
            KeraformError: The optimizer has state of the old shape, or the layers are of a kind
                that cannot be resized.
        """
        main = self.__dict__.get(type(self).main_layer or "")
        if new_num_tokens is None and pad_to_multiple_of is None:
            return self.get_input_embeddings()
        require_fresh_optimizer(self, "resize_token_embeddings")
        if main is not None:
            main.resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        else:
            self._resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
            vocab_size = self.get_input_embeddings().weight.shape[0]
            self.config.get_text_config().vocab_size = vocab_size
            self.vocab_size = vocab_size
            self.tie_weights()
        forget_functions(self)
        return self.get_input_embeddings()

    def _resize_token_embeddings(
        self,
        new_num_tokens: int | None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> Any:
        table, head = self.get_input_embeddings(), self.get_output_embeddings()
        old = table.weight.shape[0]
        self._get_resized_embeddings(table, new_num_tokens, pad_to_multiple_of, mean_resizing)
        new = table.weight.shape[0]
        if isinstance(head, layers.Embedding):
            self._get_resized_embeddings(head, new, mean_resizing=mean_resizing)
        elif head is not None:
            self._get_resized_lm_head(head, new, mean_resizing=mean_resizing)
        # a bias that would be tied to the head's
        weights = {weight.key: weight for weight in named_weights(self)}
        for key in itertools.chain(*(self._tied_weights_keys or {}).items()):
            if key in weights and torch_shape(weights[key]) == (old,):
                _resize_weight(self, weights[key], new, _zeros)
        return table

    def _get_resized_embeddings(
        self,
        old_embeddings: Any,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> Any:
        if not isinstance(old_embeddings, layers.Embedding):
            raise _unknown(self, old_embeddings, "an Embedding")
        rows = _padded(old_embeddings.weight.shape[0], new_num_tokens, pad_to_multiple_of)
        self._resize(old_embeddings, rows, mean_resizing)
        return old_embeddings

    def _get_resized_lm_head(
        self,
        old_lm_head: Any,
        new_num_tokens: int | None = None,
        transposed: bool = False,
        mean_resizing: bool = True,
    ) -> Any:
        if not isinstance(old_lm_head, layers.Dense) or transposed:
            raise _unknown(self, old_lm_head, "a Dense")
        if new_num_tokens is not None:
            self._resize(old_lm_head, new_num_tokens, mean_resizing)
            old_lm_head.units = old_lm_head.out_features = new_num_tokens
        return old_lm_head

    def _resize(self, layer: Any, rows: int, mean_resizing: bool) -> None:
        """Gives all weights of a layer `rows` rows (torch's first axis)."""
        if layer.lora_enabled or layer.dtype_policy.quantization_mode is not None:
            raise KeraformError(
                expected=f"a plain layer '{layer.name}'",
                got=f"{type(layer).__name__} with LoRA or quantized weights",
                try_next="resize_token_embeddings before enable_lora, load_adapter and quantize",
            )
        own = list(own_weights(layer))
        tied = own[0].alias and torch_shape(own[0])[0] == rows  # then torch gives the bias zeros
        for weight in own:
            if tied:
                _resize_weight(self, weight, rows, _zeros)
            elif mean_resizing:
                _resize_weight(self, weight, rows, _around_mean)
            else:
                fresh = functools.partial(self._fresh, weight)
                _resize_weight(self, weight, rows, fresh)

    def _fresh(self, weight: TorchWeight, old: np.ndarray, added: int) -> np.ndarray:
        """What this model starts a layer of this kind with."""
        layer, rows = weight.layer, len(old) + added
        with dtype_scope(layer.dtype_policy):
            if isinstance(layer, layers.Embedding):
                new: Any = layers.Embedding(rows, layer.embedding_dim)
            else:
                new = type(layer)(layer.in_features, rows, use_bias=layer.bias is not None)
        self._init_weights(new)
        named = {own.attribute: own for own in own_weights(new)}
        return torch_value(named[weight.attribute])[-added:]


def _unknown(model: Any, layer: Any, kind: str) -> KeraformError:
    return KeraformError(
        expected=f"{kind} layer for the tokens of {type(model).__name__}",
        got=f"{type(layer).__name__} '{layer.name}', whose rows Keraform cannot resize",
        try_next="from_config with another vocab_size",
    )


def _padded(old: int, rows: int | None, multiple: int | None) -> int:
    rows = old if rows is None else rows
    wrong = [value for value in (rows, multiple) if value is not None and int(value) != value]
    if wrong or rows < 1 or (multiple is not None and multiple < 1):
        raise KeraformError(
            expected="whole numbers of at least 1 for new_num_tokens and pad_to_multiple_of",
            got=f"{rows!r} and {multiple!r}",
            try_next="model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64)",
        )
    return int(rows) if multiple is None else -(-int(rows) // multiple) * multiple


def _resize_weight(
    model: Any, weight: TorchWeight, rows: int, fill: Callable[[np.ndarray, int], np.ndarray]
) -> None:
    """Cuts a weight off at `rows` rows, or lets `fill(old, added)` give those that it lacks."""
    old = torch_value(weight)
    added = rows - len(old)
    if added > 0:
        old = np.concatenate([old, fill(old, added).astype(old.dtype)])
    if added:
        _set_shape(weight, old[:rows])
        _note_rows(model, weight.variable, rows)


def _zeros(old: np.ndarray, added: int) -> np.ndarray:
    return np.zeros((added, *old.shape[1:]))


def _around_mean(old: np.ndarray, added: int) -> np.ndarray:
    """Rows drawn from a normal distribution with the mean of `old` and 1e-9 of its covariance; the
    mean itself where float32 cannot tell the covariance from a singular one. Of a bias, 1e-9 of its
    deviation. After Hewitt, "Initializing New Word Embeddings" (2021).
    """
    rows = old.astype("float32")
    mean = rows.mean(axis=0)
    shape = (added, *old.shape[1:])
    drawn = ops.convert_to_numpy(keras.random.normal(shape, dtype="float32", seed=choose_seed()))
    if old.ndim == 1:
        return mean + _SPREAD * rows.std(ddof=1) * drawn
    centred = rows - mean
    covariance = _SPREAD * (centred.T @ centred / len(rows))
    try:
        return mean + drawn @ np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        return np.broadcast_to(mean, shape)


def _set_shape(weight: TorchWeight, value: np.ndarray) -> None:
    """Gives a variable another shape and value: the variable itself, for all who hold it."""
    if weight.axes is not None:
        value = np.transpose(value, weight.axes)
    variable = weight.variable
    variable._shape = tuple(value.shape)
    variable._initialize(ops.convert_to_tensor(np.ascontiguousarray(value), variable._dtype))
    if keras.distribution.distribution() is not None:
        lay_out([variable])


def _note_rows(model: Any, variable: keras.Variable, rows: int) -> None:
    """Lets every table that holds a variable know how many rows it has."""
    for _, layer in named_layers(model):
        if isinstance(layer, layers.Embedding) and layer._embeddings is variable:
            layer.input_dim = layer.num_embeddings = rows
            if layer.padding_idx is not None and layer.padding_idx >= rows:
                layer.padding_idx = None
