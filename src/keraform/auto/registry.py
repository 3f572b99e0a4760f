"""A ported class by its name: which module it is in, and what to suggest when there is none."""

from __future__ import annotations

import difflib
import functools
import importlib
from typing import Any

from keraform.auto.tables import auto_tables, class_modules

_PREFIX = "TF"
_MAIN = "MainLayer"

# transformers' own classes that users had beside the models, and that need no torch
COMPANIONS = (
    "AutoConfig",
    "AutoFeatureExtractor",
    "AutoImageProcessor",
    "AutoProcessor",
    "AutoTokenizer",
    "AutoVideoProcessor",
    "BatchEncoding",
    "BatchFeature",
    "GenerationConfig",
    "PreTrainedConfig",
)
# what users had for training, by the module that has it
TRAINING = {
    "AdamWeightDecay": "optimizers",
    "DataCollatorForLanguageModeling": "collators",
    "DataCollatorForMultipleChoice": "collators",
    "DataCollatorForPermutationLanguageModeling": "collators",
    "DataCollatorForSeq2Seq": "collators",
    "DataCollatorForTokenClassification": "collators",
    "DataCollatorForWholeWordMask": "collators",
    "DataCollatorWithPadding": "collators",
    "DefaultDataCollator": "collators",
    "KerasMetricCallback": "callbacks",
    "PushToHubCallback": "callbacks",
    "WarmUp": "schedules",
    "create_optimizer": "optimizers",
    "default_data_collator": "collators",
}
_COMPANION_ENDINGS = ("Config", "Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor")


def ported_class(name: str) -> type:
    """A ported class by upstream's name or the port's, translated if need be.

    Args:
        name: "BertModel", "TFBertModel" or "TFBertMainLayer".

    Raises:
        AttributeError: Transformers has no such class.
    """
    upstream = name.removeprefix(_PREFIX)
    public = f"{_PREFIX}{upstream}"
    key = upstream
    if upstream.endswith(_MAIN):
        key = upstream.removesuffix(_MAIN) + "Model"
    module = class_modules().get(key)
    if module is None:
        raise AttributeError(_unknown(public))
    port = importlib.import_module(f"keraform.{module}")
    try:
        return getattr(port, public)
    except AttributeError:
        raise AttributeError(
            f"module 'keraform' has no attribute {public!r}: {port.__name__} has none"
        ) from None


def resolve(name: str) -> Any:
    """What `keraform.<name>` is: an Auto class, a ported class, something for training, or one of
    transformers' companions.

    Args:
        name: The attribute asked for.

    Raises:
        AttributeError: There is no such name; the message suggests others.
    """
    if name in ("AutoMainLayer",) or name.removeprefix(_PREFIX) in auto_tables():
        from keraform.auto.factory import AutoMainLayer, auto_class

        return AutoMainLayer if name == "AutoMainLayer" else auto_class(name)
    if name.startswith(_PREFIX):
        return ported_class(name)
    if name in TRAINING:
        return getattr(importlib.import_module(f"keraform.training.{TRAINING[name]}"), name)
    if name in COMPANIONS or name.endswith(_COMPANION_ENDINGS):
        import transformers

        found = getattr(transformers, name, None)
        if found is not None:
            return found
    raise AttributeError(_unknown(name))


def base_models() -> list[str]:
    """The public classes that have a main layer: those that the plain Auto class names."""
    values = auto_tables()["AutoModel"].values()
    names = {name for value in values for name in ([value] if isinstance(value, str) else value)}
    return sorted(name for name in names if name.endswith("Model") and name in class_modules())


@functools.cache
def public_names() -> list[str]:
    """All names that `resolve` knows, for `dir(keraform)`."""
    classes = [f"{_PREFIX}{name}" for name in class_modules()]
    mains = [f"{_PREFIX}{name.removesuffix('Model')}{_MAIN}" for name in base_models()]
    autos = [f"{_PREFIX}{name}" for name in auto_tables()]
    return sorted({*classes, *mains, *autos, *COMPANIONS, *TRAINING})


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, public_names(), n=3, cutoff=0.75)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"module 'keraform' has no attribute {name!r}{hint}"
