"""What Keras has to be told when a model gets other weights, or computes otherwise, than before."""

from __future__ import annotations

from typing import Any

from keraform.errors import KeraformError


def forget_functions(model: Any) -> None:
    """Lets `fit`, `evaluate` and `predict` trace the model anew.

    Args:
        model: A pretrained model; an inner layer has no such functions.
    """
    for name in ("train_function", "test_function", "predict_function"):
        if hasattr(model, name):
            setattr(model, name, None)


def require_fresh_optimizer(model: Any, method: str) -> None:
    """Makes sure that no optimizer holds state of the weights that a model had.

    Args:
        model: A pretrained model.
        method: What is going to change the weights.

    Raises:
        KeraformError: The model was trained, or compiled from a file.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer.built:
        raise KeraformError(
            expected="an optimizer that has not seen the weights yet",
            got=f"{method} on a {type(model).__name__} that was trained, whose "
            f"{type(optimizer).__name__} holds state of other weights",
            try_next=f"model.optimizer = None; model.{method}(...); model.compile(...)",
        )
