"""Importing the package: silent, without torch, and lazy where it says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hiding import without

BACKENDS = ("tensorflow", "jax", "torch", "keras")


def run(repository: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh process, with this checkout's package."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(repository / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_prints_nothing_and_needs_no_torch(repository: Path) -> None:
    result = run(repository, without("torch") + "import keraform")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr == ""


def test_classes_are_listed_without_being_imported(repository: Path) -> None:
    code = without("torch") + (
        "import keraform\nnames = dir(keraform)\n"
        "assert 'TFBertModel' in names and 'TFAutoModel' in names, names[:20]\n"
        "assert 'keraform.models.bert' not in sys.modules\n"
    )
    result = run(repository, code)
    assert result.returncode == 0, result.stderr


def test_a_class_resolves_by_name_without_torch(repository: Path) -> None:
    code = without("torch") + (
        "import keraform\nfrom keraform.models.bert import TFBertMainLayer, TFBertModel\n"
        "assert keraform.TFBertModel is TFBertModel\n"
        "assert issubclass(TFBertMainLayer, __import__('keras').layers.Layer)\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = run(repository, code)
    assert result.returncode == 0, result.stderr


def test_an_unknown_name_is_named(repository: Path) -> None:
    import keraform

    with pytest.raises(AttributeError, match="TFBertForCooking"):
        keraform.TFBertForCooking  # noqa: B018


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["verify", "--help"]])
def test_the_command_line_starts_without_a_backend(repository: Path, arguments: list[str]) -> None:
    code = (
        f"import sys, json\nsys.argv = ['keraform', *{arguments!r}]\n"
        "from keraform.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(json.dumps([name for name in sys.modules if '.' not in name]), file=sys.stderr)\n"
    )
    result = run(repository, code)
    assert result.returncode == 0, result.stderr
    imported = json.loads(result.stderr.splitlines()[-1])
    assert not [name for name in BACKENDS if name in imported]


def test_the_command_line_answers_at_once(repository: Path) -> None:
    # not a benchmark: an accidental import of a backend takes several seconds
    started = time.perf_counter()
    assert run(repository, "from keraform.cli.app import app").returncode == 0
    assert time.perf_counter() - started < 3
