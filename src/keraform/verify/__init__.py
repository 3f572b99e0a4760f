"""Proof that a port equals its PyTorch original: twins, stages, tolerances and the ladder (needs
torch).
"""

from __future__ import annotations

import os

# torch.jit.script compiles from source text past every function mode; the plain functions mean the
# same.
os.environ.setdefault("PYTORCH_JIT", "0")
