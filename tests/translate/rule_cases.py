"""Rule cases: sections of docs/rules/*.md, read, translated, and run on both sides.

A section's title lists the rules that it covers; a note in parentheses tells cases of one rule
apart. Then come, in this
order: prose (optional), an `inputs:` line, the torch block, and what it becomes: a Keras block, the
    word `unchanged`, or
`refused: rule: reason`.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
import textwrap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "rules"

# What every torch block may use; the docs page says it once.
HEADER = """\
import math
import torch
import torch.nn.functional as F
from torch import nn

"""

_BLOCK = re.compile(r"```python\n(.*?)```", re.S)
_SPEC = re.compile(r"(complex|float|int|bool)(\d*)\[([\d,\s]*)\](<\d+|>0|<1|\*[\d.]+)?")

# Values of the two sides may differ by this much, by the dtype of torch's result; the results of a
# case that computes
# in float32 on purpose are not better than float32.
TOLERANCES = {
    "float64": 1e-12,
    "complex128": 1e-12,
    "float32": 2e-6,
    "float16": 2e-3,
    "bfloat16": 2e-2,
}


@dataclass(frozen=True)
class Case:
    """One section."""

    path: Path
    title: str
    prose: str
    inputs: str
    torch: str
    expected: str
    options: frozenset[str] = field(default_factory=frozenset)

    @property
    def rules(self) -> tuple[str, ...]:
        """The ids of the rules that the case covers."""
        return tuple(part.strip() for part in re.sub(r"\s\(.*\)$", "", self.title).split(", "))

    @property
    def id(self) -> str:
        """The name of the test."""
        return f"{self.path.stem}: {self.title}"

    @property
    def refused(self) -> str | None:
        """The text of the refusal, where one is expected."""
        return (
            self.expected.removeprefix("refused: ")
            if self.expected.startswith("refused: ")
            else None
        )

    @property
    def keras(self) -> str:
        """The Keras block that is expected."""
        return self.torch if self.expected == "unchanged" else self.expected


def sections(path: Path) -> Iterator[str]:
    """The sections of a page, titles included; the page's head is not one."""
    yield from re.split(r"^## ", path.read_text("utf-8"), flags=re.M)[1:]


def parse(path: Path, text: str) -> Case:
    """Reads one section."""
    title, _, rest = text.partition("\n")
    blocks = _BLOCK.findall(rest)
    outside = _BLOCK.sub("\0", rest)
    before, _, after = outside.partition("\0")
    if not blocks:
        raise ValueError(f"{path.name}: the section {title!r} has no torch block")
    found = re.search(r"^inputs: (.*)$", before, re.M)
    options = frozenset(re.findall(r"^compares: (.*)$", before, re.M))
    prose = re.sub(r"^(inputs|compares): .*$", "", before, flags=re.M).strip()
    expected = blocks[1] if len(blocks) > 1 else after.strip()
    return Case(
        path,
        title.strip(),
        prose,
        found.group(1).strip("`") if found else "",
        blocks[0],
        expected,
        options,
    )


def all_cases() -> list[Case]:
    """Every case of every page."""
    return [parse(path, text) for path in sorted(FOLDER.glob("*.md")) for text in sections(path)]


def render(case: Case) -> str:
    """The section of a case, as it stands in the page."""
    parts = [f"## {case.title}"]
    if case.prose:
        parts.append(case.prose)
    lines = [f"inputs: `{case.inputs}`"] if case.inputs else []
    lines += [f"compares: {option}" for option in sorted(case.options)]
    # two lines in one paragraph would flow together on the page
    parts += lines
    parts.append(f"```python\n{case.torch}```")
    plain = case.expected == "unchanged" or case.refused is not None
    parts.append(case.expected if plain else f"```python\n{case.expected}```")
    return "\n\n".join(parts) + "\n"


# Translation --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """What the translator made of a torch block."""

    code: str
    body: str
    refusals: tuple[str, ...]


@functools.cache
def translate(torch_block: str) -> Made:
    """Translates a block; `body` is the port without its banner and imports."""
    from keraform.translate import translate_source

    made = translate_source(HEADER + torch_block, filename="case.py")
    refusals = tuple(f"{each.rule}: {each.reason}" for each in made.refusals)
    return Made(made.code, _body(made.code), refusals)


def _body(code: str) -> str:
    tree = ast.parse(code)
    nodes = [n for n in tree.body if not isinstance(n, (ast.Import, ast.ImportFrom))]
    if not nodes:
        return ""
    first = nodes[0]
    start = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))]) - 1
    lines = code.split("\n")
    while start and lines[start - 1].startswith("# "):
        start -= 1
    return "\n".join(lines[start:]).strip("\n") + "\n"


def expectation(made: Made, torch_block: str) -> str:
    """What a section says of a translation."""
    if made.refusals:
        return "refused: " + made.refusals[0]
    return "unchanged" if made.body == torch_block else made.body


# Running ------------------------------------------------------------------------------------------


def arrays(case: Case) -> dict[str, Any]:
    """The inputs of a case: arrays by name, and Python values."""
    generator = np.random.default_rng(zlib.crc32(case.title.encode()))
    result: dict[str, Any] = {}
    for piece in filter(None, (p.strip() for p in re.split(r",(?![^\[(]*[\])])", case.inputs))):
        name, spec = piece.split(maxsplit=1)
        result[name] = _array(generator, spec)
    return result


