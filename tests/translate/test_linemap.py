"""The line map: nothing changes in the port, every statement finds its lines, and their rules."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

import pytest

from keraform.errors import KeraformError
from keraform.translate import LineMap, linemap, map_module, map_source, port, translate_source
from keraform.translate.cache import CachedPort
from keraform.translate.source import read_module

TYPES = ("bert", "llama", "t5", "wav2vec2", "swin", "detr", "mamba")
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr, ast.Raise, ast.Assert)

PLAIN = '''\
import torch
from torch import nn


class Net(nn.Module):
    """A net."""

    def __init__(self, width):
        super().__init__()
        layers = [nn.Linear(width, width) for _ in range(2)]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(
            width,
            eps=1e-6,
        )

    # called with anything
    def forward(self, x: torch.FloatTensor, mask: torch.BoolTensor | None = None):
        layers = self.layers  # a name of ours
        for layer in layers:
            # each in turn
            x = layer(x)
        if mask is None:
            mask = torch.ones_like(x, dtype=torch.bool)
        elif mask.dim() == 2:
            mask = mask[:, :, None]
        else:
            raise ValueError("no such mask")
        device = x.device
        if x.shape[0] > 2:
            x = x * 2
        x = torch.where(mask, x, torch.zeros_like(x)).transpose(1, 2); y = x + 1
        return self.norm(y)
'''


def module(name: str) -> str:
    return f"transformers.models.{name}.modeling_{name}"


@pytest.fixture(scope="module")
def plain() -> tuple[list[str], LineMap]:
    translation, found = map_source(PLAIN, filename="net.py")
    return translation.code.split("\n"), found


def written(plain: tuple[list[str], LineMap], start: str) -> list[str]:
    """The lines of the port that the first line of the source with this beginning became."""
    lines, found = plain
    number = 1 + next(n for n, s in enumerate(PLAIN.split("\n")) if s.lstrip().startswith(start))
    return [lines[n - 1].strip() for n in found.port_lines(number)]


def rules(plain: tuple[list[str], LineMap], start: str) -> tuple[str, ...]:
    lines, found = plain
    return found.rules(1 + next(n for n, s in enumerate(lines) if s.lstrip().startswith(start)))


def test_a_map_changes_nothing_in_the_port() -> None:
    translation, _ = map_source(PLAIN, filename="net.py")
    assert translation == translate_source(PLAIN, filename="net.py")
    assert "import layers as kl" in translation.code


@pytest.mark.parametrize(
    "start, expected",
    [
        ("class Net", ["class TFNet(Layer):"]),
        ("def __init__", ["def __init__(self, width, **kwargs):"]),
        ("layers = [", ["layers = [kl.Dense(width, width) for _ in range(2)]"]),
        (
            "self.norm",
            ['self.norm = kl.LayerNormalization(width, epsilon=1e-6, name="norm")'],
        ),
        (
            "layers = self.layers",
            ["layers = self.layers  # a name of ours"],
        ),
        ("for layer", ["for layer in layers:"]),
        ("x = layer", ["x = layer(x)"]),
        ("if mask", ["if mask is None:"]),
        ("elif mask", ["elif ops.ndim(mask) == 2:", "else:"]),
        ("mask = mask[", ["mask = mask[:, :, None]"]),
        ("device", []),
        ("if x.shape", ["x = kf.cond(ops.shape(x)[0] > 2, lambda: x * 2, lambda: x)"]),
        ("x = x * 2", ["x = kf.cond(ops.shape(x)[0] > 2, lambda: x * 2, lambda: x)"]),
        (
            "x = torch.where",
            ["x = ops.swapaxes(ops.where(mask, x, ops.zeros_like(x)), 1, 2)", "y = x + 1"],
        ),
    ],
)
def test_a_statement_and_its_lines(
    plain: tuple[list[str], LineMap], start: str, expected: list[str]
) -> None:
    assert written(plain, start) == expected


def test_a_line_and_its_rules(plain: tuple[list[str], LineMap]) -> None:
    assert rules(plain, "self.norm = ") == ("nn.LayerNorm",)
    assert rules(plain, "x = kf.cond") == ("Tensor.shape", "kf.cond")
    assert rules(plain, "x = ops.swapaxes") == (
        "torch.where",
        "torch.zeros_like",
        "Tensor.transpose",
    )
    assert rules(plain, "if mask is None") == ()  # those of its block are the block's


def test_what_the_translator_adds_has_no_line(plain: tuple[list[str], LineMap]) -> None:
    lines, found = plain
    added = [n for n, text in enumerate(lines, 1) if text.startswith(("# ", "import", "from"))]
    assert added and all(found.torch_line(n) is None for n in added)
    assert all(found.rules(n) == () for n in added)


def test_a_refusal_is_a_rule() -> None:
    text = "import torch\n\n\ndef f(x):\n    y = x + 1\n    return torch.nonsense(x)\n"
    translation, found = map_source(text, filename="f.py")
    (number,) = found.port_lines(6)
    assert translation.code.split("\n")[number - 1].lstrip().startswith("raise NotImplementedError")
    assert found.rules(number) == ("torch.nonsense",)


def test_scans_map_statement_by_statement() -> None:
    text = textwrap.dedent("""\
        import torch


        def f(x: torch.FloatTensor):
            rows = []
            total = x[:, 0]
            for i in range(x.shape[1]):
                total = total + x[:, i]
                rows.append(total)
            return torch.stack(rows, dim=1)
        """)
    translation, found = map_source(text, filename="f.py")
    lines = translation.code.split("\n")
    texts = {n: [lines[each - 1].strip() for each in found.port_lines(n)] for n in (7, 8, 9)}
    assert texts[8] == ["total = total + x[:, i]"]
    assert texts[9] == ["rows_item = total"]
    assert texts[7][0] == "def step(i, total):" and "kf.scan" in texts[7][-1]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions and methods, but for those of the wrappers, which come from no source."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            named = {ast.unparse(s.targets[0]) for s in node.body if isinstance(s, ast.Assign)}
            if "main_layer" not in named:
                yield from (each for each in node.body if isinstance(each, ast.FunctionDef))


@pytest.mark.parametrize("name", TYPES)
def test_every_statement_of_a_port_has_a_line_of_its_source(name: str) -> None:
    """`map_module` itself raises where the text is another."""
    found, code = map_module(module(name)), port(module(name)).code
    source = ast.parse(read_module(module(name)).text)
    starts = {node.lineno for node in ast.walk(source) if isinstance(node, ast.stmt)}
    assert {each.source_line for each in found.statements} <= starts
    statements = [
        node
        for function in functions(ast.parse(code))
        for node in ast.walk(function)
        if isinstance(node, SIMPLE)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    missing = [node for node in statements if found.torch_line(node.lineno) is None]
    assert len(statements) > 100
    assert not missing, [ast.unparse(node) for node in missing]


def test_a_port_that_is_another_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linemap, "port", lambda name: CachedPort("another", {}))
    with pytest.raises(KeraformError, match="another text in the cache"):
        map_module(module("llama"))


KINDS = """\
import torch
from torch import nn


