"""Torch's code with the backend's kernels."""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from keraform.verify import kernels
from keraform.verify.kernels import BackendKernels

A, B = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
BIAS = torch.randn(2, 3, 5)
CODE = {
    "a product": (("matmul",), lambda: A @ B),
    "linear": (("matmul",), lambda: nn.functional.linear(A, torch.ones(6, 4), torch.ones(6))),
    "linear of a matrix": (("matmul",), lambda: nn.functional.linear(A[0], torch.ones(6, 4))),
    "einsum": (("matmul",), lambda: torch.einsum("bij,bjk->bik", A, B)),
    "baddbmm": (("matmul",), lambda: torch.baddbmm(BIAS, A, B, beta=0.5, alpha=2.0)),
    "addmm": (("matmul",), lambda: torch.addmm(BIAS[0], A[0], B[0], beta=0.5, alpha=2.0)),
    "layer norm": (("rsqrt",), lambda: nn.functional.layer_norm(A, (4,), torch.ones(4) * 3)),
    "softmax": (("exp",), lambda: A.softmax(-1)),
    "gelu": (("erf",), lambda: nn.functional.gelu(A)),
    "tanh gelu": (("tanh",), lambda: nn.functional.gelu(A, approximate="tanh")),
    "sigmoid": (("sigmoid",), lambda: A.sigmoid()),
    "silu": (("sigmoid",), lambda: nn.functional.silu(A)),
    "attention by hand": (("matmul", "exp"), lambda: (A @ A.mT).softmax(-1) @ A),
}


class Counted:
    """`keras.ops`, and which of them were called."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(keras.ops, name)


@pytest.mark.parametrize("name", CODE)
def test_kernels_are_the_backends(name, monkeypatch):
    monkeypatch.setattr(kernels, "ops", counted := Counted())
    names, code = CODE[name]
    with torch.no_grad():
        expected = code()
        with BackendKernels():
            got = code()
    assert counted.called == {*names, "convert_to_numpy"}
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_other_dtypes_stay_torchs(monkeypatch):
    monkeypatch.setattr(kernels, "ops", None)
    with BackendKernels():
        assert nn.functional.gelu(A.double() @ B.double()).dtype == torch.float64
