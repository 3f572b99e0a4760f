"""Translation of names: local ones, those of the file, imported ones, and those of torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.collisions import OWN
from keraform.translate.imports import public_names
from keraform.translate.kinds import BOOL, DTYPE, FLOAT, NONE, PY, TUPLE, UNKNOWN, Kind
from keraform.translate.rules.modules import layer_class
from keraform.translate.rules.record import Code, Refusal
from keraform.translate.rules.torch_names import DISTRIBUTIONS, DTYPES, canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# Classes of torch as classes of `keraform.runtime.layers`.
CLASSES = {
    "torch.Tensor": "Tensor",
    "torch.FloatTensor": "Tensor",
    "torch.LongTensor": "Tensor",
    "torch.BoolTensor": "Tensor",
    "nn.Parameter": "Tensor",
    "nn.Module": "Layer",
}
# Where the classes of `torch.distributions` are, by the same names.
DISTRIBUTED_BY = "keraform.runtime.distributions"
# Classes of torch that a port replaces by those of Python.
PYTHON_CLASSES = {
    "torch.Size": "tuple",
    "nn.ModuleList": "list",
    "nn.ParameterList": "list",
    "nn.ModuleDict": "dict",
    "nn.ParameterDict": "dict",
}
# Classes of torch that have a module of `keraform.runtime` of their own.
RUNTIME_CLASSES = {
    "nn.modules.batchnorm._BatchNorm": ("keraform.runtime.layers", "BatchNormalization"),
    "torch.autograd.Function": ("keraform.runtime.gradients", "Function"),
    "torch.autograd.function.Function": ("keraform.runtime.gradients", "Function"),
}
NUMBERS = frozenset({"torch.inf", "torch.pi", "torch.nan", "torch.e"})
# Ways to lay out memory, which a port leaves to its backend.
MEMORY = frozenset(
    {
        "torch.channels_last",
        "torch.channels_last_3d",
        "torch.contiguous_format",
        "torch.legacy_contiguous_format",
        "torch.preserve_format",
        "torch.strided",
    }
)
# Values that are the same in every port.
CONSTANTS = {"torch.cuda.default_generators": "()"}
NAMESPACES = frozenset(
    {"torch", "nn", "F", "torch.backends", "torch.cuda", "torch.jit", "torch.distributed"}
)


class NameTranslator:
    """Translates names."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def name(self, node: cst.Name) -> Code:
        """A plain name."""
        value = node.value
        if value in ("True", "False"):
            return Code((value,), BOOL)
        if value == "None":
            return Code((value,), NONE)
        scope = self.module.scope
        text = value + OWN if value in self.module.own_names else value
        if value in scope.names:
            return Code((text,), scope.names[value])
        if value == scope.self_name:
            owner = scope.owner
            tag = "layer" if owner is None or owner.is_layer else "object"
            return Code((value,), Kind(tag, name=owner.name if owner else None))
        if value in self.module.analysis.flash_attention:
            raise Refusal("flash attention", "its classes have no place in a port")
        info = self.module.classes.get(value)
        if info is not None:
            return Code((info.component_name,), Kind("class", name=value))
        if value in self.module.functions:
            return Code((text,), Kind("function", name=value))
        origin = self.module.origins.get(value)
        if origin is not None:
            return self.imported(value, origin)
        return Code((text,), self.module.globals.get(value, UNKNOWN))

    def imported(self, value: str, origin: str) -> Code:
        """A name that an import of the source binds."""
        torch_name = canonical(origin)
        if torch_name is not None:
            return self.torch_name(torch_name)
        local, kind = self.module.imports.use(value)
        return Code((local,), kind)

    def torch_name(self, name: str) -> Code:
        """A torch name that stands alone: a dtype, a class, a constant."""
        imports = self.module.imports
        torch, function = Kind("torch", name=name), Kind("function", name=name)
        if name in DTYPES:
            return Code((f'"{DTYPES[name]}"',), replace(DTYPE, name=DTYPES[name]))
        if name in CLASSES:
            return Code((imports.need("keraform.runtime.layers", CLASSES[name]),), torch)
        if name in RUNTIME_CLASSES:
            return Code((imports.need(*RUNTIME_CLASSES[name]),), torch)
        if name.startswith(DISTRIBUTIONS) and name.split(".")[-1] in public_names(DISTRIBUTED_BY):
            return Code((imports.need(DISTRIBUTED_BY, name.split(".")[-1]),), torch)
        if name in PYTHON_CLASSES:
            return Code((PYTHON_CLASSES[name],), torch)
        if name in MEMORY:
            return Code(("None",), PY)
        if name in CONSTANTS:
            return Code((CONSTANTS[name],), TUPLE)
        if name in NUMBERS:
            imports.plain("math")
            return Code((name.replace("torch", "math"),), FLOAT)
        layer = "Sequential" if name == "nn.Sequential" else layer_class(name)
        if layer is not None:
            imports.need("keraform.runtime", "layers")
            return Code((f"layers.{layer}",), torch)
        reference = self.module.calls.functions.reference(name)
        if reference is not None:
            return Code((reference,), function)
        if name in NAMESPACES:
            return Code((name,), torch)
        raise Refusal(name, "no rule for this name of torch")
