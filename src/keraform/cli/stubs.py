"""`keraform stubs`: `.pyi` files, so that editors complete names that are resolved lazily."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console


def stubs(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default beside the package."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Write `.pyi` files for every class of the installed Transformers.

    Run it again after Transformers was updated.

    Example: keraform stubs. Next: from keraform import TFBertModel
    """
    from keraform.auto.stubs import write_stubs

    with console.waiting("reading the classes of the installed Transformers", quiet=as_json):
        paths = write_stubs(out)
    if as_json:
        console.print_json({"files": [str(path) for path in paths]})
        return
    # the package's own stub is written last, when all that it imports is there
    console.out.print(f"{len(paths)} files, the last {paths[-1]}", highlight=False, markup=False)
