"""Measurements in processes of their own, which print one JSON object as their last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "",  # as on a user's machine: compiled once
    "TRANSFORMERS_VERBOSITY": "error",
}


def child(code: str, *args: str, **environment: str) -> dict[str, Any]:
    """Run `code` in a fresh Python.

    Args:
        code: the program; it prints a JSON object last.
        *args: its `sys.argv[1:]`.
        **environment: variables beside the usual ones.

    Raises:
        SystemExit: the program failed.
    """
    result = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise SystemExit(f"expected a measurement; got {result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])
