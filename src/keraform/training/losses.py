"""Losses by task, as models call them: `self.loss_function(logits=..., labels=...)`.

Numbers are torch's. One deliberate difference: where every label is ignored, a mean is 0 here and
NaN in torch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keraform.runtime import ops as kf
from keraform.runtime import step
from keraform.runtime.layers import Tensor
from keraform.training.detection import (
    DeformableDetrForSegmentationLoss,
    ForObjectDetectionLoss,
    ForSegmentationLoss,
)
from keraform.training.self_distillation import PocketTTSForConditionalGenerationLoss
from keraform.training.transducer import ParakeetForRNNTLoss

Loss = Callable[..., Any]  # a tensor; of detection also all losses by name


def fixed_cross_entropy(
    source: Tensor,
    target: Tensor,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Tensor:
    """Cross entropy of logits [n, v, ...] and class numbers [n, ...].

    The mean over targets that are not `ignore_index`; with `num_items_in_batch` the sum divided by
    it (the number of targets in all steps of an accumulated batch).
    """
    target = ops.cast(target, "int32")
    if num_items_in_batch is None:
        return kf.cross_entropy(source, target, ignore_index=ignore_index)
    total = kf.cross_entropy(source, target, ignore_index=ignore_index, reduction="sum")
    return total / ops.cast(num_items_in_batch, total.dtype)


def ForCausalLMLoss(
    logits: Tensor,
    labels: Tensor | None,
    vocab_size: int,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    shift_labels: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """Cross entropy of each position's logits [b, q, v] and the next position's label [b, q]."""
    logits = ops.cast(logits, "float32")
    if shift_labels is None:
        assert labels is not None  # one of the two is always given
        end = ops.full_like(labels[..., :1], ignore_index)
        shift_labels = ops.concatenate([labels[..., 1:], end], axis=-1)
        step.shift()
    return fixed_cross_entropy(
        ops.reshape(logits, (-1, vocab_size)),
        ops.reshape(shift_labels, (-1,)),
        num_items_in_batch,
        ignore_index,
    )


def ForMaskedLMLoss(
    logits: Tensor,
    labels: Tensor,
    vocab_size: int,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Tensor:
    """Cross entropy of logits [b, q, v] and labels [b, q]."""
    return fixed_cross_entropy(
        ops.reshape(ops.cast(logits, "float32"), (-1, vocab_size)),
        ops.reshape(labels, (-1,)),
        num_items_in_batch,
        ignore_index,
    )


def _mean_squared_error(labels: Tensor, logits: Tensor, config: Any, /, **kwargs: Any) -> Tensor:
    if config.num_labels == 1:
        logits, labels = ops.reshape(logits, (-1,)), ops.reshape(labels, (-1,))
    return kf.mse_loss(logits, labels)


def _single_label(labels: Tensor, logits: Tensor, config: Any, /, **kwargs: Any) -> Tensor:
    logits = ops.reshape(logits, (-1, config.num_labels))
    return fixed_cross_entropy(logits, ops.reshape(labels, (-1,)), **kwargs)


def _multi_label(labels: Tensor, logits: Tensor, config: Any, /, **kwargs: Any) -> Tensor:
    return kf.binary_cross_entropy_with_logits(logits, labels)


PROBLEM_TYPES: dict[str, Loss] = {
    "regression": _mean_squared_error,
    "single_label_classification": _single_label,
    "multi_label_classification": _multi_label,
}


def problem_type_for(labels: Tensor, config: Any) -> str:
    """What the labels mean: the config's word, or what their dtype and `num_labels` suggest."""
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    is_class_number = keras.backend.standardize_dtype(labels.dtype) in ("int32", "int64")
    return "single_label_classification" if is_class_number else "multi_label_classification"


def ForSequenceClassificationLoss(
    labels: Tensor, pooled_logits: Tensor, config: Any, **kwargs: Any
) -> Tensor:
    """Squared error, cross entropy or binary cross entropy, by `config.problem_type`.

    Where the config has none it is decided here and, as in upstream, kept in the config.
    """
    config.problem_type = problem_type_for(labels, config)
    loss = PROBLEM_TYPES.get(config.problem_type)
    if loss is None:
        raise RuntimeError(
            f"Expected config.problem_type to be one of {sorted(PROBLEM_TYPES)}; got "
            f"{config.problem_type!r}. Set it to one of these, or to None to go by the labels."
        )
    return loss(labels, pooled_logits, config, **kwargs)


def ForQuestionAnsweringLoss(
    start_logits: Tensor,
    end_logits: Tensor,
    start_positions: Tensor | None,
    end_positions: Tensor | None,
    **kwargs: Any,
) -> Tensor | None:
    """Half of both cross entropies over positions, [b, q] and [b]; those past q do not count."""
    if start_positions is None or end_positions is None:
        return None
    limit = ops.shape(start_logits)[1]

    def loss(logits: Tensor, positions: Tensor) -> Tensor:
        positions = ops.clip(ops.cast(ops.reshape(positions, (-1,)), "int32"), 0, limit)
        return fixed_cross_entropy(logits, positions, ignore_index=limit, **kwargs)

    return (loss(start_logits, start_positions) + loss(end_logits, end_positions)) / 2


def ForTokenClassification(logits: Tensor, labels: Tensor, config: Any, **kwargs: Any) -> Tensor:
    """Cross entropy of logits [b, q, v] and labels [b, q]."""
    logits = ops.cast(ops.reshape(logits, (-1, config.num_labels)), "float32")
    return fixed_cross_entropy(logits, ops.reshape(labels, (-1,)), **kwargs)


