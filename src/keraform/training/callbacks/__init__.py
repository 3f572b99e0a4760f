"""Callbacks for `fit`: metrics of whole datasets, and uploads beside the training."""

from __future__ import annotations

from keraform.training.callbacks.metrics import KerasMetricCallback
from keraform.training.callbacks.pushing import PushToHubCallback

__all__ = ["KerasMetricCallback", "PushToHubCallback"]
