"""`keraform source TYPE`: where the generated file lies."""

from __future__ import annotations

from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.types import modules_of
from keraform.errors import KeraformError


def source(
    model_type: Annotated[str, typer.Argument(metavar="TYPE", help="A model type, such as bert.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Print the path of the readable file that a model type's classes come from.

    The file is written when it is first asked for. The last line is the path of the type's own
    file.

    Example: less $(keraform source bert | tail -n 1). Next: keraform verify bert
    """
    from keraform import translate

    modules = modules_of(model_type)
    with console.waiting(f"translating {model_type}", quiet=as_json):
        paths = {module: translate.port_module(module) for module in modules}
    if None in paths.values():
        raise KeraformError(
            expected="a directory for generated files that can be written",
            got="one that cannot: the ports are kept in memory",
            try_next=f"KERAFORM_CACHE=/tmp/ports keraform source {model_type}",
        )
    if as_json:
        console.print_json({"type": model_type, "files": {m: str(p) for m, p in paths.items()}})
        return
    for path in paths.values():
        console.out.print(str(path), highlight=False, markup=False)
