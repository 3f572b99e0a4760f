"""Torch's words in a docstring, and the Keras words that a port says instead."""

from __future__ import annotations

import re
from collections.abc import Callable

# Whole sentences: what a PyTorch model is becomes what a Keras model is.
KERAS_MODEL = (
    "This model is also a `keras.Model`: compile it, fit it, call it and save it as any other\n"
    "Keras model, or use it as a layer of a larger one."
)

_TORCH_MODEL = (
    r"This model is (?:also )?a PyTorch \[?`?torch\.nn\.Module`?\]?(?:\([^)]*\))?[^\n]*\n"
    r"[^\n]*\n[^\n]*behavio\S*"
)
_TENSOR_KIND = r"(?:Float|Double|Half|BFloat16|Long|Int|Short|Byte|Char|Bool)"

# Order matters: a longer phrase stands before the shorter one that it contains.
PHRASES: tuple[tuple[str, str], ...] = (
    (_TORCH_MODEL, KERAS_MODEL),
    (r"PyTorch `(?:torch\.)?nn\.Module`", "Keras model"),
    (r"\[`?(?:torch\.)?nn\.Module`?\]\([^)]*\)", "`keras.Model`"),
    (r"`(?:torch\.)?nn\.Module`", "`keras.layers.Layer`"),
    (rf"\btorch\.(?:cuda\.)?{_TENSOR_KIND}?Tensor\b", "Tensor"),
    (rf"\b{_TENSOR_KIND}Tensor\b", "Tensor"),
    (r"\bPyTorch [Tt]ensors?\b", "tensors"),
    (r"\btorch tensors?\b", "tensors"),
    (r"dtype=torch\.float\b(?!\d)", 'dtype="float32"'),
    (r"dtype=torch\.long\b", 'dtype="int64"'),
    (r"dtype=torch\.(\w+)", r'dtype="\1"'),
    (r"\btorch\.(float32|float16|bfloat16|float64|int64|int32|int8|uint8|bool)\b", r"\1"),
    (r"`torch\.float`", "`float32`"),
    (r"`torch\.long`", "`int64`"),
    (r"\btorch\.Size\(\[([^\]]*)\]\)", r"(\1)"),
    (r"\.to\((?:torch_)?device\)|\.to\(\"(?:cuda|cpu)\"\)|, device(?:_map)?=\w*device", ""),
    (r"\btorch\.dtype\b", "str"),
    (r"\bforward method\b", "call method"),
    (r"return_tensors=(['\"])pt\1", r"return_tensors=\1np\1"),
)

CODE_BLOCK = re.compile(r"(^[ ]*```\w*[^\n]*\n.*?^[ ]*```)", flags=re.DOTALL | re.MULTILINE)

# Lines of an example that have nothing to say in Keras.
SILENT_LINES = re.compile(
    r"^(?:>>>|\.\.\.) (?:import torch(?:\..*)?|from torch\S* import .*"
    r"|model\.eval\(\)|model\.to\(.*\)|device = .*)$"
)
NO_GRAD = re.compile(
    r"^(?P<indent>\s*)(?P<prompt>>>> |\.\.\. )?with torch\.(?:no_grad|inference_mode)\(\):\s*$"
)

# Calls of examples: a torch function, and the function of keras.ops (`ops`) that does it.
SAME_NAME = (
    "argmax",
    "argmin",
    "arange",
    "sigmoid",
    "softmax",
    "where",
    "sum",
    "mean",
    "max",
    "stack",
    "ones",
    "zeros",
    "ones_like",
    "zeros_like",
    "abs",
    "sqrt",
    "einsum",
    "matmul",
)
CALLS: dict[str, str] = {
    "tensor": "array",
    "LongTensor": "array",
    "from_numpy": "array",
    "cat": "concatenate",
    **{name: name for name in SAME_NAME},
}
_CALL = re.compile(r"\b(?:torch|F|torch\.nn\.functional|nn\.functional)\.(\w+)\(")
_RANDOM = re.compile(r"\btorch\.(randn|rand)\(")

