"""Puts the subcommands together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.compare import compare
from keraform.cli.facts import facts
from keraform.cli.localise import localise
from keraform.cli.matrix import matrix
from keraform.cli.port import port
from keraform.cli.pt_to_tf import pt_to_tf
from keraform.cli.source import source
from keraform.cli.status import status
from keraform.cli.stubs import stubs
from keraform.cli.tf_to_pt import tf_to_pt
from keraform.cli.trace import trace
from keraform.cli.verify import verify
from keraform.version import __version__

# In the order in which a newcomer meets them.
COMMANDS: tuple[Callable[..., None], ...] = (
    status, source, port, verify, localise, trace, compare, pt_to_tf, tf_to_pt, facts, stubs,
    matrix,
)  # fmt: skip

app = typer.Typer(
    name="keraform",
    help="PyTorch models of Transformers as readable, proved Keras 3 models.",
    epilog="Example: keraform source bert. Next: keraform verify bert",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        console.out.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """PyTorch models of Transformers as readable, proved Keras 3 models."""


for command in COMMANDS:
    # the docstring's last paragraph is what to type, and what to type next
    words, _, example = inspect.cleandoc(command.__doc__ or "").rpartition("\n\n")
    app.command(help=words, epilog=example)(console.ends_with_a_message(command))
