"""Time series: what was measured, its features, and what comes next; trajectories of decisions."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import Scene

STEPS = 6


def past_length(scene: Scene) -> int:
    """Steps that are given: the context and what the largest lag reaches before it."""
    context = scene.get("context_length") or scene.get("prediction_length", 24)
    lags = scene.get("lags_sequence")
    return context + max(lags) if lags else context


def _channels(scene: Scene) -> tuple[int, ...]:
    """The last axis: none for a series of one value."""
    if scene.get("num_input_channels"):
        return (scene.get("num_input_channels"),)
    size = scene.get("input_size", 1)
    return () if size == 1 else (size,)


def past_values(scene: Scene) -> np.ndarray:
    """`[batch, steps]`, or with the channels last."""
    return scene.rng.normal(size=(scene.batch, past_length(scene), *_channels(scene)))


def observed(scene: Scene) -> np.ndarray | None:
    """1 = measured; of one step in four of the first row nothing is known."""
    mask = np.ones((scene.batch, past_length(scene), *_channels(scene)))
    if scene.masks:
        mask[0, ::4] = 0
    return mask


def past_padding(scene: Scene) -> np.ndarray:
    """1 = padding, at the start of a row."""
    mask = np.zeros((scene.batch, past_length(scene)), "int64")
    if scene.masks:
        mask[0, :2] = 1
    return mask


def past_time_features(scene: Scene) -> np.ndarray:
    """Of each given step."""
    count = scene.get("num_time_features", 0)
    return scene.rng.normal(size=(scene.batch, past_length(scene), count))


def future_time_features(scene: Scene) -> np.ndarray:
    """Of each step to come."""
    count = scene.get("num_time_features", 0)
    return scene.rng.normal(size=(scene.batch, scene.get("prediction_length", 1), count))


def future_values(scene: Scene) -> np.ndarray:
    """`[batch, steps to come]`, or with the channels last."""
    length = scene.get("prediction_length") or scene.get("horizon_length", 1)
    return scene.rng.normal(size=(scene.batch, length, *_channels(scene)))


def frequency(scene: Scene) -> np.ndarray:
    """Which of the model's frequencies a series has, `[batch, 1]`."""
    return scene.rng.integers(0, scene.get("freq_size", 3), (scene.batch, 1))


def several_series(scene: Scene) -> list[np.ndarray]:
    """A list of series, each as long as the context."""
    return list(past_values(scene))


def states(scene: Scene) -> np.ndarray | None:
    """Of a trajectory, `[batch, steps, width]`."""
    return _steps(scene, "state_dim")


def actions(scene: Scene) -> np.ndarray | None:
    """Of a trajectory, `[batch, steps, width]`."""
    return _steps(scene, "act_dim")


def _steps(scene: Scene, name: str) -> np.ndarray | None:
    width = scene.get(name)
    return None if width is None else scene.rng.normal(size=(scene.batch, STEPS, width))


def rewards(scene: Scene) -> np.ndarray:
    """Of a trajectory, `[batch, steps, 1]`; what is still to be gained has the same shape."""
    return scene.rng.normal(size=(scene.batch, STEPS, 1))


def timesteps(scene: Scene) -> np.ndarray:
    """Of a trajectory, `[batch, steps]`."""
    return np.tile(np.arange(STEPS), (scene.batch, 1))


def step_mask(scene: Scene) -> np.ndarray:
    """1 = a step that was taken."""
    mask = np.ones((scene.batch, STEPS), "int64")
    mask[0, :2] = 0
    return mask


def state(scene: Scene) -> np.ndarray | None:
    """Of a robot, `[batch, width]`."""
    width = scene.get("max_state_dim")
    return None if width is None else scene.rng.normal(size=(scene.batch, width))


def noise(scene: Scene) -> np.ndarray | None:
    """From which actions are made, `[batch, steps, width]`."""
    steps, width = scene.get("chunk_size"), scene.get("max_action_dim")
    if steps is None or width is None:
        return None
    return scene.rng.normal(size=(scene.batch, steps, width))


def timestep(scene: Scene) -> np.ndarray | None:
    """How much of the noise is left, from 0 to 1."""
    return scene.rng.uniform(size=(scene.batch,)) if scene.get("max_action_dim") else None


def time_step(scene: Scene) -> np.ndarray:
    """How far noise has become sound, from 0 to 1: near its begin, since what takes the sine of a
    thousand times that loses four digits of float32 at its end.
    """
    return 0.02 * scene.rng.uniform(size=(scene.batch,))


def action_embeds(scene: Scene) -> np.ndarray | None:
    """Embeddings of a robot's state and of each action, `[batch, 1 + steps, width]`."""
    part, steps = scene.get("dit_config"), scene.get("chunk_size")
    if part is None or steps is None:
        return None
    return scene.rng.normal(size=(scene.batch, 1 + steps, part.hidden_size))