# A class of Transformers that has a ported twin: named for what it holds, never a configuration or
# a processor.
_CLASS = re.compile(
    r"(?<![\w./-])(?!TF|PreTrained|GenerationMixin|ModelOutput\b)"
    r"((?:[A-Z][a-z0-9]*)+(?:Model|Output|For[A-Z]\w*|Backbone|Encoder|Decoder|WithProjection)(?:With\w+|And\w+|Data)?)\b"
)
_CODE_SPAN = re.compile(r"`[^`\n]+`")
_IMPORT = re.compile(
    r"^(?P<head>\s*(?:>>> |\.\.\. )?)from transformers import (?P<names>[^()\n]+)$"
)


def keras_words(text: str) -> str:
    """Says in Keras's words what a docstring says in torch's.

    Args:
        text: The docstring, or a part of it.

    Returns:
        The text with tensors, dtypes, class names and examples changed; everything else as it was.
    """
    parts = CODE_BLOCK.split(text)
    text = "".join(
        _example(part) if index % 2 else _prose(part) for index, part in enumerate(parts)
    )
    for pattern, words in PHRASES:
        text = re.sub(pattern, words, text)
    return text


def ported_name(name: str) -> str:
    """The name of the ported class."""
    return name if name.startswith("TF") else f"TF{name}"


def _prose(text: str) -> str:
    return _CODE_SPAN.sub(lambda match: _prefix_classes(match.group(0)), text)


def _prefix_classes(text: str) -> str:
    return _CLASS.sub(lambda match: ported_name(match.group(1)), text)


def _example(block: str) -> str:
    lines: list[str] = []
    under_no_grad: int | None = None
    for line in block.split("\n"):
        match = NO_GRAD.match(line)
        if match:
            under_no_grad = len(match["indent"])
            continue
        if under_no_grad is not None:
            line, inside = _leave_block(line)
            under_no_grad = under_no_grad if inside else None
        if SILENT_LINES.match(line.strip()):
            continue
        lines.extend(_imports(line))
    text = _prefix_classes(_CALL.sub(_call, _RANDOM.sub("keras.random.normal(", "\n".join(lines))))
    return _add_imports(text)


def _leave_block(line: str) -> tuple[str, bool]:
    """A line one level less deep, when it belongs to the block that was dropped."""
    match = re.match(r"^(\s*)\.\.\.     (\s*)(.*)$", line)
    if match is None:
        return line, not line.strip()
    indent, deeper, rest = match.groups()
    return f"{indent}{'... ' if deeper or rest[:1] in ')]}' else '>>> '}{deeper}{rest}", True


def _imports(line: str) -> list[str]:
    """An import from Transformers, as one from Transformers and one from Keraform."""
    match = _IMPORT.match(line)
    if match is None:
        return [line]
    names = [name.strip() for name in match["names"].split(",")]
    ported = [name for name in names if _CLASS.fullmatch(name)]
    kept = [name for name in names if name not in ported]
    rows = (("transformers", kept), ("keraform", [ported_name(name) for name in ported]))
    return [
        f"{match['head']}from {package} import {', '.join(row)}" for package, row in rows if row
    ]


def _call(match: re.Match[str]) -> str:
    name = CALLS.get(match.group(1))
    return f"ops.{name}(" if name else match.group(0)


def _add_imports(block: str) -> str:
    needed: list[tuple[str, Callable[[str], bool]]] = [
        ("import keras", lambda text: "keras.random." in text),
        ("from keras import ops", lambda text: re.search(r"\bops\.\w+\(", text) is not None),
    ]
    for statement, wanted in needed:
        if wanted(block) and statement not in block:
            block = re.sub(
                r"^(\s*)(>>> )", rf"\1>>> {statement}\n\1\2", block, count=1, flags=re.MULTILINE
            )
    return block
