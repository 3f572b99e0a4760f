"""Model cards: what was measured in training and nothing else, with the Hub's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

CARD = "README.md"
PLOT = "training.png"

# The Hub's name of a task, and Transformers' table of the classes for it.
TASKS = {
    "text-generation": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "image-classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "image-segmentation": "MODEL_FOR_IMAGE_SEGMENTATION_MAPPING_NAMES",
    "fill-mask": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "object-detection": "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
    "question-answering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "text2text-generation": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "text-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "table-question-answering": "MODEL_FOR_TABLE_QUESTION_ANSWERING_MAPPING_NAMES",
    "token-classification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "audio-classification": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
    "automatic-speech-recognition": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "zero-shot-image-classification": "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "image-text-to-text": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
}


@dataclass(frozen=True)
class TrainingRun:
    """One call of `fit`.

    Args:
        hyperparameters: By name; only known ones.
        epochs: The numbers of the epochs, from 1.
        measured: A value for each epoch, by Keras's name ("loss", "val_accuracy").
    """

    hyperparameters: dict[str, Any]
    epochs: list[int]
    measured: dict[str, list[float]]

    @classmethod
    def of(cls, model: Any) -> TrainingRun | None:
        """The last one of a model; None when it was not trained for a whole epoch.

        Args:
            model: A Keras model.
        """
        history = getattr(model, "history", None)
        if history is None or not history.history:
            return None
        known = _optimizer(model.optimizer) if model.optimizer is not None else {}
        known["batch_size"] = model.__dict__.get("_batch_size")
        known["planned_epochs"] = history.params.get("epochs")
        known["steps_per_epoch"] = history.params.get("steps")
        known["dtype_policy"] = model.dtype_policy.name
        return cls(
            {key: value for key, value in known.items() if value is not None},
            [number + 1 for number in history.epoch],
            {key: [float(each) for each in values] for key, values in history.history.items()},
        )

    @property
    def last(self) -> dict[str, float]:
        """What the last epoch gave, by name."""
        return {key: values[-1] for key, values in self.measured.items()}


def _optimizer(optimizer: Any) -> dict[str, Any]:
    """Its settings, those aside that are off."""
    settings = {key: value for key, value in optimizer.get_config().items() if value}
    settings.pop("name", None)
    if not settings.get("use_ema"):
        settings = {k: v for k, v in settings.items() if not k.startswith("ema_")}
    return {"optimizer": type(optimizer).__name__, **settings}


def batch_size(data: Any, given: int | None) -> int | None:
    """The rows of a batch where that is known: as given, or as a dataset's elements have them.

    Args:
        data: What is trained on.
        given: What was asked for.
    """
    if given is not None or not hasattr(data, "element_spec"):
        return given
    import tensorflow as tf

    first = next(iter(tf.nest.flatten(data.element_spec)), None)
    shape = getattr(first, "shape", None)
    return shape[0] if shape is not None and shape.rank else None


def task_of(config: Any, upstream_name: str) -> str | None:
    """The Hub's name for what a class does.

    Args:
        config: The model's configuration.
        upstream_name: The class's name in Transformers.
    """
    from transformers.models.auto import modeling_auto

    for task, table in TASKS.items():
        names = getattr(modeling_auto, table, {}).get(config.model_type, ())
        if upstream_name == names or upstream_name in tuple(names):
            return task
    return None


def model_card(
    run: TrainingRun | None,
    *,
    model_name: str,
    class_name: str,
    versions: Mapping[str, str],
    plot: bool = False,
    task: str | None = None,
    dataset: str | list[str] | None = None,
    dataset_tags: str | list[str] | None = None,
    dataset_args: str | list[str] | None = None,
    **metadata: Any,
) -> ModelCard:
    """A card with what is known: no number that was not measured, no blank to fill in.

    Args:
        run: The training, if there was any.
        model_name: The title.
        class_name: The model's class in Transformers.
        versions: Of libraries, by name.
        plot: Whether the picture of `save_plot` lies beside the card.
        task: The Hub's name for what the model does.
        dataset: Names of the datasets that it was trained and validated on.
        dataset_tags: Their ids on the Hub, in the same order.
        dataset_args: Their configurations, in the same order.
        **metadata: `language`, `license`, `tags`, `base_model`: the Hub's metadata.
    """
    names, ids, settings = _list(dataset), _list(dataset_tags), _list(dataset_args)
    results = _results(run, task, names or ids, ids, settings)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=task,
        datasets=ids or None,
        model_name=model_name if results else None,
        eval_results=results or None,
        **{key: value for key, value in metadata.items() if value},
    )
    base = metadata.get("base_model")
    lines = [f"# {model_name}", _about(class_name, base, names or ids)]
    if run is not None:
        lines += ["## Training", _listed(run.hyperparameters), _table(run)]
        lines += [f"![Every value by epoch]({PLOT})"] if plot else []
    lines += ["## Versions", _listed(versions)]
    text = "\n\n".join(lines)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")


def save_plot(run: TrainingRun, folder: Path) -> bool:
    """Draws each measured value over the epochs; False where matplotlib is not installed.

    Args:
        run: The training.
        folder: Where the picture goes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    names = [name for name in run.measured if not name.startswith("val_")]
    figure = Figure(figsize=(4.8 * len(names), 3.6), layout="constrained")
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        for each in (name, f"val_{name}"):
            if each in run.measured:
                axes.plot(run.epochs, run.measured[each], marker="o", label=each)
        axes.set_xlabel("epoch")
        axes.legend()
    figure.savefig(folder / PLOT, dpi=120)
    return True


def _about(class_name: str, base: str | None, datasets: list[str]) -> str:
    origin = f" It was trained from `{base}`." if base else ""
    on = f" Its data: {', '.join(datasets)}." if datasets else ""
    return f"A `{class_name}`, saved with Keraform; Transformers loads it, too.{origin}{on}"


def _results(
    run: TrainingRun | None,
    task: str | None,
    datasets: list[str],
    ids: list[str],
    settings: list[str],
) -> list[EvalResult]:
    """The last epoch's validation, for the one dataset it can be said of."""
    if run is None or task is None or len(datasets) != 1:
        return []
    return [
        EvalResult(
            task_type=task,
            dataset_type=(ids or datasets)[0],
            dataset_name=datasets[0],
            dataset_config=settings[0] if settings else None,
            metric_type=name.removeprefix("val_"),
            metric_name=name,
            metric_value=value,
        )
        for name, value in run.last.items()
        if name.startswith("val_")
    ]


def _listed(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {_shown(value)}" for name, value in values.items())


def _table(run: TrainingRun) -> str:
    rows = [["epoch", *run.measured], ["---"] * (1 + len(run.measured))]
    for row, epoch in enumerate(run.epochs):
        rows.append([str(epoch), *(_shown(values[row]) for values in run.measured.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return format(value, ".4g")
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
