"""What `keraform pt-to-tf` was asked for: which checkpoint, where to, who is offered the result."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from keraform.errors import KeraformError
from keraform.hub import Repository
from keraform.hub.push import Target
from keraform.hub.snapshot import fetch, require_access
from keraform.verify.conversion.formats import FORMATS
from keraform.verify.conversion.result import MAX_ERROR, Conversion, Step, worst_of_groups
from keraform.verify.conversion.to_keras import convert
from keraform.verify.report import number
from keraform.version import __version__

# Where a conversion of a repository goes.
PULL_REQUEST, MAIN, NOWHERE = "pull request", "main", "nowhere"
CONFIG = "config.json"


@dataclass(frozen=True)
class Request:
    """A conversion, as the old command's flags say it.

    Args:
        model_name: A directory, or an id on the Hub.
        local_dir: The repository's directory: read where it holds a config.json, and written to.
        format: A key of FORMATS; None for what fits the class.
        class_name: In place of the class that the config names.
        max_error: How far a tensor may be off.
        new_weights: Write although there is such a file.
        to: PULL_REQUEST, MAIN or NOWHERE, for an id on the Hub.
        description: More for the commit's description.
    """

    model_name: str
    local_dir: Path | None = None
    format: str | None = None
    class_name: str | None = None
    max_error: float = MAX_ERROR
    new_weights: bool = False
    to: str = PULL_REQUEST
    description: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether the checkpoint is on this machine, and the Hub has no part in it."""
        return Path(self.model_name).is_dir()

    def run(self, step: Step) -> Conversion:
        """Convert, and offer the result to the repository.

        Args:
            step: Told before each step.

        Raises:
            KeraformError: See `convert`; a repository that cannot be read or written to.
        """
        self._check()
        with self._places() as (folder, out):
            result = convert(
                self.model_name, folder, out, self.format,
                self.class_name, self.max_error, self.new_weights, step,
            )  # fmt: skip
            if result.written is not None and self._offers:
                step(f"offering it to {self.model_name}", 2, 3)
                name = result.written.relative_to(out).as_posix()
                result.url = self.offer(result, result.written, name)
                if self.local_dir is None:
                    result.written = None  # it is there now, and here no more
        return result

    @property
    def _offers(self) -> bool:
        return not self.is_directory and self.to != NOWHERE

    def _check(self) -> None:
        if self.is_directory and self.to == MAIN:
            raise KeraformError(
                expected="an id on the Hub, to push to",
                got=f"--push with the directory {self.model_name}",
                try_next=f"--model-name ID --local-dir {self.model_name} --push",
            )
        if not self.is_directory:
            Repository.of(self.model_name).check_name()
        if not self.is_directory and self.to == NOWHERE and self.local_dir is None:
            raise KeraformError(
                expected="a place for what is written: a pull request, or --local-dir",
                got=f"--no-pr with {self.model_name}, which is not a directory, and no --local-dir",
                try_next="--no-pr --local-dir D",
            )
        if self._offers:
            require_access(self.model_name)

    @contextmanager
    def _places(self) -> Iterator[tuple[Path, Path]]:
        """The checkpoint's directory, and the one to write to."""
        own = self.local_dir
        if self.is_directory:
            yield Path(self.model_name), own or Path(self.model_name)
        elif own is not None and (own / CONFIG).is_file():
            yield own, own
        else:
            folder = fetch(self.model_name, FORMATS[self.format or "h5"].name, own)
            with tempfile.TemporaryDirectory(prefix="keraform-") as elsewhere:
                yield folder, own or Path(elsewhere)

    def offer(self, result: Conversion, written: Path, name: str) -> str:
        """Commit what was written to the repository.

        Args:
            result: What was measured.
            written: The file or folder.
            name: Its path in the repository.

        Returns:
            The address of the pull request or commit.
        """
        with tempfile.TemporaryDirectory(prefix="keraform-") as alone:
            copy = Path(alone) / name
            copy.parent.mkdir(exist_ok=True)
            (shutil.copytree if written.is_dir() else shutil.copyfile)(written, copy)
            target = Target(self.model_name, create_pr=self.to == PULL_REQUEST)
            done = target.commit(
                Path(alone),
                f"{'Update' if self.new_weights else 'Add'} {name}, from the PyTorch weights",
                describe(result, self.description),
            )
        return done.pr_url or done.commit_url


def describe(result: Conversion, more: str = "") -> str:
    """What a commit says of a conversion: the measured differences, and what measured them.

    Args:
        result: The conversion.
        more: What else shall stand there.
    """
    packages = ("torch", "transformers", "keras", "tensorflow")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    before, after = worst_of_groups(result.before), worst_of_groups(result.after or [])
    rows = [
        f"| {group} | {number(worst.error)} | "
        f"{number(after[group].error) if group in after else 'not in this format'} |"
        for group, worst in before.items()
    ]
    raised = "" if result.max_error == MAX_ERROR else f" It was set from {MAX_ERROR:g}."
    lines = [
        f"{result.class_name} converted by `keraform pt-to-tf` (Keraform {__version__}).",
        "",
        "Largest difference from PyTorch on the same inputs, relative to the larger of 1 and the "
        "tensor's root mean square (loss and gradients in float64, the rest in float32):",
        "",
        "| | PyTorch's weights loaded | the file read back |",
        "|---|---|---|",
        *rows,
        "",
        f"Admissible: {result.max_error:g}, or twice PyTorch's own float32 noise.{raised} "
        f"Measured with {versions}.",
        *(["", more] if more else []),
    ]
    return "\n".join(lines)
