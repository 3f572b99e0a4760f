"""Checkpoints in PyTorch's names and layout: read, matched with a model's weights, written."""

from __future__ import annotations

from keraform.checkpoints.keras2_files import read_keras2
from keraform.checkpoints.keras2_save import keras2_classes, write_keras2
from keraform.checkpoints.load import load_torch_state
from keraform.checkpoints.report import LoadingReport
from keraform.checkpoints.safetensors_files import read_safetensors, write_safetensors
from keraform.checkpoints.save import torch_state
from keraform.checkpoints.torch_files import read_torch_files

__all__ = [
    "LoadingReport",
    "keras2_classes",
    "load_torch_state",
    "read_keras2",
    "read_safetensors",
    "read_torch_files",
    "torch_state",
    "write_keras2",
    "write_safetensors",
]
