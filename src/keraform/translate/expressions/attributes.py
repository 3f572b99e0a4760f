"""Translation of attributes: of torch's modules, of self, of tensors, and of other objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import (
    BOOL,
    CONFIG,
    DEVICE,
    DICT,
    DISTRIBUTION,
    DTYPE,
    FLOAT,
    FLOAT_LIMITS,
    FLOAT_TENSOR,
    INT,
    MODULE_DICT,
    PY,
    SIZE,
    TENSOR,
    UNKNOWN,
    Kind,
)
from keraform.translate.layout import called, doc
from keraform.translate.rules.record import Code, Refusal
from keraform.translate.rules.torch_names import canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# Fields of model outputs, by the names that Transformers uses everywhere.
OUTPUT_FIELDS: dict[str, Kind] = {
    **dict.fromkeys(
        (
            "last_hidden_state",
            "pooler_output",
            "logits",
            "loss",
            "encoder_last_hidden_state",
            "image_embeds",
            "text_embeds",
            "start_logits",
            "end_logits",
        ),
        FLOAT_TENSOR,
    ),
    **dict.fromkeys(
        (
            "hidden_states",
            "attentions",
            "cross_attentions",
            "encoder_hidden_states",
            "decoder_hidden_states",
            "feature_maps",
        ),
        Kind("tuple", items=(FLOAT_TENSOR,)),
    ),
    "mask": Kind("tensor", "mask"),
    "saved_tensors": Kind("tuple", items=(TENSOR,)),
    **dict.fromkeys(("cache", "past_key_values"), Kind("object", name="Cache")),
    "is_updated": DICT,
}
TENSOR_ATTRIBUTES = frozenset({"data", "T", "mT", "ndim", "is_cuda", "real", "imag", "itemsize"})
NUMPY_NUMBERS = frozenset({"pi", "e", "inf", "nan"})
NUMPY_MODULES = frozenset({"random", "linalg", "fft"})


class AttributeTranslator:
    """Translates `x.name`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def attribute(self, node: cst.Attribute) -> Code:
        """An attribute that is read."""
        module = self.module
        dotted = module.dotted(node)
        torch_name = canonical(dotted) if dotted is not None else None
        if torch_name is not None:
            return module.expressions.names.torch_name(torch_name)
        name = node.attr.value
        if isinstance(node.value, cst.Name) and node.value.value in module.origins:
            root = node.value.value
            local = module.expressions.names.imported(root, module.origins[root])
            if local.kind.tag == "py" or local.kind.is_unknown:
                numpy = "numpy" in (dotted or "")
                kind = Kind("function", name="np") if numpy else UNKNOWN
                if numpy and name in NUMPY_NUMBERS:
                    kind = FLOAT
                elif numpy and name in NUMPY_MODULES:
                    kind = UNKNOWN
                return Code(doc(local.doc, f".{name}"), kind)
        receiver = module.expressions(node.value)
        module.comments.keep(node.dot.whitespace_before, node.dot.whitespace_after)
        if isinstance(node.value, cst.Name) and node.value.value == module.scope.self_name:
            return self.of_self(name)
        code = self.of(receiver, name)
        if code.kind.is_tensor and self.is_kept_in_float32(node.value):
            code = replace(code, kind=replace(code.kind, dtype="mixed"))
        return replace(code, kind=UNKNOWN) if self.becomes_list(node, code.kind) else code

    def is_kept_in_float32(self, layer: cst.BaseExpression) -> bool:
        """Whether the weights of a layer are float32 in models of half precision."""
        kept = self.module.analysis.kept_in_float32
        return isinstance(layer, cst.Attribute) and layer.attr.value in kept

    def becomes_list(self, node: cst.Attribute, kind: Kind) -> bool:
        """Whether a field is read before the function puts a list there
        (`outputs.pooler_output = torch.split(...)`).
        """
        function = self.module.scope.function
        if kind.tag != "list" or function is None:
            return False
        field = m.AssignTarget(m.Attribute(node.value, node.attr))
        line, positions = self.module.line_of(node), self.module.positions
        found = m.findall(function, m.Assign([field]))
        return any(positions[each].end.line >= line for each in found)

    def is_module_dict(self, name: str) -> bool:
        """Whether every class of the file that has an attribute of this name keeps an
        `nn.ModuleDict` there.
        """
        classes = self.module.classes.values()
        kinds = {info.attributes[name] for info in classes if name in info.attributes}
        return kinds == {MODULE_DICT}

    def of_self(self, name: str) -> Code:
        """`self.name`."""
        owner = self.module.scope.owner
        if name == "device":
            return Code(("None",), DEVICE)
        kind = self.module.inference.attribute(owner, name) if owner else UNKNOWN
        return Code((f"{self.module.scope.self_name}.{_port_name(name)}",), kind)

    def of(self, receiver: Code, name: str) -> Code:
        """`receiver.name`, for any receiver but self."""
        kind = receiver.kind
        if kind == MODULE_DICT and name not in vars(dict):
            return Code(doc(receiver.operand(), f'["{name}"]'), UNKNOWN)
        tensorlike = kind.is_tensor or kind.is_unknown
        if name == "device" or kind == DEVICE or (tensorlike and name == "layout"):
            return Code(("None",), DEVICE)
        if name == "shape" and (tensorlike or kind.tag == "object"):
            self.module.note_rule("Tensor.shape")
            self.module.imports.need("keras", "ops")
            return Code(called("ops.shape", receiver.doc), SIZE)
        if name == "dtype":
            return Code(doc(receiver.operand(), ".dtype"), DTYPE)
        if tensorlike and name in TENSOR_ATTRIBUTES:
            return self.of_tensor(receiver, name)
        if kind.tag == "dtype" and name == "is_floating_point":
            return self.module.calls.ops_call("is_floating_point", [receiver], BOOL, "kf")
        name = _port_name(name)
        return Code(doc(receiver.operand(), f".{name}"), self.kind(kind, name))

    def kind(self, receiver: Kind, name: str) -> Kind:
        """The kind of an attribute of a value that is no tensor."""
        if name.endswith("config"):
            return CONFIG
        if receiver.tag == "layer":
            info = self.module.classes.get(receiver.name or "")
            return self.module.inference.attribute(info, name, torch=receiver.name)
        if receiver.tag in ("config", "py"):
            return PY
        if receiver == DISTRIBUTION:
            return FLOAT_TENSOR
        if receiver == FLOAT_LIMITS:
            return FLOAT
        if receiver.tag == "unknown" and self.is_module_dict(name):
            return MODULE_DICT
        if receiver.tag in ("object", "unknown"):
            return self.module.learned.field_of(name, OUTPUT_FIELDS.get(name, UNKNOWN))
        return UNKNOWN

    def of_tensor(self, receiver: Code, name: str) -> Code:
        """An attribute that only tensors have."""
        self.module.note_rule(f"Tensor.{name}")
        if name == "data":
            return receiver
        if name == "is_cuda":
            return Code(("False",), BOOL)
        if name == "ndim":
            return self.module.calls.ops_call("ndim", [receiver], INT)
        if name == "mT":
            last_two = [Code(("-1",)), Code(("-2",))]
            return self.module.calls.ops_call("swapaxes", [receiver, *last_two], receiver.kind)
        function = {"T": "transpose", "real": "real", "imag": "imag"}.get(name)
        if function is None:
            raise Refusal(f"Tensor.{name}", "no rule for this attribute of a tensor")
        return self.module.calls.ops_call(function, [receiver], receiver.kind)


def _port_name(name: str) -> str:
    """The name of an attribute in the port."""
    return "call" if name == "forward" else name
