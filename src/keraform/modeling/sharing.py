"""`push_to_hub` and `create_model_card`: a model on the Hub, with what is known of its training."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import transformers
from huggingface_hub import CommitInfo, ModelCard

from keraform.checkpoints.conversion import upstream_name
from keraform.checkpoints.safetensors_files import is_weights
from keraform.errors import KeraformError
from keraform.hub import card, copy_companions
from keraform.hub.push import Target
from keraform.version import __version__


class Sharing:
    """Gives pretrained models `push_to_hub` and `create_model_card`."""

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "50GB",
        tags: list[str] | str | None = None,
        **kwargs: Any,
    ) -> CommitInfo:
        """Puts the model into a repository on the Hub, in one commit.

        Weights of another form there (in shards, or whole) are taken out by the same commit.
        Tokenizer, processor and card are left as they are where the repository has them;
        where it has none, those that the model was loaded with go along, and a card is written.

        Args:
            repo_id: Such as "somebody/my-model"; without "somebody/", under the token's name.
            commit_message: The commit's first line.
            commit_description: More about it.
            private: For a new repository; None for what is usual there.
            token: A token with write access; None for the one of `hf auth login` or `HF_TOKEN`.
            revision: A branch, made if need be; None for main.
            create_pr: Propose the commit as a pull request.
            max_shard_size: The size that no file shall pass.
            tags: For the card; added to those of a card that is there.
            **kwargs: Others of `save_pretrained`.

        Returns:
            The commit (`oid`, `commit_url`; `pr_url` of a pull request).

        Raises:
            KeraformError: No token, no right to write, no connection, or another refusal.
        """
        target = Target(
            repo_id, private=private, token=token, revision=revision, create_pr=create_pr
        )
        carry_along = kwargs.pop("carry_along", True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.save_pretrained(folder, max_shard_size, carry_along=False, **kwargs)
            source = self.__dict__.get("_loaded_from")
            if carry_along and source is not None:
                copy_companions(source, self.config, target.has, folder)
            self._add_card(folder, target, tags)
            message = commit_message or f"Upload {upstream_name(type(self))}"
            return target.commit(folder, message, commit_description, is_weights)

    def _add_card(self, folder: Path, target: Target, tags: list[str] | str | None) -> None:
        tags = [tags] if isinstance(tags, str) else list(tags or ())
        if not target.has(card.CARD):
            name = target.name.split("/")[-1]
            self.create_model_card(folder, name, tags=tags, plot=True)
        elif tags:
            there = ModelCard(target.read(card.CARD))
            there.data.tags = list(dict.fromkeys([*(there.data.tags or ()), *tags]))
            there.save(folder / card.CARD)

    def create_model_card(
        self,
        output_dir: str | os.PathLike[str],
        model_name: str,
        language: str | list[str] | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        finetuned_from: str | None = None,
        tasks: str | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
        *,
        plot: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Writes README.md with what is known of the model: how the last `fit` went, and on what.

        Every number in it was measured: Keras's history, epoch by epoch, and the last epoch's
        validation as the Hub's `model-index`, where `dataset` or `dataset_tags` says of what.

        Args:
            output_dir: A directory; made if need be.
            model_name: The title.
            language: Codes such as "en".
            license: Such as "apache-2.0".
            tags: For searching on the Hub.
            finetuned_from: The id of the model it was trained from; where it was loaded from, if
                that was the Hub.
            tasks: The Hub's name for what it does; by the class, if not given.
            dataset_tags: Ids of datasets on the Hub.
            dataset: Names of datasets.
            dataset_args: Their configurations.
            plot: Also draw the history, where matplotlib is installed.
            overwrite: Replace a README.md that is there.

        Raises:
            KeraformError: There is a README.md, and it is not to be replaced.
        """
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / card.CARD).exists() and not overwrite:
            raise KeraformError(
                expected=f"no {card.CARD} in {folder}",
                got="one, which may be somebody's work",
                try_next="create_model_card(..., overwrite=True), or another directory",
            )
        run = card.TrainingRun.of(self)
        source = self.__dict__.get("_loaded_from")
        if finetuned_from is None and source is not None and not os.path.isabs(source.name):
            finetuned_from = source.name
        own = upstream_name(type(self))
        tags = [tags] if isinstance(tags, str) else list(tags or ())
        made = card.model_card(
            run,
            model_name=model_name,
            class_name=own,
            versions=_versions(),
            plot=plot and run is not None and card.save_plot(run, folder),
            task=tasks or card.task_of(self.config, own),
            dataset=dataset,
            dataset_tags=dataset_tags,
            dataset_args=dataset_args,
            language=language,
            license=license,
            tags=list(dict.fromkeys(["keraform", *(self.model_tags or ()), *tags])),
            base_model=finetuned_from,
        )
        made.save(folder / card.CARD)


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    return {
        "Keraform": __version__,
        "Keras": keras.__version__,
        "backend": backend,
        "Transformers": transformers.__version__,
    }
