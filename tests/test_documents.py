"""The documents: the support table is the one that was computed, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/index.md")


def test_the_support_table_is_current(repository: Path) -> None:
    command = [sys.executable, str(repository / "docs" / "support_table.py"), "--check"]
    result = subprocess.run(command, check=False)
    assert result.returncode == 0, "try: python docs/support_table.py"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_files_lead_somewhere(repository: Path, name: str) -> None:
    document = repository / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), f"{name} points to {target}"


def test_every_room_has_its_line(repository: Path) -> None:
    text = (repository / "ARCHITECTURE.md").read_text("utf-8")
    package = repository / "src" / "keraform"
    rooms = [each.parent.name for each in package.glob("*/__init__.py")]
    assert not [room for room in rooms if f"`{room}/" not in text]


def test_every_command_of_the_readme_exists(repository: Path) -> None:
    from keraform.cli.app import COMMANDS

    text = (repository / "README.md").read_text("utf-8")
    named = set(re.findall(r"`keraform ([a-z-]+)", text))
    assert named == {command.__name__.replace("_", "-") for command in COMMANDS}
