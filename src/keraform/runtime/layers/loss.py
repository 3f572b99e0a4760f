"""torch's loss modules as plain callables: the constructor's arguments, then `loss(input, target)`.

They hold no weights and are no layers; each calls the function of the same name in
`keraform.runtime.ops`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from keraform.runtime.layers.base import Tensor


class _Loss:
    """Calls `keraform.runtime.ops.{function}` with the keywords that the constructor was given."""

    function: str
    # the constructor's parameters and their defaults, in torch's order
    defaults: ClassVar[dict[str, Any]] = {"reduction": "mean"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = list(self.defaults)
        unknown = sorted(set(kwargs) - set(names))
        if len(args) > len(names) or unknown:
            raise TypeError(
                f"expected at most {', '.join(names)} for {type(self).__name__}; got "
                f"{len(args)} positional arguments and {', '.join(unknown) or 'no others'}; "
                "torch's size_average and reduce are spelt reduction= here."
            )
        self.settings = {**self.defaults, **dict(zip(names, args, strict=False)), **kwargs}

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("settings", {})
        if name in settings:
            return settings[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __call__(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        from keraform.runtime import ops as kf

        return getattr(kf, self.function)(*inputs, **named, **self.settings)


class CrossEntropyLoss(_Loss):
    """Cross entropy of logits `[n, c, ...]` with class indices or probabilities."""

    function = "cross_entropy"
    defaults: ClassVar = {
        "weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0,
    }  # fmt: skip


class NLLLoss(_Loss):
    """Negative log likelihood of log probabilities `[n, c, ...]`."""

    function = "nll_loss"
    defaults: ClassVar = {"weight": None, "ignore_index": -100, "reduction": "mean"}


class BCELoss(_Loss):
    """Binary cross entropy of probabilities."""

    function = "binary_cross_entropy"
    defaults: ClassVar = {"weight": None, "reduction": "mean"}


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of logits."""

    function = "binary_cross_entropy_with_logits"
    defaults: ClassVar = {"weight": None, "reduction": "mean", "pos_weight": None}


class MSELoss(_Loss):
    """Squared error."""

    function = "mse_loss"


class L1Loss(_Loss):
    """Absolute error."""

    function = "l1_loss"


class SmoothL1Loss(_Loss):
    """Squared error over `2 beta` below `beta`, absolute error minus `beta / 2` above."""

    function = "smooth_l1_loss"
    defaults: ClassVar = {"reduction": "mean", "beta": 1.0}


class HuberLoss(_Loss):
    """Half the squared error below `delta`, `delta (|error| - delta / 2)` above."""

    function = "huber_loss"
    defaults: ClassVar = {"reduction": "mean", "delta": 1.0}


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log probabilities from probabilities."""

    function = "kl_div"
    defaults: ClassVar = {"reduction": "mean", "log_target": False}


class CTCLoss(_Loss):
    """Connectionist temporal classification over `[length, b, classes]` log probabilities."""

    function = "ctc_loss"
    defaults: ClassVar = {"blank": 0, "reduction": "mean", "zero_infinity": False}


class CosineSimilarity(_Loss):
    """Cosine of the angle between two tensors along `dim`."""

    function = "cosine_similarity"
    defaults: ClassVar = {"dim": 1, "eps": 1e-8}


class CosineEmbeddingLoss(_Loss):
    """`1 - cos` for pairs that belong together, `max(0, cos - margin)` for others."""

    function = "cosine_embedding_loss"
    defaults: ClassVar = {"margin": 0.0, "reduction": "mean"}


class TripletMarginLoss(_Loss):
    """`max(0, d(anchor, positive) - d(anchor, negative) + margin)`."""

    function = "triplet_margin_loss"
    defaults: ClassVar = {"margin": 1.0, "p": 2.0, "eps": 1e-6, "swap": False, "reduction": "mean"}


class MarginRankingLoss(_Loss):
    """`max(0, -y (a - b) + margin)`."""

    function = "margin_ranking_loss"
    defaults: ClassVar = {"margin": 0.0, "reduction": "mean"}


class HingeEmbeddingLoss(_Loss):
    """`x` where the target is 1, `max(0, margin - x)` where it is -1."""

    function = "hinge_embedding_loss"
    defaults: ClassVar = {"margin": 1.0, "reduction": "mean"}


class SoftMarginLoss(_Loss):
    """`log(1 + exp(-y x))`."""

    function = "soft_margin_loss"