def _array(generator: np.random.Generator, spec: str) -> Any:
    found = _SPEC.fullmatch(spec)
    if found is None:
        return ast.literal_eval(spec)
    family, width, sizes, suffix = found.groups()
    shape = tuple(int(s) for s in sizes.split(",") if s.strip())
    if family == "bool":
        return generator.random(shape) < 0.5
    if family == "int":
        high = int(suffix[1:]) if suffix else 10
        low = 0 if suffix else -9
        return np.asarray(generator.integers(low, high, shape), dtype=f"int{width or 64}")
    if family == "complex":
        return np.asarray(generator.normal(size=shape) + 1j * generator.normal(size=shape))
    values = generator.normal(size=shape)
    if suffix == ">0":
        values = np.abs(values) + 0.1
    elif suffix == "<1":
        values = np.tanh(values) * 0.95
    elif suffix:
        values = values * float(suffix[1:])
    return np.asarray(values, dtype=f"float{width or 64}")


def run_torch(case: Case) -> tuple[list[Any], dict[str, np.ndarray]]:
    """The results of the torch block, flattened, and the weights that it was run with."""
    import torch

    namespace: dict[str, Any] = {"__name__": "case_torch"}
    exec(compile(HEADER + case.torch, f"<{case.id}>", "exec"), namespace)
    entry = namespace[entry_name(case.torch)]
    inputs = {k: _to_torch(v) for k, v in arrays(case).items()}
    state: dict[str, np.ndarray] = {}
    torch.manual_seed(0)
    with torch.no_grad():
        if isinstance(entry, type):
            module = entry()
            randomize(module, case.title)
            module.eval()
            state = {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}
            entry = module
        return list(leaves(entry(**inputs))), state


def _to_torch(value: Any) -> Any:
    import torch

    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def randomize(module: Any, title: str) -> None:
    """Gives every floating weight and running statistic a value of its own, biases and norms
    included.
    """
    import torch

    generator = np.random.default_rng(zlib.crc32(title.encode()) + 1)
    saved = module.state_dict()
    for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
        if not tensor.is_floating_point() or name not in saved:
            continue
        values = generator.normal(size=tuple(tensor.shape)) * 0.3
        if name.endswith("running_var") or "norm" in name.lower():
            values = np.abs(values) + 0.5
        tensor.copy_(torch.from_numpy(np.asarray(values)))


def run_keras(case: Case, code: str, state: dict[str, np.ndarray]) -> list[Any]:
    """The results of the port, flattened, with torch's weights."""
    from keras import ops

    from keraform.runtime.tree import named_weights

    namespace: dict[str, Any] = {"__name__": "case_keras"}
    exec(compile(code, f"<port of {case.id}>", "exec"), namespace)
    name = entry_name(case.torch)
    inputs = {
        k: ops.convert_to_tensor(v) if isinstance(v, np.ndarray) else v
        for k, v in arrays(case).items()
    }
    if name not in namespace:
        layer = namespace[f"TF{name}"]()
        left = dict(state)
        for weight in named_weights(layer):
            value = left.pop(weight.key)
            weight.variable.assign(np.transpose(value, weight.axes) if weight.axes else value)
        left = {key for key in left if not key.endswith("num_batches_tracked")}
        assert not left, (
            f"weights of the torch block that the port has no place for: {sorted(left)}"
        )
        return list(leaves(layer(**inputs)))
    return list(leaves(namespace[name](**inputs)))


def entry_name(torch_block: str) -> str:
    """The function or class that a case runs: the last one of its block."""
    nodes = [
        n for n in ast.parse(torch_block).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))
    ]
    return nodes[-1].name


def leaves(value: Any) -> Iterator[Any]:
    """The values in nested sequences and mappings, in order."""
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def compare(case: Case, ours: list[Any], theirs: list[Any]) -> None:
    """Fails where a value, a shape or a dtype differs."""
    assert len(ours) == len(theirs), f"{len(theirs)} results in torch, {len(ours)} in Keras"
    for number, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        mine_array, mine_dtype = _plain(mine)
        array, dtype = _plain(reference)
        where = f"result {number} of {case.title}"
        assert mine_array.shape == array.shape, (
            f"{where}: shape {mine_array.shape}, torch has {array.shape}"
        )
        if dtype is not None:
            assert mine_dtype == dtype, f"{where}: dtype {mine_dtype}, torch has {dtype}"
        if any(option.startswith("shapes") for option in case.options):
            continue
        if array.dtype.kind in "fc":
            limit = TOLERANCES.get(dtype or "float64", 1e-12)
            np.testing.assert_allclose(mine_array, array, rtol=limit, atol=limit, err_msg=where)
        else:
            np.testing.assert_array_equal(mine_array, array, err_msg=where)


def _plain(value: Any) -> tuple[np.ndarray, str | None]:
    """A value as an array, and its dtype when it is a tensor."""
    import keras
    import torch

    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        value = value.detach().resolve_conj().resolve_neg()
        value = value.to(torch.float64) if value.dtype in (torch.bfloat16, torch.float16) else value
        return value.numpy(), dtype
    if isinstance(value, torch.dtype):
        return np.asarray(str(value).removeprefix("torch.")), None
    if keras.ops.is_tensor(value) or isinstance(value, keras.Variable):
        dtype = keras.backend.standardize_dtype(value.dtype)
        if dtype in ("bfloat16", "float16"):
            value = keras.ops.cast(value, "float64")
        return np.asarray(keras.ops.convert_to_numpy(value)), dtype
    return np.asarray(value), None


def indented(text: str) -> str:
    """A text as it stands in a test's message."""
    return textwrap.indent(text, "    ")
