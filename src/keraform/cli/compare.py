"""`keraform compare A.safetensors B.safetensors`: compares a torch trace with a Keras one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console


def compare(
    one: Annotated[
        Path, typer.Argument(metavar="A.safetensors", help="A trace.", show_default=False)
    ],
    other: Annotated[
        Path, typer.Argument(metavar="B.safetensors", help="The other.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Compare a torch trace with a Keras one, stage by stage. Needs neither torch nor Keras.

    Ends with 0 when all outputs agree, with 1 when one differs.

    Example: keraform compare torch.safetensors keras.safetensors. Next: keraform trace --help
    """
    from keraform.cli.pair_view import show
    from keraform.verify.handwritten.trace import read
    from keraform.verify.handwritten.trace_pairs import compare_traces, in_order

    report = compare_traces(*in_order(read(one), read(other)))
    if as_json:
        console.print_json(report.to_json())
    else:
        show(report, console.out)
    console.end(console.CLEAN if report.equal else console.FOUND)
