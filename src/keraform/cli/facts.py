"""`keraform facts TYPE|--all`: records kinds from runs of the torch models, for developers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keraform.cli import console
from keraform.cli.verify import need_torch
from keraform.errors import KeraformError


def facts(
    model_type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="A model type.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every module that has facts.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default into the package."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Run a type's torch classes on tiny inputs and record what its expressions are.

    Recorded kinds ship with the package, so that users without torch get the same ports. Those of
    another text of the module, from another release of Transformers, stay.

    Example: keraform facts bert. Next: keraform port bert
    """
    if every == (model_type is not None):
        raise KeraformError(
            expected="a model type, or --all",
            got="both" if every else "neither",
            try_next="keraform facts bert",
        )
    need_torch()
    import keraform.translate as translate_room

    with console.loading_backend(quiet=as_json):
        from keraform.verify.classes import PROVED_TYPES, upstream_module_name
        from keraform.verify.facts import SHARED, read_facts, record_facts

    directory = out or Path(translate_room.__file__).parent / "facts"
    directory.mkdir(parents=True, exist_ok=True)
    if model_type is None:
        modules = {
            **{upstream_module_name(each): () for each in PROVED_TYPES},
            **{read_facts(each).module: () for each in directory.glob("*.json.gz")},
            **SHARED,
        }
    else:
        modules = {upstream_module_name(model_type): ()}
    rows = []
    with console.progress(len(modules), "modules", quiet=as_json) as begin:
        for module, through in modules.items():
            begin(module)
            recorded = record_facts(module, through)
            path = directory / recorded.file_name
            if not path.is_file() or read_facts(path).facts != recorded.facts:
                recorded.write(path)
            rows.append({"module": module, "facts": len(recorded.facts), "path": str(path)})
    if as_json:
        console.print_json(rows)
        return
    for row in rows:
        console.out.print(
            f"{row['module']}: {row['facts']} facts in {row['path']}", highlight=False, markup=False
        )
