"""Equal values on torch's side keep the order of their places, as in `keraform.ops`."""

from __future__ import annotations

import torch

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
