"""`keraform source TYPE`: where the generated file lies."""

from __future__ import annotations

from typing import Annotated

import typer

from keraform.cli import console


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

    modules = translate.upstream_modules(model_type)
    with console.waiting(f"translating {model_type}", quiet=as_json):
        paths = {module: translate.port_module(module) for module in modules}
    if as_json:
        console.print_json({"type": model_type, "files": {m: str(p) for m, p in paths.items()}})
        return
    # the type's own file last, those that it is built on before it
    for path in reversed(list(paths.values())):
        console.out.print(str(path), highlight=False, markup=False)