def ForSemanticSegmentationLoss(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = 255,
    num_items_in_batch: Tensor | int | None = None,
    auxiliary_logits: Tensor | None = None,
    auxiliary_loss_weight: float = 0.4,
    **kwargs: Any,
) -> Tensor:
    """Cross entropy of logits [b, v, h, w], resized to the labels [b, H, W]."""

    def loss(scores: Tensor) -> Tensor:
        size = tuple(ops.shape(labels)[-2:])
        scores = kf.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        return fixed_cross_entropy(scores, labels, num_items_in_batch, ignore_index)

    total = loss(logits)
    if auxiliary_logits is not None:
        total = total + auxiliary_loss_weight * loss(auxiliary_logits)
    return total


def ForCTCLoss(
    logits: Tensor,
    labels: Tensor,
    logit_lengths: Tensor,
    blank_token_id: int,
    reduction: str = "mean",
    zero_infinity: bool = False,
    ignore_index: int = -100,
    **kwargs: Any,
) -> Tensor:
    """Connectionist temporal classification of logits [b, t, v] and labels [b, s].

    Labels that are `ignore_index` or the blank are left out, wherever they stand.
    """
    labels = ops.cast(labels, "int32")
    is_label = ops.logical_and(
        ops.not_equal(labels, ignore_index), ops.not_equal(labels, blank_token_id)
    )
    length = ops.shape(labels)[-1]
    # labels to the front, in their order
    order = ops.add(ops.arange(length, dtype="int32"), ops.where(is_label, 0, length))
    labels = ops.where(is_label, labels, ops.full_like(labels, blank_token_id))
    labels = ops.take_along_axis(labels, ops.argsort(order, axis=-1), axis=-1)
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return kf.ctc_loss(
        ops.transpose(log_probabilities, (1, 0, 2)),  # [t, b, v]
        labels,
        logit_lengths,
        ops.sum(ops.cast(is_label, "int32"), axis=-1),
        blank=blank_token_id,
        reduction=reduction,
        zero_infinity=zero_infinity,
    )


def _translated(module: str, name: str) -> Loss:
    """A loss of upstream's that is translated as models are, when it is first called."""

    def loss(*args: Any, **kwargs: Any) -> Any:
        # ports come from a room above this one: ask the virtual package
        port = importlib.import_module(f"keraform.models.loss.{module}")
        return getattr(port, name)(*args, **kwargs)

    loss.__name__ = loss.__qualname__ = name
    return loss


_DETECTION = _translated("loss_deformable_detr", "DeformableDetrForObjectDetectionLoss")
_LW_DETR = _translated("loss_lw_detr", "LwDetrForObjectDetectionLoss")
_RT_DETR = _translated("loss_rt_detr", "RTDetrForObjectDetectionLoss")
_GROUNDING = _translated("loss_grounding_dino", "GroundingDinoForObjectDetectionLoss")

# upstream's table in upstream's order: the order decides which name is found in a class name
LOSS_MAPPING: dict[str, Loss] = {
    "ForSemanticSegmentation": ForSemanticSegmentationLoss,
    "ForCausalLM": ForCausalLMLoss,
    "ForMaskedLM": ForMaskedLMLoss,
    "ForQuestionAnswering": ForQuestionAnsweringLoss,
    "ForSequenceClassification": ForSequenceClassificationLoss,
    "ForImageClassification": ForSequenceClassificationLoss,
    "ForVideoClassification": ForSequenceClassificationLoss,
    "ForAudioClassification": ForSequenceClassificationLoss,
    "ForTokenClassification": ForTokenClassification,
    "ForSegmentation": ForSegmentationLoss,
    "ForObjectDetection": ForObjectDetectionLoss,
    "ForCTC": ForCTCLoss,
    "ForConditionalGeneration": ForCausalLMLoss,
    "DeformableDetrForObjectDetection": _DETECTION,
    "ConditionalDetrForObjectDetection": _DETECTION,
    "DabDetrForObjectDetection": _DETECTION,
    "GroundingDinoForObjectDetection": _GROUNDING,
    "MMGroundingDinoForObjectDetection": _GROUNDING,
    "ConditionalDetrForSegmentation": DeformableDetrForSegmentationLoss,
    "RTDetrForObjectDetection": _RT_DETR,
    "RTDetrV2ForObjectDetection": _RT_DETR,
    "DFineForObjectDetection": _translated("loss_d_fine", "DFineForObjectDetectionLoss"),
    "Deimv2ForObjectDetection": _translated("loss_deimv2", "Deimv2ForObjectDetectionLoss"),
    "CsmForConditionalGeneration": ForCausalLMLoss,
    "LwDetrForObjectDetection": _LW_DETR,
    "PocketTTSForConditionalGeneration": PocketTTSForConditionalGenerationLoss,
    "GradiumPhononTTSForConditionalGeneration": PocketTTSForConditionalGenerationLoss,
    "ParakeetForRNNT": ParakeetForRNNTLoss,
    "ParakeetForTDT": _translated("loss_tdt", "ParakeetForTDTLoss"),
    "RfDetrForObjectDetection": _LW_DETR,
    "RfDetrForInstanceSegmentation": _translated("loss_rf_detr", "RfDetrForSegmentationLoss"),
}


def loss_type_for(class_name: str, config: Any = None) -> str | None:
    """The loss of a model class: its own entry, or the first that its name contains."""
    name = class_name.removeprefix("TF")
    if name in LOSS_MAPPING:
        return name
    found = re.search("|".join(LOSS_MAPPING), name)
    return found.group(0) if found else None


def loss_function_for(loss_type: str | None) -> Loss:
    """The loss of this type; the causal language model's where there is none, as upstream."""
    return LOSS_MAPPING.get(loss_type or "", ForCausalLMLoss)
