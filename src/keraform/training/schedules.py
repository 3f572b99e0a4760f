"""Learning rates over the steps of a training: the warm-up before Keras's own schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


@keras.saving.register_keras_serializable("keraform.training.schedules")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that grows from 0, and is another schedule's after that.

    The rate of step `s` is `initial_learning_rate * (s / warmup_steps) ** power` as long as `s` is
    smaller than `warmup_steps`, then `decay_schedule_fn(s - warmup_steps)`.

    Args:
        initial_learning_rate: The rate at the end of the warm-up.
        decay_schedule_fn: A Keras schedule, or a function of the step.
        warmup_steps: The number of steps that the warm-up takes.
        power: 1 for a straight line.
        name: For graphs.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_schedule_fn: Callable[[Any], Any],
        warmup_steps: int,
        power: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.initial_learning_rate = initial_learning_rate
        self.decay_schedule_fn = decay_schedule_fn
        self.warmup_steps = warmup_steps
        self.power = power
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The rate at a step, a scalar tensor.

        Args:
            step: The number of updates before this one.
        """
        with keras.name_scope(self.name or "WarmUp"):
            peak = keras.ops.convert_to_tensor(self.initial_learning_rate)
            done = keras.ops.cast(step, peak.dtype) / max(self.warmup_steps, 1)
            later = keras.ops.maximum(step - self.warmup_steps, 0)
            return keras.ops.where(done < 1, peak * done**self.power, self.decay_schedule_fn(later))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for saving."""
        decay = keras.saving.serialize_keras_object(self.decay_schedule_fn)
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_schedule_fn": decay,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """A schedule as it was saved.

        Args:
            config: What `get_config` gave.
        """
        decay = keras.saving.deserialize_keras_object(config["decay_schedule_fn"])
        return cls(**{**config, "decay_schedule_fn": decay})
