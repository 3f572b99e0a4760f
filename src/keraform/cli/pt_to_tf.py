"""`keraform pt-to-tf --model-name DIR|ID`: converts a checkpoint, and measures before and after."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.conversion_view import Json, MaxError, ModelClass, finish
from keraform.cli.verify import choose_backend, need_torch
from keraform.errors import KeraformError

FORMATS = ("h5", "keras", "saved_model")


def pt_to_tf(
    model_name: Annotated[
        str,
        typer.Option(
            "--model-name",
            metavar="DIR|ID",
            help="A checkpoint, or an id on the Hub.",
            show_default=False,
        ),
    ],
    local_dir: Annotated[
        Path | None,
        typer.Option(
            "--local-dir", metavar="D", help="The repository's directory; else that of DIR."
        ),
    ] = None,
    max_error: MaxError = 5e-5,
    new_weights: Annotated[
        bool, typer.Option("--new-weights", help="Write although there is such a file.")
    ] = False,
    no_pr: Annotated[bool, typer.Option("--no-pr", help="Open no pull request.")] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Commit to main, not as a pull request.")
    ] = False,
    extra_commit_description: Annotated[
        str,
        typer.Option("--extra-commit-description", metavar="S", help="More for the description."),
    ] = "",
    override_model_class: ModelClass = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(FORMATS), help="What to write."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a PyTorch checkpoint to TensorFlow's files, and prove that nothing changed.

    Compares weights, outputs, hidden states, attentions, loss and gradients with torch's on fixed
    inputs, writes, reads back, compares again. A directory is converted offline; for an id on the
    Hub a pull request is opened. Ends with 1, and writes nothing, when a tensor is too far off.
    Keraform itself reads PyTorch's files as they are. Needs torch.

    Example: keraform pt-to-tf --model-name path/to/checkpoint --format keras.
    Next: keraform localise path/to/checkpoint, where something differs
    """
    to = _destination(no_pr, push)
    if form is not None and form not in FORMATS:
        raise KeraformError(
            expected=f"a format: {' or '.join(FORMATS)}",
            got=f"--format {form}",
            try_next="--format keras",
        )
    choose_backend("tensorflow")
    need_torch()
    with console.loading_backend(quiet=as_json):
        from keraform.verify.conversion.request import Request
    request = Request(
        model_name, local_dir, form, override_model_class, max_error, new_weights, to,
        extra_commit_description,
    )  # fmt: skip
    with console.steps(as_json) as step, contextlib.redirect_stdout(sys.stderr):
        result = request.run(step)
    finish(result, as_json)


def _destination(no_pr: bool, push: bool) -> str:
    """Where the result of a repository goes, as `Request.to` has it."""
    if no_pr and push:
        raise KeraformError(
            expected="--no-pr, which sends nothing, or --push",
            got="both",
            try_next="one of them; a pull request is opened without either",
        )
    return "main" if push else "nowhere" if no_pr else "pull request"
