"""`keraform localise TYPE|DIR|FILE.py`, or a pair of files: names the statement that differs."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keraform.cli import console
from keraform.cli.verify import choose_backend, need_page, need_torch, parse_init
from keraform.errors import KeraformError

if TYPE_CHECKING:
    from keraform.verify.cases import Case
    from keraform.verify.findings import Localisation
    from keraform.verify.handwritten.pairs import PairTarget
    from keraform.verify.targets import Target


def localise(
    target: Annotated[
        str | None,
        typer.Argument(metavar="TYPE|DIR|FILE.py", help="What to examine.", show_default=False),
    ] = None,
    torch: Annotated[
        str | None, typer.Option("--torch", metavar="F.py:NAME", help="A torch module of your own.")
    ] = None,
    keras: Annotated[
        str | None,
        typer.Option("--keras", metavar="F.py:NAME", help="A Keras layer or model beside it."),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="C", help="This class only.")
    ] = None,
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
    repro: Annotated[
        Path | None,
        typer.Option("--repro", metavar="F.py", help="Write a script that shows the difference."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--report", metavar="F.html", help="Write a page to look at.")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="tensorflow or jax.")] = "tensorflow",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Find where a port differs from PyTorch: the stage, the statement, the rule, the likely cause.

    Examines a model type, a checkpoint's directory or a file; or, with --torch and --keras, any
    torch module beside a Keras layer that somebody wrote. Ends with 0 when nothing differs, with 1
    when something does. Needs torch.

    Example: keraform localise bert --class TFBertModel. Next: keraform verify bert
    """
    choose_backend(backend)
    need_torch()
    if page is not None:
        need_page(page)
    pair = _is_pair(target, torch, keras)
    arguments, others = parse_init(init or []), parse_init(keras_init or [])
    with console.loading_backend(quiet=as_json):
        from keraform.verify.handwritten.pairs import PairTarget
        from keraform.verify.targets import Target
    if pair:
        given = (arguments, others, inputs, keras_inputs, weights, weight_map)
        differs = _pair(PairTarget(str(torch), str(keras), *given), save_map, page, as_json)
    else:
        names = (class_name,) if class_name else ()
        examined = Target(str(target), names, arguments, inputs)
        differs = _target(examined, repro, page, as_json)
    console.end(console.FOUND if differs else console.CLEAN)


def _is_pair(target: str | None, torch: str | None, keras: str | None) -> bool:
    """Whether two files are given, and not a target."""
    given = [each is not None for each in (target, torch, keras)]
    if given in ([False, True, True], [True, False, False]):
        return not given[0]
    raise KeraformError(
        expected="a model type, a directory or a file; or --torch and --keras together",
        got=" ".join(filter(None, (target, torch and "--torch", keras and "--keras"))) or "nothing",
        try_next="keraform localise bert",
    )


def _pair(target: PairTarget, save_map: Path | None, page: Path | None, as_json: bool) -> bool:
    from keraform.cli.pair_view import show
    from keraform.verify.handwritten.pairs import localise_pair
    from keraform.verify.quiet import quiet

    with quiet(), contextlib.redirect_stdout(sys.stderr):
        report = localise_pair(target)
    if save_map is not None:
        text = json.dumps(report.weight_map.to_json(), indent=2) + "\n"
        console.write_whole(save_map, text, force=True)
    if as_json:
        console.print_json(report.to_json())
    else:
        show(report, console.out)
    _write_page(page, target.torch, [report.localisation])
    return not report.equal


def _target(target: Target, repro: Path | None, page: Path | None, as_json: bool) -> bool:
    from keraform.cli.finding_view import show_localisation
    from keraform.verify.localising.localise import localise_target

    with console.steps(as_json) as step, contextlib.redirect_stdout(sys.stderr):
        examined = localise_target(target, step)
    found = [each for _, each in examined]
    if as_json:
        console.print_json({"target": target.name, "classes": [each.to_json() for each in found]})
    else:
        for each in found:
            show_localisation(each, console.out)
    _write_page(page, target.name, found)
    different = [(case, each) for case, each in examined if each.findings]
    if repro is not None and different:
        _write_reproduction(*different[0], repro, as_json)
    return bool(different)


def _write_reproduction(case: Case, found: Localisation, path: Path, quiet: bool) -> None:
    """Writes the script; that it cannot be written changes nothing about what was found."""
    from keraform.verify.localising.reproduction import write_reproduction

    try:
        with console.waiting("writing a script and trying it", quiet):
            written = write_reproduction(case, found, path)
    except KeraformError as error:
        console.err.print(str(error), style="yellow", highlight=False, markup=False)
        return
    names = ", ".join(map(str, written))
    console.err.print(f"wrote {names}: python {path}", highlight=False, markup=False)


def _write_page(path: Path | None, target: str, found: list[Localisation]) -> None:
    if path is None:
        return
    import keras
    import transformers

    from keraform.verify.outcome import Report
    from keraform.verify.page import render

    report = Report(target, transformers.__version__, keras.backend.backend())
    console.write_whole(path, render(report, found, console.command_line()), force=True)
