"""The command line, and the only room that prints; each subcommand is one file.

Nothing here imports a backend, Transformers or Keraform's other rooms at import: `keraform --help`
answers in well under a second, and a command imports what it needs when it runs.
"""

from __future__ import annotations

import os

# What the libraries underneath are told before they are imported: a command prints its own lines
# only.
QUIET: dict[str, str] = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from keraform.cli.app import app

    app(prog_name="keraform")
