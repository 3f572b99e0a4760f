"""`keraform localise --torch F.py:NAME --keras F.py:NAME`: names the statement that differs."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.verify import choose_backend, need_torch, parse_init


def localise(
    torch: Annotated[
        str, typer.Option("--torch", metavar="F.py:NAME", help="A torch module of your own.")
    ],
    keras: Annotated[
        str, typer.Option("--keras", metavar="F.py:NAME", help="A Keras layer or model.")
    ],
    init: Annotated[
        list[str] | None,
        typer.Option("--init", metavar="k=v", help="Constructor argument; repeat it."),
    ] = None,
    keras_init: Annotated[
        list[str] | None,
        typer.Option("--keras-init", metavar="k=v", help="The same for Keras alone."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--inputs", metavar="F.npz|module:function", help="Inputs by name."),
    ] = None,
    keras_inputs: Annotated[
        str | None,
        typer.Option(
            "--keras-inputs",
            metavar="F.npz|module:function|channels-last",
            help="Others for Keras.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="F.safetensors", help="Instead of random ones."),
    ] = None,
    weight_map: Annotated[
        str | None, typer.Option("--map", metavar="MAP.json", help="A corrected weight map.")
    ] = None,
    save_map: Annotated[
        Path | None, typer.Option("--save-map", metavar="MAP.json", help="Write the map.")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="tensorflow or jax.")] = "tensorflow",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Say whether a torch module and a Keras layer are equal, and if not, which statement differs.

    Example: keraform localise --torch my_torch.py:Model --keras my_keras.py:Model --inputs x.npz.
    Next: keraform trace --help
    """
    choose_backend(backend)
    need_torch()
    arguments, others = parse_init(init or []), parse_init(keras_init or [])
    with console.loading_backend(quiet=as_json):
        from keraform.verify.pairs import PairTarget, localise_pair
        from keraform.verify.quiet import quiet
    target = PairTarget(torch, keras, arguments, others, inputs, keras_inputs, weights, weight_map)
    with quiet(), contextlib.redirect_stdout(sys.stderr):
        report = localise_pair(target)
    if save_map is not None:
        text = json.dumps(report.weight_map.to_json(), indent=2) + "\n"
        console.write_whole(save_map, text, force=True)
    if as_json:
        console.print_json(report.to_json())
    else:
        from keraform.cli.pair_view import show

        show(report, console.out)
    console.end(console.CLEAN if report.equal else console.FOUND)
