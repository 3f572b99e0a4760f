"""Triton beside TensorFlow: imported first, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Stands for a triton that ends the process when it comes after TensorFlow.
FAKE = """
import os, sys
if "tensorflow" in sys.modules:
    os.abort()
"""
ASKS = """
try:
    import triton
    print("there")
except ImportError:
    print("none")
"""


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("import keraform.verify, tensorflow", "there"),
        ("import tensorflow, keraform.verify", "none"),
        ("import triton, tensorflow, keraform.verify", "there"),
    ],
)
def test_triton_never_comes_after_tensorflow(tmp_path: Path, first: str, said: str) -> None:
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").write_text(FAKE)
    (tmp_path / "tensorflow.py").write_text("")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", f"{first}\n{ASKS}"],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stdout == f"{said}\n", result.stderr
