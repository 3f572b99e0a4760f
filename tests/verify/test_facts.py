"""Recorded kinds: words, merging, positions, coverage, and the same bytes every time."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import transformers
from transformers import BertConfig, DynamicCache
from transformers.modeling_outputs import BaseModelOutput

from keraform import translate
from keraform.translate import facts_store
from keraform.translate.source import Source
from keraform.verify.classes import PROVED_TYPES, upstream_module_name
from keraform.verify.facts import SHARED, Facts, read_facts, record_facts, source_hash
from keraform.verify.instrument import instrumented
from keraform.verify.kinds import kind_of, merge

BERT = "transformers.models.bert.modeling_bert"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.zeros(2, 3), "tensor:float?:2"),
        (torch.zeros(2, dtype=torch.float64), "tensor:float64:1"),
        (torch.tensor(True), "tensor:bool:0"),
        (None, "none"),
        (True, "bool"),
        (1, "int"),
        (1.0, "float"),
        ("a", "str"),
        (torch.Size([1]), "size"),
        ((1,), "tuple"),
        ([1], "list"),
        ({}, "dict"),
        (BaseModelOutput(), "output"),
        (torch.nn.Linear(1, 1), "module"),
        (torch.float32, "dtype"),
        (torch.device("cpu"), "device"),
        (BertConfig(), "config"),
        (DynamicCache(), "cache"),
        (torch.matmul, "function"),
        (slice(1), "other"),
        (torch.nn, None),
    ],
)
def test_kinds(value, kind):
    assert kind_of(value) == kind


@pytest.mark.parametrize(
    ("kinds", "merged"),
    [
        (["tensor:float32:3"], "tensor:float32:3"),
        (["tensor:float?:3", "tensor:float:3"], "tensor:float:3"),
        (["tensor:float?:3", "tensor:float32:3"], "tensor:float32:3"),
        (["tensor:float:3", "tensor:float32:3"], "tensor:mixed:3"),
        (["tensor:float32:3", "tensor:float32:2"], "tensor:float32"),
        (["tensor:float32:3", "tensor:int64:3"], "tensor:mixed:3"),
        (["tensor:float32:3", "none", "tensor:int64:2"], "none|tensor:mixed"),
        (["int", "none|tensor:bool:1", "tensor:bool:1"], "int|none|tensor:bool:1"),
    ],
)
def test_merging(kinds, merged):
    assert merge(kinds) == merged
    assert merge([merged, *kinds]) == merged


def test_positions_are_those_of_the_source(tmp_path, monkeypatch):
    source = (
        "import torch\n"
        "class A:\n"
        "    def __secret(self, x, n: int = 2):\n"
        "        y: torch.Tensor = x  # é\n"
        "        é, b = x.shape, y * n\n"
        "        z = b[0, :n].sum(-1) if n > 1 else 0\n"
        "        return é, f'{n}', [t for t in b], super().__repr__, z\n"
        "    def go(self):\n"
        "        return self.__secret(torch.ones(2, 3))\n"
    )
    (tmp_path / "plain_module.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with instrumented("plain_module") as made:
        module, recorder = made["plain_module"]
        module.A().go()
        assert sys.modules["plain_module"] is module
    assert "plain_module" not in sys.modules
    lines = source.splitlines()
    found = {}
    for position, kinds in zip(recorder.positions, recorder.kinds, strict=True):
        line, start, end_line, end = map(int, position.split(":"))
        assert line == end_line
        found[lines[line - 1][start:end]] = merge(kinds)
    assert found["x.shape"] == "size"
    assert found["y * n"] == "tensor:float:2"
    assert found["b[0, :n].sum(-1)"] == "tensor:float:0"
    assert found["n > 1"] == "bool"
    assert found["é"] == "size"
    assert not any(text.startswith("super") and text.endswith(")") for text in found)


def test_facts_of_bert_are_complete_and_stable(tmp_path):
    facts = record_facts(BERT)
    spec = importlib.util.find_spec(BERT)
    assert facts.source_hash == source_hash(BERT)
    names = {kind for kind in facts.facts.values()}
    assert "tensor:float:3" in names and any("cache" in name for name in names)
    first, second = tmp_path / "a", tmp_path / "b"
    facts.write(first)
    read_facts(first).write(second)
    assert first.read_bytes() == second.read_bytes()
    lines = Path(spec.origin).read_text(encoding="utf-8").splitlines()
    for position in facts.facts:
        line, start, end_line, end = map(int, position.split(":"))
        text = lines[line - 1][start:] if line != end_line else lines[line - 1][start:end]
        assert text.strip()
        if line == end_line:
            ast.parse(text.strip(), mode="eval")


@pytest.fixture(scope="module")
def shipped() -> list[Facts]:
    """All facts that come with Keraform, of all releases."""
    paths = sorted((Path(translate.__file__).parent / "facts").glob("*.json.gz"))
    found = [read_facts(path) for path in paths]
    assert [path.name for path in paths] == [facts.file_name for facts in found]
    return found


def test_all_proved_types_have_recorded_facts(shipped):
    modules = {upstream_module_name(each) for each in PROVED_TYPES} | SHARED.keys()
    assert {facts.module for facts in shipped} >= modules
    hashes = [(facts.module, facts.source_hash) for facts in shipped]
    assert len(set(hashes)) == len(hashes)


def test_shipped_facts_belong_to_the_installed_release(shipped):
    releases = sorted({facts.transformers for facts in shipped})
    if transformers.__version__ not in releases:
        pytest.skip(
            f"kinds are recorded for transformers {', '.join(releases)}; installed is "
            f"{transformers.__version__}: `keraform facts --all` records them"
        )
    recorded = {(facts.module, facts.source_hash) for facts in shipped}
    modules = {upstream_module_name(each) for each in PROVED_TYPES} | SHARED.keys()
    modules |= {each.module for each in shipped if each.transformers == transformers.__version__}
    assert [name for name in sorted(modules) if (name, source_hash(name)) not in recorded] == []


def test_facts_are_found_by_the_text_they_were_recorded_of(shipped, tmp_path, monkeypatch):
    """Those of other texts of the module lie beside them, and are not mistaken for them."""
    monkeypatch.setattr(facts_store, "FOLDER", tmp_path)
    sources = [Source(BERT, "bert.py", text, "a release") for text in ("a = 1\n", "a = 2\n", "")]
    for index, source in enumerate(sources[:2]):
        facts = Facts(BERT, source.hash, "a release", {f"{index + 1}:0:1:1": "int"})
        facts.write(tmp_path / facts.file_name)
    found = [facts_store.load_facts(source) for source in sources]
    assert [facts for facts, _ in found] == [{"1:0:1:1": "int"}, {"2:0:1:1": "int"}, {}]
    assert len({digest for _, digest in found}) == 3
