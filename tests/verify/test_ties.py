"""Equal values on torch's side keep the order of their places, as in `keraform.ops`."""

from __future__ import annotations

import keras
import pytest
import torch

from keraform.runtime import ops as kf
from keraform.runtime.precision import lift_casts
from keraform.verify.lift import torch_precision


def test_equal_values_keep_the_order_of_their_places() -> None:
    values = torch.tensor([1, 0] * 40)
    with torch_precision("float32", lift=False):
        order = [
            torch.sort(values, descending=True).indices,
            values.sort(-1, True)[1],
            torch.argsort(values, descending=True),
            values.topk(80).indices,
            torch.topk(values, 80, sorted=False)[1],
        ]
        smallest = values.topk(3, largest=False)
    expected = [*range(0, 80, 2), *range(1, 80, 2)]
    assert all(found.tolist() == expected for found in order)
    assert (smallest.values.tolist(), smallest.indices.tolist()) == ([0, 0, 0], [1, 3, 5])


@pytest.mark.parametrize("largest", [True, False])
def test_in_proofs_rounding_gives_no_order(largest: bool) -> None:
    ulp = 2.0**-52
    values = [0.1 - ulp / 16, 0.1, 0.1 + ulp / 16, 0.7, float("-inf"), 0.7 + ulp, 0.2]
    with torch_precision("float64", lift=True):
        theirs = torch.tensor(values, dtype=torch.float64).topk(7, largest=largest)
    with lift_casts():
        ours = kf.topk(keras.ops.array(values, dtype="float64"), 7, largest=largest)
    order = [3, 5, 6, 0, 1, 2, 4] if largest else [4, 0, 1, 2, 6, 3, 5]
    assert theirs.indices.tolist() == order
    assert keras.ops.convert_to_numpy(ours.indices).tolist() == order
    assert theirs.values.tolist() == [values[place] for place in order]
    assert keras.ops.convert_to_numpy(ours.values).tolist() == theirs.values.tolist()
