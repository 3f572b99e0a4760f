"""Dependencies between rooms point one way: import-linter's contracts, in the ordinary test run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_rooms_import_only_what_is_below_them(repository: Path) -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    result = subprocess.run(
        command,
        cwd=repository,
        env={"PYTHONPATH": str(repository / "src"), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
