"""The environment of a process whose Keras runs on JAX: a process has one backend for life."""

from __future__ import annotations

JAX = {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
