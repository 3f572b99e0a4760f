"""Ports that somebody made his own: what they are compared with, and that an edit is named."""

from __future__ import annotations

import dataclasses
import linecache
import re

import keras
import pytest

from keraform import translate
from keraform.errors import KeraformError
from keraform.verify import files
from keraform.verify.edited import EditedLines, edited_lines
from keraform.verify.ladder import climb
from keraform.verify.localising.localise import localise
from keraform.verify.outcome import PASS
from keraform.verify.port_files import read_port
from keraform.verify.quiet import quiet
from keraform.verify.targets import Target, cases_of, port_class

BERT = "transformers.models.bert.modeling_bert"
COMMENT = "# mine, and so is the line below\n"


@pytest.fixture(scope="session")
def bert() -> str:
    return translate.translation(BERT).code


@pytest.fixture
def write(tmp_path):
    """Writes the port into a folder of one's own."""

    def written(text: str, name: str = "modeling_bert.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def case_of(path):
    (case,) = cases_of(Target(str(path), ("TFBertModel",)))
    return case


def test_a_port_that_was_only_copied_is_proved(bert, write):
    path = write(bert)
    report = climb(Target(str(path), ("BertModel",)), range(1, 6))
    (entry,) = report.classes
    assert [entry.rungs[rung] for rung in range(1, 6)] == [PASS] * 5
    assert report.remarks == []
    with quiet():
        assert localise(case_of(path)).findings == []


SCALED = "ops.matmul(query, ops.swapaxes(key, 2, 3)) * scaling"
EDITS = {
    "scaling": (f"attn_weights = {SCALED}", "* scaling", "", "key.transpose(2, 3)) * scaling"),
    "epsilon": (
        'hidden_size, epsilon=config.layer_norm_eps, name="LayerNorm")',
        "config.layer_norm_eps",
        "1e-3",
        "nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)",
    ),
    "residual": (
        "hidden_states = self.LayerNorm(hidden_states + input_tensor)",
        " + input_tensor",
        "",
        "self.LayerNorm(hidden_states + input_tensor)",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_edited_line_is_named(edit, bert, write):
    statement, old, new, torch_text = EDITS[edit]
    lines = bert.split("\n")
    index = next(number for number, line in enumerate(lines) if statement in line)
    edited = lines[index].replace(old, new)
    indent = edited[: len(edited) - len(edited.lstrip())]
    lines[index : index + 1] = [indent + COMMENT.strip()] * 3 + [edited]
    path = write("\n".join([*lines[:20], *[COMMENT.strip()] * 7, *lines[20:]]))
    with quiet():
        findings = localise(case_of(path)).findings
    assert findings
    first = findings[0]
    assert (first.keras.file, first.keras.text.strip()) == (str(path), edited.strip())
    assert first.keras.line == index + 7 + 3 + 1
    assert torch_text in first.torch.text
    assert first.torch.text.split("\n")[0] in linecache.getline(first.torch.file, first.torch.line)
    assert first.rules == translate.map_module(BERT).rules(index + 1)


def test_registered_names_do_not_clash(bert, write):
    package, own = port_class(BERT, "BertModel"), read_port(write(bert)).module.TFBertModel
    assert own is not package
    for each in (own, package):
        assert keras.saving.get_registered_object(keras.saving.get_registered_name(each)) is each


def test_a_file_in_a_package_may_import_its_neighbours(bert, write, tmp_path):
    (tmp_path / "__init__.py").touch()
    write("EPSILON = 1e-3\n", "numbers_of_mine.py")
    text = bert.replace("from keras import ops\n", "from .numbers_of_mine import EPSILON\n", 1)
    module = read_port(write(text.replace("\nlogger", "\nfrom keras import ops\nlogger", 1))).module
    assert module.EPSILON == 1e-3
    assert module.__name__ == f"{tmp_path.name}.modeling_bert"


def test_another_source_is_remarked_and_still_compared(bert, write):
    text = bert.replace("(transformers 5.23.0)", "(transformers 5.0.0)")
    text = re.sub("(?<=# source sha256: ).*", "0" * 64, text)
    report = climb(Target(str(write(text)), ("BertModel",)), [1])
    assert report.to_json()["remarks"] == report.remarks
    (remark,) = report.remarks
    assert "of transformers 5.0.0; it is compared with that of the installed" in remark


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "transformers/models/bert/modeling_bert.py (transformers 5.23.0)",
            "net.py (a file of yours)",
            "try: keraform localise --torch net.py:NAME",
        ),
        (
            "bert/modeling_bert.py (transformers 5.23.0)",
            "gone/modeling_gone.py (transformers 5.0.0)",
            "try: pip install 'transformers==5.0.0'",
        ),
        ("class TFBert", "class MyBert", "expected: a class of transformers/models/bert"),
    ],
)
def test_what_cannot_be_compared(old, new, words, bert, write):
    text = bert.replace(old, new)
    if "class" in old:
        text = text.replace("TFBert", "MyBert")
    with pytest.raises(KeraformError) as error:
        cases_of(Target(str(write(text))))
    assert words in str(error.value)


