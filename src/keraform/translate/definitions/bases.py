"""Which classes of a file become Keras models, and the base classes that they get in the port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.rules.torch_names import canonical
from keraform.translate.scope import ClassInfo

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


# Torch's base classes of modules, as classes of `keraform.runtime.layers`.
CONTAINERS = {
    "nn.Module": "Layer",
    "nn.ModuleList": "LayerList",
    "nn.ModuleDict": "LayerDict",
}


class BaseTranslator:
    """Translates the bases of classes."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    @staticmethod
    def is_keras_model(info: ClassInfo) -> bool:
        """Whether the class is a Keras model (public) or only a layer (private component)."""
        return info.is_model and info.is_public

    def is_entry(self, info: ClassInfo) -> bool:
        """Whether users call the class itself: Keras models, and mixins that give a model its
        `call`.
        """
        if not info.is_layer or self.module.main_layer:
            return False
        return self.is_keras_model(info) if info.is_model else not info.bases

    def needs_keras_base(self, info: ClassInfo) -> bool:
        """Whether the class gets `Model` or `MainLayer` as its Keras base: it builds something, and
        no base of the file does.
        """
        classes, abstract = self.module.classes, self.module.analysis.abstract
        if not info.is_model or info.name in abstract:
            return False
        return not any(
            base in classes and base not in abstract and classes[base].is_model
            for base in info.bases
        )

    def names(self, node: cst.ClassDef, info: ClassInfo) -> list[str]:
        """The base classes in the port."""
        imports = self.module.imports
        result = [self.name(base.value, info) for base in node.bases]
        if self.needs_keras_base(info):
            if self.is_keras_model(info) and not info.is_split:
                result.append(imports.need("keraform.modeling", "Model"))
                imports.need("keraform.modeling", "unpack_inputs")
            else:
                result.append(imports.need("keraform.modeling", "MainLayer"))
        return result

    def name(self, base: cst.BaseExpression, info: ClassInfo) -> str:
        """One base class in the port."""
        dotted = self.module.dotted(base)
        torch = canonical(dotted) if dotted is not None else None
        if torch in CONTAINERS:
            return self.module.imports.need("keraform.runtime.layers", CONTAINERS[torch])
        other = self.module.classes.get(self.module.text(base))
        if other is None:
            return self.module.expressions(base).text
        return other.component_name if info.is_split or not info.is_public else other.port_name
