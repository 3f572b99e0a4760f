"""Collators: rows of a dataset become one batch of NumPy arrays, padded where need be.

They are Transformers' own, which return NumPy arrays unless they are told otherwise, and know "tf",
as they did in Transformers v4. What needs torch there is written here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers.data import data_collator as upstream

from keraform.errors import KeraformError

Rows = list[dict[str, Any]]


class _OnArrays:
    """Has a collator of Transformers know "tf", which is made of its NumPy arrays."""

    return_tensors: str

    def __call__(self, features: Rows, return_tensors: str | None = None) -> dict[str, Any]:
        """One batch.

        Args:
            features: Its rows.
            return_tensors: "np", "tf" or "pt"; None for the collator's own.
        """
        kind = return_tensors or self.return_tensors
        if kind != "tf":
            return super().__call__(features, kind)  # type: ignore[misc]
        return _tensors(super().__call__(features, "np"))  # type: ignore[misc]


def _tensors(batch: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.convert_to_tensor(value) for name, value in batch.items()}


def default_data_collator(features: Rows, return_tensors: str = "np") -> dict[str, Any]:
    """Stacks rows whose values have one shape; `label` and `label_ids` become `labels`.

    Args:
        features: The rows.
        return_tensors: "np", "tf" or "pt".
    """
    return DefaultDataCollator()(features, return_tensors)


@dataclass
class DefaultDataCollator(_OnArrays, upstream.DefaultDataCollator):
    """Stacks rows whose values have one shape; `label` and `label_ids` become `labels`.

    Args:
        return_tensors: "np", "tf" or "pt".
    """

    return_tensors: str = "np"


class _Padding(upstream.DataCollatorWithPadding):
    """Transformers' takes no `return_tensors` when it is called."""

    def __call__(self, features: Rows, return_tensors: str) -> dict[str, Any]:
        own = copy.copy(self)
        own.return_tensors = return_tensors
        return upstream.DataCollatorWithPadding.__call__(own, features)


@dataclass
class DataCollatorWithPadding(_OnArrays, _Padding):
    """Pads what the tokenizer made; arguments as in Transformers, `return_tensors` is "np"."""

    return_tensors: str = "np"


@dataclass
class DataCollatorForTokenClassification(_OnArrays, upstream.DataCollatorForTokenClassification):
    """Pads labels as well; arguments as in Transformers, `return_tensors` is "np"."""

    return_tensors: str = "np"


@dataclass
class DataCollatorForLanguageModeling(_OnArrays, upstream.DataCollatorForLanguageModeling):
    """Masks tokens for masked language models, or copies them as labels for causal ones.

    Arguments as in Transformers, but that `return_tensors` is "np". Whole words are masked by the
    tokenizer's `offset_mapping`, which then is among the columns; all of their tokens become the
    mask.
    """

    return_tensors: str = "np"

    def __post_init__(self) -> None:
        if self.whole_word_mask:  # or Transformers does so, with a warning
            self.mask_replace_prob, self.random_replace_prob = 1.0, 0.0
        super().__post_init__()

    def __call__(self, features: Rows, return_tensors: str | None = None) -> dict[str, Any]:
        """One batch with `labels`: -100 wherever nothing is to be predicted.

        Args:
            features: Its rows.
            return_tensors: "np", "tf" or "pt"; None for the collator's own.
        """
        return super().__call__(
            self._with_offsets(features) if self.whole_word_mask else features, return_tensors
        )

    def _with_offsets(self, features: Rows) -> Rows:
        """Rows whose offsets are as long as the tokenizer will make their ids."""
        if "offset_mapping" not in features[0]:
            raise KeraformError(
                expected="the column offset_mapping, which tells words apart",
                got=", ".join(features[0]),
                try_next="tokenizer(text, return_offsets_mapping=True) with a fast tokenizer",
            )
        step = self.pad_to_multiple_of or 1
        length = -(-max(len(row["input_ids"]) for row in features) // step) * step
        padded = []
        for row in features:
            missing = length - len(row["offset_mapping"])
            sides = (0, missing) if self.tokenizer.padding_side == "right" else (missing, 0)
            offsets = np.pad(np.asarray(row["offset_mapping"]), (sides, (0, 0)))
            padded.append({**row, "offset_mapping": offsets})
        return padded


@dataclass
class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """`DataCollatorForLanguageModeling` that masks whole words."""

    whole_word_mask: bool = True


@dataclass
class DataCollatorForPermutationLanguageModeling(
    _OnArrays, upstream.DataCollatorForPermutationLanguageModeling
):
    """XLNet's; arguments as in Transformers, `return_tensors` is "np"."""

    return_tensors: str = "np"


@dataclass
class DataCollatorForSeq2Seq(_OnArrays, upstream.DataCollatorForSeq2Seq):
    """Pads labels as well, and makes `decoder_input_ids` where the model can.

    Arguments as in Transformers, but that `return_tensors` is "np".
    """

    return_tensors: str = "np"

    def __call__(self, features: Rows, return_tensors: str | None = None) -> dict[str, Any]:
        """One batch.

        Args:
            features: Its rows.
            return_tensors: "np", "tf" or "pt"; None for the collator's own.
        """
        batch = dict(super().__call__(features, return_tensors))
        if batch["labels"] is None:
            del batch["labels"]
        if "decoder_input_ids" in batch and (return_tensors or self.return_tensors) == "np":
            batch["decoder_input_ids"] = np.asarray(batch["decoder_input_ids"])
        return batch


@dataclass
class DataCollatorForMultipleChoice(_OnArrays, upstream.DataCollatorForMultipleChoice):
    """Pads the choices of all rows to one length; arguments as in Transformers, "np" is usual."""

    return_tensors: str = "np"

    def numpy_call(self, examples: Rows) -> dict[str, Any]:
        """One batch: [b, c, q] for rows with c choices of different lengths.

        Args:
            examples: Rows with lists of choices, and a `label` or `labels`.
        """
        name = next((name for name in ("label", "labels") if name in examples[0]), None)
        inputs = [{k: v for k, v in row.items() if k != name} for row in examples]
        choices = len(next(iter(inputs[0].values())))
        flat = [{k: v[i] for k, v in row.items()} for row in inputs for i in range(choices)]
        padded = upstream.pad_without_fast_tokenizer_warning(
            self.tokenizer,
            flat,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="np",
        )
        batch = {k: v.reshape(len(examples), choices, -1) for k, v in padded.items()}  # [b, c, q]
        if name is not None:
            batch["labels"] = np.array([row[name] for row in examples], dtype="int64")
        return batch
