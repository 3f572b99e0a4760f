"""A model that goes to the Hub while it is trained."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
from huggingface_hub import ModelCard

from keraform.checkpoints.safetensors_files import is_weights
from keraform.errors import KeraformError
from keraform.hub.card import CARD
from keraform.hub.push import Target

logger = logging.getLogger(__name__)

_STRATEGIES = ("no", "epoch", "steps")
_SNAPSHOT = ".push-"


class PushToHubCallback(keras.callbacks.Callback):
    """Saves the model as `save_pretrained` does, and pushes it while the training goes on.

    One upload at a time: while one runs, the model is saved and not pushed; the next save, or the
    end of the training, pushes it. What fails is said, stops nothing, and is tried again with the
    next save. At the end the model is saved and pushed once more, and `fit` waits for that. In any
    case the last state is in `output_dir`.

    Args:
        output_dir: Where the model is saved; all files there go along, but for hidden ones.
        save_strategy: "epoch", "steps", or "no" for the end of the training only.
        save_steps: The number of steps between two saves.
        tokenizer: A tokenizer or processor that goes along; those that the model was loaded with
            do so without.
        hub_model_id: Such as "somebody/my-model"; the name of `output_dir`, if not given.
        hub_token: A token with write access; None for the one of `hf auth login` or `HF_TOKEN`.
        checkpoint: Also push `checkpoint/model.keras`, with the state of the optimizer, and
            `checkpoint/training.json` with the number of the next epoch:
            `keras.saving.load_model(...)` and `fit(initial_epoch=...)` go on with them.
        **model_card_args: Of `create_model_card`, such as `dataset` and `license`.

    Attributes:
        failure: Why the last upload failed; None when it did not.

    Raises:
        KeraformError: The arguments do not fit together; the repository cannot be made, or the
            token may not write.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        save_strategy: str = "epoch",
        save_steps: int | None = None,
        tokenizer: Any = None,
        hub_model_id: str | None = None,
        hub_token: str | None = None,
        checkpoint: bool = False,
        **model_card_args: Any,
    ) -> None:
        super().__init__()
        self.save_strategy = str(getattr(save_strategy, "value", save_strategy)).lower()
        self.save_steps = save_steps
        _check(self.save_strategy, save_steps, checkpoint)
        self.output_dir = Path(output_dir)
        self.tokenizer = tokenizer
        self.checkpoint = checkpoint
        self.model_card_args = model_card_args
        self.target = Target(hub_model_id or self.output_dir.resolve().name, token=hub_token)
        self.hub_model_id = self.target.name
        self.failure: Exception | None = None
        self._writes_card = _is_ours(self.target, self.output_dir / CARD)
        self._upload: Future[None] | None = None
        self._steps = self._steps_before = 0
        for left in self.output_dir.glob(f"{_SNAPSHOT}*"):  # of a process that was killed
            shutil.rmtree(left)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins a history for the card: Keras's own hears of an epoch after all other callbacks.

        Args:
            logs: Not used.
        """
        if not hasattr(self.model, "save_pretrained"):
            raise KeraformError(
                expected="a model with save_pretrained",
                got=f"{type(self.model).__name__}",
                try_next="keras.callbacks.ModelCheckpoint, or push its parts with push_to_hub",
            )
        self._history = keras.callbacks.History()
        self._history.set_model(self.model)
        self._history.set_params(self.params)
        self._history.on_train_begin()
        self._executor = ThreadPoolExecutor(1, "push-to-hub")
        self._steps = self._steps_before = 0
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(self.output_dir)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves and pushes every `save_steps` steps.

        Args:
            batch: The number of the step in its epoch.
            logs: Not used.
        """
        before, self._steps = self._steps, self._steps_before + batch + 1
        steps = self.save_steps if self.save_strategy == "steps" else None
        if steps and self._steps // steps > before // steps:
            self._save(f"Training in progress, step {self._steps}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves and pushes after each epoch.

        Args:
            epoch: Its number.
            logs: Its values, for the card.
        """
        self._steps_before = self._steps
        self._history.on_epoch_end(epoch, dict(logs or {}))
        if self.save_strategy == "epoch":
            self._save(f"Training in progress, epoch {epoch + 1}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Saves and pushes the end of the training, and waits for that.

        Args:
            logs: Not used.
        """
        with self._executor:
            if self._upload is not None and not self._upload.done():
                logger.info("Waiting for the upload to %s", self.hub_model_id)
                self._upload.result()
            self._save("End of training")
        if self.failure is not None:
            logger.error(
                "The end of the training is in %s, and not in %s: %s",
                self.output_dir,
                self.hub_model_id,
                self.failure,
            )

    def _save(self, message: str) -> None:
        self.model.save_pretrained(self.output_dir)
        if self.checkpoint:
            self._save_checkpoint()
        if self._writes_card:
            self.model.create_model_card(
                self.output_dir,
                self.hub_model_id.split("/")[-1],
                overwrite=True,
                **self.model_card_args,
            )
        if self._upload is None or self._upload.done():
            self._upload = self._executor.submit(self._push, self._snapshot(), message)

    def _save_checkpoint(self) -> None:
        folder = self.output_dir / "checkpoint"
        folder.mkdir(exist_ok=True)
        self.model.save(folder / ".model.keras")
        os.replace(folder / ".model.keras", folder / "model.keras")
        following = {"initial_epoch": len(self._history.epoch) and self._history.epoch[-1] + 1}
        (folder / "training.json").write_text(json.dumps(following), encoding="utf-8")

    def _snapshot(self) -> Path:
        """What is saved now, as it stays when the next save replaces it."""
        folder = Path(tempfile.mkdtemp(prefix=_SNAPSHOT, dir=self.output_dir))
        ignore = shutil.ignore_patterns(".*")
        shutil.copytree(
            self.output_dir, folder, ignore=ignore, copy_function=_copy, dirs_exist_ok=True
        )
        return folder

    def _push(self, folder: Path, message: str) -> None:
        try:
            self.target.commit(folder, message, replaces=is_weights)
            self.failure = None
        except Exception as error:
            self.failure = error
            logger.warning("%s was not pushed to %s: %s", message, self.hub_model_id, error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _check(strategy: str, steps: int | None, checkpoint: bool) -> None:
    if strategy not in _STRATEGIES:
        raise KeraformError(
            expected=f"save_strategy of {', '.join(map(repr, _STRATEGIES))}",
            got=repr(strategy),
            try_next='PushToHubCallback(output_dir, save_strategy="epoch")',
        )
    if strategy == "steps" and not (isinstance(steps, int) and steps > 0):
        raise KeraformError(
            expected='a positive number of save_steps with save_strategy="steps"',
            got=f"save_steps={steps!r}",
            try_next='PushToHubCallback(output_dir, save_strategy="steps", save_steps=500)',
        )
    if checkpoint and strategy != "epoch":
        raise KeraformError(
            expected='checkpoint=True with save_strategy="epoch", since training goes on by epochs',
            got=f"save_strategy={strategy!r}",
            try_next='PushToHubCallback(output_dir, checkpoint=True, save_strategy="epoch")',
        )


def _is_ours(target: Target, local: Path) -> bool:
    """Whether the model card is Keraform's to write: there is none yet, or it wrote it."""
    texts = [local.read_text(encoding="utf-8")] if local.exists() else []
    texts += [target.read(CARD)] if target.has(CARD) else []
    return all("keraform" in (ModelCard(text).data.tags or ()) for text in texts)


def _copy(source: str, target: str) -> None:
    """Weights get another name, since a save never writes into them; all else is copied."""
    name = os.path.basename(source)
    try:
        if is_weights(name) or name.endswith(".keras"):
            os.link(source, target)
            return
    except OSError:  # file systems without such names
        pass
    shutil.copy2(source, target)
