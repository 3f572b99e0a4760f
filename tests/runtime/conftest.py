"""What several tests of the runtime share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def jax_checks(run_on_jax: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, str]:
    """What each check of `jax_checks.py` found wrong; "" for nothing."""
    done = run_on_jax(str(HERE / "jax_checks.py"))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
