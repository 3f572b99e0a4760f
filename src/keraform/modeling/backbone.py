"""Models used for their feature maps: which stages they give, and how one is made."""

from __future__ import annotations

import enum
import functools
import importlib
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedConfig

from keraform.errors import explain


class BackboneType(enum.Enum):
    """Whose code a backbone is."""

    TIMM = "timm"
    TRANSFORMERS = "transformers"


class BackboneMixin:
    """Gives a model `stage_names`, `out_features`, `out_indices` and `channels`.

    Args:
        *args: Of the model.
        **kwargs: Of the model; `timm_backbone` is refused.
    """

    backbone_type: BackboneType | None = None
    has_attentions: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.pop("timm_backbone", None) is not None:
            raise NotImplementedError(
                explain(
                    "a backbone that Transformers itself defines",
                    "a timm backbone, which is PyTorch code of another library",
                    "a configuration with backbone_config in place of a timm name",
                )
            )
        super().__init__(*args, **kwargs)
        self.backbone_type = BackboneType.TRANSFORMERS
        self.stage_names = self.config.stage_names
        self.config.verify_out_features_out_indices()
        self.num_features: list[int] | None = None

    @property
    def out_features(self) -> list[str]:
        """The names of the stages whose feature maps are returned."""
        return self.config._out_features

    @out_features.setter
    def out_features(self, out_features: list[str]) -> None:
        self.config.out_features = out_features

    @property
    def out_indices(self) -> list[int]:
        """The indices of the stages whose feature maps are returned."""
        return self.config._out_indices

    @out_indices.setter
    def out_indices(self, out_indices: tuple[int, ...] | list[int]) -> None:
        self.config.out_indices = out_indices

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """The number of channels of every stage."""
        sizes = self.num_features or []  # the model's own constructor sets them
        return {stage: sizes[i] for i, stage in enumerate(self.stage_names)}

    @property
    def channels(self) -> list[int]:
        """The number of channels of each returned feature map."""
        return [self.out_feature_channels[name] for name in self.out_features]

    def forward_with_filtered_kwargs(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the backbone, without `output_attentions` where it has no attention."""
        if not self.has_attentions:
            kwargs.pop("output_attentions", None)
        return self(*args, **kwargs)  # type: ignore[operator]


def filter_output_hidden_states(function: Callable[..., Any]) -> Callable[..., Any]:
    """For a backbone's `call`: computes hidden states always, returns them only when asked.

    Args:
        function: The `call`, which returns a model output.
    """

    @functools.wraps(function)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked = kwargs.get("output_hidden_states")
        if asked is None:
            asked = getattr(self.config, "output_hidden_states", False)
        kwargs["output_hidden_states"] = True
        outputs = function(self, *args, **kwargs)
        if not asked:
            kept = {name: value for name, value in outputs.items() if name != "hidden_states"}
            return type(outputs)(**kept)
        if asked is not True:
            _select(outputs, asked)
        return outputs

    return wrapper


def _select(outputs: Any, asked: int | list[int]) -> None:
    """Keeps only the hidden states whose indices were asked for, None in place of the others."""
    states = outputs["hidden_states"]
    wanted = {index % len(states) for index in ([asked] if isinstance(asked, int) else asked)}
    outputs["hidden_states"] = [
        state if index in wanted else None for index, state in enumerate(states)
    ]


def load_backbone(config: PreTrainedConfig) -> Any:
    """The backbone that a configuration names, with random weights.

    Args:
        config: A configuration with `backbone_config`, or a backbone's own.
    """
    # which class it is, is known to a room above this one: ask the package's public table
    table = importlib.import_module("keraform")
    own = getattr(config, "backbone_config", None) or config
    return table.AutoMainLayer.from_config(own, auto_class="AutoBackbone")
