"""What the figures were measured on: processor, threads, BLAS, and the matrix-product peak."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def cpu() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def cores() -> int:
    """The cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_blas() -> str:
    """The library behind torch's matrix product, with its version."""
    import torch

    text = torch.__config__.show()
    name = re.search(r"BLAS_INFO=(\w+)", text)
    version = re.search(r"Math Kernel Library Version (\S+)", text)
    word = name.group(1) if name else "unknown BLAS"
    return f"{word} {version.group(1)}" if version else word


def onednn() -> str:
    """The oneDNN that torch carries."""
    import torch

    found = re.search(r"MKL-DNN v(\S+)", torch.__config__.show())
    return f"oneDNN {found.group(1)}" if found else "no oneDNN"


def describe() -> dict[str, Any]:
    """Everything a reader needs beside a figure."""
    import keras
    import tensorflow as tf
    import torch

    return {
        "cpu": cpu(),
        "cores": cores(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "torch_blas": torch_blas(),
        "onednn": onednn(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def products(size: int = 2048) -> dict[str, Callable[[], object]]:
    """One float32 matrix product of `size` cubed: through XLA, torch's BLAS, and oneDNN."""
    import numpy as np
    import tensorflow as tf
    import torch

    rng = np.random.default_rng(0)
    values = [rng.normal(size=(size, size)).astype("float32") for _ in range(2)]
    left, right = (tf.constant(value) for value in values)
    a, b = (torch.from_numpy(value) for value in values)
    product = tf.function(tf.matmul, jit_compile=True, autograph=False)
    return {
        "product, XLA": lambda: product(left, right).numpy(),
        "product, torch": lambda: a @ b,
        "product, oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""),
    }


def product_operations(size: int = 2048) -> float:
    """Floating-point operations of one of them."""
    return 2.0 * size**3
