"""Gradient checkpointing on TensorFlow and (in its own process) on JAX."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modeling import rematerializing

FAST = (
    "gradients_with_dropout_are_those_without",
    "all_kinds_of_values_pass",
    "switches_are_upstreams",
)


def parameters():
    for check in rematerializing.CHECKS:
        marks = [] if check.__name__ in FAST else [pytest.mark.slow]
        yield pytest.param(check, id=check.__name__, marks=marks)


@pytest.mark.parametrize("check", list(parameters()))
def test_on_tensorflow(check):
    check()


@pytest.mark.slow
def test_on_jax():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, rematerializing.__file__], env=environment, capture_output=True, text=True
    )
    assert done.stdout.count("passed") == len(rematerializing.CHECKS), done.stderr[-3000:]