def test_a_refusal_counts_while_it_stands(bert, write, monkeypatch):
    from keraform.verify import port_files
    from keraform.verify.refusals import Refusal

    refusal = Refusal("no-such-rule", "modeling_bert.py", 7, "because")
    monkeypatch.setattr(port_files, "refusals_in", lambda module, name: [refusal])
    standing = bert + '\n# raise NotImplementedError("modeling_bert.py:7: no-such-rule: because")\n'
    assert read_port(write(standing)).refusals("BertModel") == [refusal]
    assert read_port(write(bert)).refusals("BertModel") == []


PORT = """
def run(x):
    y = first(x)
    z = second(
        x, y
    )
    if z:
        y = third(y)
    return y + z
"""
MINE = """
import os

def run(x):
    # rewritten
    scaled = x * 2
    y = first(scaled)
    z = second(x, y)
    if z is not None:
        y = fourth(
            y,
        )
    return y
"""


class Same:
    """A line map that maps a line to itself."""

    def torch_line(self, port_line: int) -> int | None:
        return port_line

    def rules(self, port_line: int) -> tuple[str, ...]:
        return (f"rule-{port_line}",)


def test_statements_are_found_again_through_edits():
    lines: EditedLines = edited_lines(MINE, PORT, Same())
    texts = {number: line.strip() for number, line in enumerate(MINE.split("\n"), 1)}
    found = {text: lines.torch_line(number) for number, text in texts.items()}
    assert found == {
        **dict.fromkeys(texts.values()),
        "def run(x):": 2,
        "y = first(scaled)": 3,
        "z = second(x, y)": 4,
        "if z is not None:": 7,
        "y = fourth(": 8,
        "return y": 9,
    }
    assert lines.rules(6) == ()
    assert lines.rules(7) == ("rule-3",)


TORCH = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        weights = torch.softmax(y, dim=-1)
        return weights * x


def make_inputs():
    return {"x": [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]}
"""


def net_case(path):
    (case,) = cases_of(Target(str(path), (), {"width": "3"}, f"{path}:make_inputs"))
    return case


def test_statements_of_a_torch_file_are_named(write, monkeypatch):
    path = write(TORCH, "net.py")
    translation, lines = files._translation(str(path))
    wrong = dataclasses.replace(
        translation, code=translation.code.replace("softmax(y, axis=-1)", "softmax(y, axis=0)")
    )
    assert wrong.code != translation.code
    monkeypatch.setattr(files, "_translation", lambda path: (wrong, lines))
    with quiet():
        (finding,) = localise(net_case(path)).findings
    assert (finding.torch.file, finding.torch.line) == (str(path), 13)
    assert finding.torch.text.strip() == "weights = torch.softmax(y, dim=-1)"
    assert "softmax(y, axis=0)" in finding.keras.text
    assert finding.keras.file.endswith("net_port.py")


def test_nothing_is_found_in_a_torch_file_whose_port_is_right(write):
    with quiet():
        assert localise(net_case(write(TORCH, "right_net.py"))).findings == []


def test_a_keras_file_without_a_banner_is_no_target(write):
    path = write("import keras\n\n\nclass Net(keras.Model):\n    pass\n", "keras_net.py")
    with pytest.raises(KeraformError) as error:
        cases_of(Target(str(path)))
    assert "no torch module" in str(error.value)
    assert f"try: keraform localise --torch FILE.py:NAME --keras {path}:NAME" in str(error.value)
