"""What all distributions share, and how they read their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import Tensor, is_array, sizes


class Distribution:
    """What all distributions have; each says what it can of the rest."""

    event_dim: int = 0

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(unknown(self, "mean"))

    @property
    def variance(self) -> Tensor:
        """The variance of each element."""
        raise NotImplementedError(unknown(self, "variance"))

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each element."""
        return ops.sqrt(self.variance)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, of `value`."""
        raise NotImplementedError(unknown(self, "log_prob"))

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError(unknown(self, "entropy"))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Random values, [*sample_shape, *shape of the parameters]; no gradient."""
        return ops.stop_gradient(self.rsample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """As `sample`, with a gradient."""
        raise NotImplementedError(unknown(self, "rsample"))


def unknown(distribution: Distribution, what: str) -> str:
    """What to say where a distribution lacks something."""
    name = type(distribution).__name__
    return f"Expected a distribution with {what}; {name} has none here. Compute it from its fields."


def as_parameters(*values: Any) -> tuple[Tensor, ...]:
    """Parameters as tensors of one shape and dtype; numbers alone have the default one."""
    found = [value for value in values if is_array(value)]
    dtype = dtypes.name_of(found[0].dtype) if found else dtypes.default_float()
    tensors = [ops.convert_to_tensor(v) if is_array(v) else ops.full((), v, dtype) for v in values]
    if len(tensors) == 1:
        return (tensors[0],)
    whole = sum((ops.zeros_like(each) for each in tensors[1:]), ops.zeros_like(tensors[0]))
    return tuple(each + whole for each in tensors)


def log_odds(probs: Any, logits: Any) -> Any:
    """Log odds, as they are given or of probabilities, which are kept off zero and one."""
    if logits is not None:
        return logits
    (probs,) = as_parameters(probs)
    eps = dtypes.finfo(probs.dtype).eps
    probs = ops.clip(probs, eps, 1 - eps)
    return ops.log(probs) - ops.log1p(-probs)


def joint(a: Tensor, b: Tensor) -> tuple[Any, ...]:
    """The sizes that two tensors have together, but for their last axes."""
    return sizes(a[..., :1] + ops.cast(ops.zeros_like(b[..., :1]), a.dtype))


def shape_of(sample_shape: Sequence[int], parameter: Tensor) -> tuple[Any, ...]:
    """The shape of samples."""
    return (*sample_shape, *sizes(parameter))


def sum_last(x: Tensor, axes: int) -> Tensor:
    """The sum over the last axes; none of them leaves `x` as it is."""
    return ops.sum(x, axis=tuple(range(-axes, 0))) if axes > 0 else x
