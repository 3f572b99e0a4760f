"""The environment of a process whose Keras runs on JAX: a process has one backend for life."""

from __future__ import annotations

JAX = {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}


def shared(folder: str) -> dict[str, str]:
    """What makes such processes share, in a folder, the operations that JAX has compiled: it
    compiles each for each shape, which takes longer than all else that is done with tiny models.
    """
    return {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
