"""torch's `Transformer` and its parts, with their keys: attention and a feed-forward network, each
behind or before a norm.

Algebra, for a sublayer f: `x = norm(x + f(x))`, or with `norm_first` `x = x + f(norm(x))`. Numbers
are those of torch's ordinary path; its fast path for inference zeroes padded positions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from keras import ops

from keraform.runtime import ops as kf
from keraform.runtime.layers.attention import MultiheadAttention
from keraform.runtime.layers.base import Layer, Tensor
from keraform.runtime.layers.linear import Dense
from keraform.runtime.layers.normalization import LayerNormalization
from keraform.runtime.layers.regularization import Dropout

Activation = str | Callable[[Tensor], Tensor]


def _activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise ValueError(
            f"expected activation 'relu', 'gelu' or a callable; got {activation!r}; "
            "pass the function itself."
        )
    return ops.relu if activation == "relu" else kf.gelu


def _attend(
    attention: MultiheadAttention, x: Tensor, memory: Tensor, mask: Any, padding: Any
) -> Tensor:
    return attention(x, memory, memory, attn_mask=mask, key_padding_mask=padding)[0]


class _TransformerLayer(Layer):
    """What encoder and decoder layers share."""

    norms = 2

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        attention: dict[str, Any] = {"dropout": dropout, "bias": bias, "batch_first": batch_first}
        self.self_attn = MultiheadAttention(d_model, nhead, name="self_attn", **attention)
        if self.norms == 3:
            self.multihead_attn = MultiheadAttention(
                d_model, nhead, name="multihead_attn", **attention
            )
        self.linear1 = Dense(d_model, dim_feedforward, use_bias=bias, name="linear1")
        self.dropout = Dropout(dropout, name="dropout")
        self.linear2 = Dense(dim_feedforward, d_model, use_bias=bias, name="linear2")
        for place in range(1, self.norms + 1):
            norm = LayerNormalization(
                d_model, epsilon=layer_norm_eps, use_bias=bias, name=f"norm{place}"
            )
            setattr(self, f"norm{place}", norm)
            setattr(self, f"dropout{place}", Dropout(dropout, name=f"dropout{place}"))
        self.activation = _activation(activation)
        self.norm_first = norm_first

    def _add(self, x: Tensor, place: int, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """The sublayer at `place`, its dropout, the residual and the norm."""
        norm, dropout = getattr(self, f"norm{place}"), getattr(self, f"dropout{place}")
        if self.norm_first:
            return x + dropout(sublayer(norm(x)))
        return norm(x + dropout(sublayer(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_TransformerLayer):
    """Self-attention and a feed-forward network.

    Args:
        d_model: size `m` of inputs and outputs.
        nhead: number of heads.
        dim_feedforward: size inside the feed-forward network.
        dropout: rate of every dropout.
        activation: "relu", "gelu" or a callable.
        layer_norm_eps: epsilon of the norms.
        batch_first: whether tensors are `[b, length, m]` and not `[length, b, m]`.
        norm_first: whether norms come before the sublayers.
        bias: whether linear layers and norms have biases.
    """

    def call(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Gives `[b, length, m]`, as `src`. In masks True means "may not attend".

        Call arguments:
            src: `[b, length, m]`, or as `batch_first` says.
            src_mask: `[length, length]` or `[b * h, length, length]`.
            src_key_padding_mask: `[b, length]`.
            is_causal: a hint in torch; `src_mask` says the same.
        """
        x = self._add(
            src, 1, lambda x: _attend(self.self_attn, x, x, src_mask, src_key_padding_mask)
        )
        return self._add(x, 2, self._feed_forward)


class TransformerDecoderLayer(_TransformerLayer):
    """Self-attention, attention to a memory, and a feed-forward network.

    Args are those of `TransformerEncoderLayer`.
    """

    norms = 3

    def call(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Gives `[b, q, m]`, as `tgt`. In masks True means "may not attend".

        Call arguments:
            tgt: `[b, q, m]`, or as `batch_first` says.
            memory: `[b, k, m]`, what the encoder gave.
            tgt_mask: `[q, q]` or `[b * h, q, q]`.
            memory_mask: `[q, k]` or `[b * h, q, k]`.
            tgt_key_padding_mask: `[b, q]`.
            memory_key_padding_mask: `[b, k]`.
            tgt_is_causal: a hint in torch; `tgt_mask` says the same.
            memory_is_causal: a hint in torch; `memory_mask` says the same.
        """
        x = self._add(
            tgt, 1, lambda x: _attend(self.self_attn, x, x, tgt_mask, tgt_key_padding_mask)
        )
        attn = self.multihead_attn
        x = self._add(
            x, 2, lambda x: _attend(attn, x, memory, memory_mask, memory_key_padding_mask)
        )
        return self._add(x, 3, self._feed_forward)


class _Stack(Layer):
    """Copies of a layer, one after the other, and perhaps a norm."""

    def __init__(
        self, layer: Layer, num_layers: int, norm: Layer | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.layers = [copy.deepcopy(layer) for _ in range(num_layers)]
        self.norm = norm

    def _through(self, x: Tensor, *args: Any, **masks: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, *args, **masks)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """Copies of an encoder layer, one after the other, and perhaps a norm.

    Args:
        encoder_layer: the layer that is copied; it is not part of the stack.
        num_layers: how many copies.
        norm: a layer for the end.
    """

    def __init__(
        self, encoder_layer: Layer, num_layers: int, norm: Layer | None = None, **kwargs: Any
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm, **kwargs)

    def call(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Gives `[b, length, m]`; see `TransformerEncoderLayer`."""
        return self._through(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)


class TransformerDecoder(_Stack):
    """Copies of a decoder layer, one after the other, and perhaps a norm.

    Args:
        decoder_layer: the layer that is copied; it is not part of the stack.
        num_layers: how many copies.
        norm: a layer for the end.
    """

    def __init__(
        self, decoder_layer: Layer, num_layers: int, norm: Layer | None = None, **kwargs: Any
    ) -> None:
        super().__init__(decoder_layer, num_layers, norm, **kwargs)

    def call(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Gives `[b, q, m]`; see `TransformerDecoderLayer`."""
        return self._through(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
        )


class Transformer(Layer):
    """An encoder and a decoder.

    Args:
        d_model: size `m` of inputs and outputs.
        nhead: number of heads.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: size inside the feed-forward networks.
        dropout: rate of every dropout.
        activation: "relu", "gelu" or a callable.
        custom_encoder: an encoder in place of its own.
        custom_decoder: a decoder in place of its own.
        layer_norm_eps: epsilon of the norms.
        batch_first: whether tensors are `[b, length, m]` and not `[length, b, m]`.
        norm_first: whether norms come before the sublayers.
        bias: whether linear layers and norms have biases.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Layer | None = None,
        custom_decoder: Layer | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shared = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        flags: dict[str, Any] = {"batch_first": batch_first, "norm_first": norm_first, "bias": bias}

        def norm() -> Layer:
            return LayerNormalization(d_model, epsilon=layer_norm_eps, use_bias=bias, name="norm")

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*shared, **flags), num_encoder_layers, norm(), name="encoder"
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*shared, **flags), num_decoder_layers, norm(), name="decoder"
        )

    def call(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Gives `[b, q, m]` for `src` `[b, k, m]` and `tgt` `[b, q, m]`; see the layers."""
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int) -> Tensor:
        """`[sz, sz]`, minus infinity where a later position would be seen, else 0."""
        later = ops.triu(ops.ones((sz, sz), dtype="bool"), k=1)
        return ops.where(later, float("-inf"), 0.0)