class Norm(nn.Module):
    pass


def f(x: torch.FloatTensor, mask: torch.BoolTensor, free, width: int, scale: float):
    sizes = [0] * x.shape[0] + [width]
    half = x.shape[1] / 2
    perhaps = free > 0
    parts = [nn.Linear(2, 2), Norm()]
    divided = free / x.shape[0]
    raised = x[:, None] * free
    kept = None
    for row in x:
        kept = row if kept is None else kept
    result = (sizes, half, perhaps, parts, divided, raised)
    return result
"""


@pytest.mark.parametrize(
    "name, tag, dtype",
    [
        ("sizes", "list", None),
        ("half", "dim", "float"),
        ("perhaps", None, None),
        ("parts", "layers", None),
        ("divided", None, None),
        ("raised", "tensor", "float"),
    ],
)
def test_kinds_of_a_map(name: str, tag: str | None, dtype: str | None) -> None:
    """What is not certain is left out, so that no wrong kind is acted upon."""
    kinds = map_source(KINDS, filename="kinds.py")[1].kinds
    lines = KINDS.split("\n")
    number = 1 + next(n for n, text in enumerate(lines) if text.startswith("    result = "))
    column = lines[number - 1].index(name)
    kind = kinds.get(f"{number}:{column}:{number}:{column + len(name)}")
    assert (kind.tag if kind else None, kind.dtype if kind else None) == (tag, dtype)
    if kind is not None:
        assert kind.rank is None and kind.name is None


def test_what_is_none_before_a_loop_may_be_another_thing_in_it() -> None:
    kinds = map_source(KINDS, filename="kinds.py")[1].kinds
    number = 1 + next(n for n, text in enumerate(KINDS.split("\n")) if "kept = row" in text)
    column = KINDS.split("\n")[number - 1].rindex("kept")
    assert f"{number}:{column}:{number}:{column + 4}" not in kinds
