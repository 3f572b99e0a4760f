"""`keraform trace FILE.py:NAME|TYPE|DIR`: runs one side and writes what it gave to one file."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.verify import choose_backend, need_torch, parse_init


def trace(
    target: Annotated[
        str,
        typer.Argument(metavar="FILE.py:NAME|TYPE|DIR", help="What to run.", show_default=False),
    ],
    framework: Annotated[str, typer.Option("--framework", help="torch or keras.")],
    out: Annotated[Path, typer.Option("--out", metavar="F.safetensors", help="Where to write.")],
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="C", help="The class of a TYPE or DIR.")
    ] = None,
    init: Annotated[
        list[str] | None,
        typer.Option("--init", metavar="k=v", help="Constructor argument; repeat it."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--inputs", metavar="F.npz|F.safetensors|module:function", help="Inputs."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="F.safetensors", help="Torch's trace, or a checkpoint of it."
        ),
    ] = None,
    weight_map: Annotated[
        str | None, typer.Option("--map", metavar="MAP.json", help="A corrected weight map.")
    ] = None,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Give Keras images channels last.")
    ] = False,
    dtype: Annotated[str, typer.Option("--dtype", help="float64 or float32.")] = "float64",
    statements: Annotated[
        bool, typer.Option("--statements", help="Record every statement of the file, too.")
    ] = False,
    backend: Annotated[str, typer.Option("--backend", help="tensorflow or jax.")] = "tensorflow",
) -> None:
    """Run one side of a pair and write inputs, weights, stages and outputs to one file.

    The torch side needs no Keras, the Keras side no torch; it takes weights and inputs from torch's
    trace.

    Example: keraform trace my_torch.py:Model --framework torch --inputs x.npz --out t.safetensors.
    Next: keraform compare t.safetensors k.safetensors
    """
    arguments = parse_init(init or [])
    choose_backend(backend)
    if framework == "torch":
        need_torch()
    from keraform.verify.handwritten import trace as traces
    from keraform.verify.handwritten.tracing import Request, make_trace

    request = Request(
        target, framework, class_name, arguments, inputs, weights, weight_map, channels_last,
        dtype, statements,
    )  # fmt: skip
    with console.loading_backend(), contextlib.redirect_stdout(sys.stderr):
        found = make_trace(request)
    traces.write(found, out)
    if found.weight_map is not None:
        from keraform.cli.pair_view import show_map

        own = {weight.name: weight.shape for weight in found.weight_list}
        show_map(found.weight_map, ({}, own), console.out)
    for note in found.notes:
        console.out.print(f"note: {note}", style="dim", markup=False, highlight=False)
    recording = found.recording
    console.out.print(
        f"{out}: {len(recording.stages)} stages, {len(found.weights)} weights, "
        f"{len(recording.outputs)} outputs, {len(found.executions)} statements, {dtype}",
        markup=False,
        highlight=False,
    )
