"""The process on JAX that several tests share: a process has one backend for life."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
RunOnJax = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_on_jax() -> RunOnJax:
    """Runs Python with arguments in a process on JAX with 64-bit numbers."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = filter(None, (str(HERE.parents[1] / "src"), os.environ.get("PYTHONPATH")))
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_X64": "1",
            "PYTHONPATH": os.pathsep.join(path),
        }
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def jax_checks(run_on_jax: RunOnJax) -> dict[str, str]:
    """What each check of `jax_checks.py` found wrong; "" for nothing."""
    done = run_on_jax(str(HERE / "jax_checks.py"))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
