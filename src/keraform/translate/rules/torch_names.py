"""Names of torch: one canonical spelling for each, and its dtypes."""

from __future__ import annotations

DTYPES: dict[str, str] = {
    "torch.float": "float32", "torch.float32": "float32", "torch.float16": "float16", "torch.half": "float16",
    "torch.bfloat16": "bfloat16", "torch.float64": "float64", "torch.double": "float64", "torch.int": "int32",
    "torch.int32": "int32", "torch.int64": "int64", "torch.long": "int64", "torch.int16": "int16",
    "torch.short": "int16", "torch.int8": "int8", "torch.uint8": "uint8", "torch.bool": "bool",
    "torch.complex64": "complex64", "torch.cfloat": "complex64", "torch.complex128": "complex128",
}  # fmt: skip

# Before the name of a distribution; its module may stand between them.
DISTRIBUTIONS = "torch.distributions."

_PREFIXES = (
    ("torch.nn.functional.", "F."),
    ("torch.functional.", "torch."),
    ("torch.special.", "torch."),
    ("torch.nn.modules.", "nn.modules."),
    ("torch.nn.", "nn."),
)
_WHOLE = {"torch.nn": "nn", "torch.nn.functional": "F", "torch": "torch"}
_ALIASES = {
    "F.softmax": "torch.softmax",
    "F.log_softmax": "torch.log_softmax",
    "torch.pi": "torch.pi",
}


def canonical(dotted: str) -> str | None:
    """`torch.nn.functional.gelu` gives `F.gelu`, `torch.nn.Linear` gives `nn.Linear`; None when it is not torch's."""
    if dotted != "torch" and not dotted.startswith("torch."):
        return None
    if dotted in _WHOLE:
        return _WHOLE[dotted]
    for prefix, short in _PREFIXES:
        if dotted.startswith(prefix):
            dotted = short + dotted[len(prefix) :]
            break
    if dotted.startswith("torch.Tensor."):
        return "Tensor." + dotted[len("torch.Tensor.") :]
    return _ALIASES.get(dotted, dotted)
