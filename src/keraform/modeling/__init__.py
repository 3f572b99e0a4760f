"""The base classes of all models, which compose the rooms below."""

from __future__ import annotations

from keraform.modeling.backbone import (
    BackboneMixin,
    BackboneType,
    filter_output_hidden_states,
    load_backbone,
)
from keraform.modeling.inputs import unpack_inputs
from keraform.modeling.layouts import layout_map
from keraform.modeling.main_layer import MainLayer
from keraform.modeling.model import Model
from keraform.modeling.pretrained import PreTrainedAudioTokenizerBase, PreTrainedModel

__all__ = [
    "BackboneMixin",
    "BackboneType",
    "MainLayer",
    "Model",
    "PreTrainedAudioTokenizerBase",
    "PreTrainedModel",
    "filter_output_hidden_states",
    "layout_map",
    "load_backbone",
    "unpack_inputs",
]
