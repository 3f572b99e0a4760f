"""Proof that a port equals its PyTorch original: twins, stages, tolerances and the ladder (needs
torch).
"""

from __future__ import annotations

import importlib.util
import os
import sys

# torch.jit.script compiles from source text past every function mode; the plain functions mean the
# same.
os.environ.setdefault("PYTORCH_JIT", "0")


def keep_triton_from_crashing() -> None:
    """Import triton now, or not at all.

    It comes with torch's GPU builds, and has an LLVM of its own, as TensorFlow has: imported after
    TensorFlow (torch does so, deep inside) it ends the process with a segmentation fault, imported
    before it both work (triton of torch 2.13.0, TensorFlow 2.21.0). Where it is too late torch is
    told that there is none; nothing here compiles kernels.
    """
    if "triton" in sys.modules:
        return
    if "tensorflow" in sys.modules:
        sys.modules["triton"] = None  # type: ignore[assignment]  # its import raises ImportError
    elif importlib.util.find_spec("triton") is not None:
        importlib.import_module("triton")


keep_triton_from_crashing()
