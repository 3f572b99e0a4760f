"""`keraform tf-to-pt DIR`: an old TensorFlow checkpoint as today's safetensors."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.conversion_view import Json, MaxError, ModelClass, finish
from keraform.cli.verify import choose_backend


def tf_to_pt(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The checkpoint.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="D", help="Where to write; else into DIR.")
    ] = None,
    max_error: MaxError = 5e-5,
    new_weights: Annotated[
        bool, typer.Option("--new-weights", help="Write although there are such weights.")
    ] = False,
    override_model_class: ModelClass = None,
    as_json: Json = False,
) -> None:
    """Convert what Transformers v4's TensorFlow classes wrote to PyTorch's safetensors.

    Reads tf_model.h5 (whole or in shards) and safetensors with TensorFlow's names, writes
    safetensors with PyTorch's, and carries the tokenizer and its like along. Where torch is
    installed, transformers loads them and all that it gives is compared with what Keraform gives
    of the old weights. Ends with 1, and writes nothing, when a tensor is too far off.

    Example: keraform tf-to-pt path/to/old --out path/to/new.
    Next: keraform verify path/to/new
    """
    choose_backend("tensorflow")
    with console.loading_backend(quiet=as_json):
        from keraform.verify.conversion.to_torch import convert_to_torch
    with console.steps(as_json) as step, contextlib.redirect_stdout(sys.stderr):
        result = convert_to_torch(
            folder, out or folder, override_model_class, max_error, new_weights, step
        )
    finish(result, as_json)
