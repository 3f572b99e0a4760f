"""What can be said of a tensor in a line."""

from __future__ import annotations

import numpy as np

from keraform.verify.compare import FILLER
from keraform.verify.findings import Statistics
from keraform.verify.leaves import Leaf


def statistics_of(leaf: Leaf) -> Statistics:
    """Statistics over the values that are finite and no fillers of masks."""
    array = np.asarray(leaf.array)
    values = np.abs(array) if array.dtype.kind == "c" else array.astype("float64")
    plain = values[np.isfinite(values) & (np.abs(values) <= FILLER)]
    mean, rms, smallest, largest = (
        (plain.mean(), np.sqrt(np.square(plain).mean()), plain.min(), plain.max())
        if plain.size
        else (0.0, 0.0, 0.0, 0.0)
    )
    return Statistics(
        leaf.dtype,
        tuple(array.shape),
        float(mean),
        float(rms),
        float(smallest),
        float(largest),
        int(np.isnan(values).sum()),
    )
