"""Inputs for a model class, derived from its forward signature and its config.

Three rows: one padded on the right, one padded on the left, one fully masked. Everything is NumPy;
floats are float64 and are cast by whoever runs them.
"""

from keraform.verify.inputs.labels import make_labels, make_problems
from keraform.verify.inputs.makers import (
    RESIZED,
    make_inputs,
    required_names,
    resized_inputs,
    scene_of,
    several_forms,
)
from keraform.verify.inputs.scene import Inputs, Scene, padding

__all__ = [
    "RESIZED",
    "Inputs",
    "Scene",
    "make_inputs",
    "make_labels",
    "make_problems",
    "padding",
    "required_names",
    "resized_inputs",
    "scene_of",
    "several_forms",
]
