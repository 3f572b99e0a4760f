"""Softmax over many classes in clusters, the rare ones with smaller projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from keraform.runtime.layers.base import Layer, Tensor
from keraform.runtime.layers.container import Sequential
from keraform.runtime.layers.linear import Dense


class AdaptiveSoftmaxOutput(NamedTuple):
    """The log-probability of each target [b], and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Layer):
    """torch's `AdaptiveLogSoftmaxWithLoss` (Grave et al. 2017).

    The classes below the first cutoff stand in the head, beside one entry for each cluster of the
    others.

    Args:
        in_features: size of the input's last axis.
        n_classes: number of classes.
        cutoffs: where the clusters begin, ascending.
        div_value: by what the projections of each further cluster are smaller.
        head_bias: whether the head has a bias.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head = Dense(
            in_features, self.shortlist_size + self.n_clusters, use_bias=head_bias, name="head"
        )
        self.tail = []
        for number in range(self.n_clusters):
            width = int(in_features // div_value ** (number + 1))
            size = self.cutoffs[number + 1] - self.cutoffs[number]
            self.tail.append(
                Sequential(
                    Dense(in_features, width, use_bias=False),
                    Dense(width, size, use_bias=False),
                )
            )

    def call(self, inputs: Tensor, target: Tensor) -> AdaptiveSoftmaxOutput:
        """The log-probabilities of the targets.

        Call arguments:
            inputs: [b, in_features].
            target: class indices [b].
        """
        index = ops.expand_dims(ops.cast(target, "int32"), -1)
        output = ops.squeeze(ops.take_along_axis(self.log_prob(inputs), index, axis=-1), -1)
        return AdaptiveSoftmaxOutput(output, -ops.mean(output))

    def log_prob(self, inputs: Tensor) -> Tensor:
        """The log-probabilities [b, n_classes] of all classes."""
        head = ops.log_softmax(self.head(inputs), axis=-1)
        parts = [head[:, : self.shortlist_size]]
        for number, projection in enumerate(self.tail):
            place = self.shortlist_size + number
            within = ops.log_softmax(projection(inputs), axis=-1)
            parts.append(within + head[:, place : place + 1])
        return ops.concatenate(parts, axis=-1)

    def predict(self, inputs: Tensor) -> Tensor:
        """The most probable classes [b]."""
        return ops.argmax(self.log_prob(inputs), axis=-1)
