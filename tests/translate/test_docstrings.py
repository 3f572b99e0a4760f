"""Docstrings of ports: every parameter described, torch's words gone, upstream's own words kept."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from keraform.translate import docstring_tables as tables
from keraform.translate.docstring_layout import reflow
from keraform.translate.docstring_words import keras_words
from keraform.translate.docstrings import (
    SILENT,
    Parameter,
    expand_call_docstring,
    expand_class_docstring,
    expand_output_docstring,
    parse_docstring,
)


def source_of(model_type: str) -> ast.Module:
    import transformers

    path = Path(transformers.__path__[0], "models", model_type, f"modeling_{model_type}.py")
    return ast.parse(path.read_text("utf-8"))


def find_class(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def find_method(node: ast.ClassDef, name: str) -> ast.FunctionDef:
    return next(
        each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == name
    )


def parameters_of(node: ast.FunctionDef) -> list[Parameter]:
    names = node.args.args
    defaults = [None] * (len(names) - len(node.args.defaults)) + node.args.defaults
    return [
        (
            each.arg,
            ast.unparse(each.annotation) if each.annotation else None,
            ast.unparse(default) if default else None,
        )
        for each, default in zip(names, defaults, strict=True)
    ]


@pytest.mark.parametrize(
    ("model_type", "class_name"),
    [
        ("bert", "BertModel"),
        ("bert", "BertForMaskedLM"),
        ("llama", "LlamaModel"),
        ("llama", "LlamaForCausalLM"),
        ("vit", "ViTModel"),
        ("vit", "ViTForImageClassification"),
        ("t5", "T5ForConditionalGeneration"),
        ("whisper", "WhisperModel"),
    ],
)
def test_every_parameter_of_forward_is_described(model_type: str, class_name: str) -> None:
    method = find_method(find_class(source_of(model_type), class_name), "forward")
    parameters = parameters_of(method)
    text = expand_call_docstring(
        parameters,
        ast.get_docstring(method, clean=False),
        class_name=class_name,
        model_type=model_type,
    )
    entries = parse_docstring(text).entries
    for name, _, _ in parameters:
        if name not in SILENT:
            head, body = entries[name]
            assert head, f"{name} has no type"
            assert body.strip(), f"{name} has no description"
    assert "torch." not in text
    assert not re.search(r"\{\w+_class\}", text), "a placeholder was left"


def test_labels_are_described_by_the_task() -> None:
    parameters: list[Parameter] = [("labels", "torch.LongTensor | None", "None")]
    masked = expand_call_docstring(parameters, class_name="BertForMaskedLM", model_type="bert")
    classes = expand_call_docstring(
        parameters, class_name="BertForSequenceClassification", model_type="bert"
    )
    assert "masked language modeling loss" in masked
    assert "(`Tensor` of shape `(batch_size,)`, *optional*)" in classes
    assert "sequence classification" in classes


def test_the_methods_own_words_win_over_the_tables() -> None:
    text = expand_call_docstring(
        [("input_ids", "torch.Tensor", None), ("gain", "float", "1.0")],
        """
        input_ids (`torch.LongTensor` of shape `(b, q)`):
            Numbers of stones.
        gain (`float`, *optional*, defaults to 1.0):
            How loud.

            - 1 for *as is*,
            - 2 for twice.

        Returns:
            `torch.Tensor`: the sum.

        Example:

        ```python
        >>> StoneModel(config)(torch.tensor([1]))
        ```
        """,
        class_name="StoneModel",
    )
    assert "input_ids (`Tensor` of shape `(b, q)`):\n        Numbers of stones." in text
    assert (
        "gain (`float`, *optional*, defaults to 1.0):\n        How loud.\n\n        - 1 for" in text
    )
    assert "Returns:\n    `Tensor`: the sum." in text
    assert ">>> from keras import ops\n>>> TFStoneModel(config)(ops.array([1]))" in text


def test_a_custom_introduction_and_arguments_are_taken() -> None:
    text = expand_call_docstring(
        [("width", "int", "3")],
        class_name="StoneModel",
        custom_intro="Counts the stones.",
        custom_args="width (`int`):\n    How wide.",
    )
    assert text.startswith("Counts the stones.\n\nArgs:\n    width (`int`):\n        How wide.\n")


def test_training_of_a_port_is_described() -> None:
    text = expand_call_docstring([], class_name="StoneModel")
    assert "training (`bool`, *optional*):" in text
    assert "training" not in expand_call_docstring([], class_name="StoneModel", method="pool")


@pytest.mark.parametrize(
    "annotation",
    ["BaseModelOutputWithPooling", "tuple[torch.Tensor] | TFBaseModelOutputWithPooling"],
)
def test_returns_come_from_the_output_class(annotation: str) -> None:
    text = expand_call_docstring(
        [],
        class_name="BertModel",
        config_name="BertConfig",
        output_name=annotation,
        model_type="bert",
    )
    assert "[`TFBaseModelOutputWithPooling`]" in text
    assert "- **last_hidden_state** (`Tensor` of shape" in text
    assert "- **pooler_output**" in text


def test_an_example_follows_the_task() -> None:
    text = expand_call_docstring([], class_name="BertForMaskedLM", model_type="bert")
    assert 'TFBertForMaskedLM.from_pretrained("google-bert/bert-base-uncased")' in text
    assert "from keraform import TFBertForMaskedLM" in text
    assert 'return_tensors="np"' in text


def test_class_docstrings() -> None:
    text = expand_class_docstring(
        "BertModel", base="BertPreTrainedModel", config_name="BertConfig", model_type="bert"
    )
    assert text.startswith("The bare Bert Model")
    assert "keras.Model" in text
    assert "config ([`BertConfig`]):" in text
    assert "torch" not in text.lower()
    root = expand_class_docstring(
        "BertPreTrainedModel", base="PreTrainedModel", config_name="BertConfig", model_type="bert"
    )
    assert root.count("This model inherits from") == 1
    custom = expand_class_docstring(
        "BertModel", base="BertPreTrainedModel", custom_intro="Mine.", model_type="bert"
    )
    assert custom.startswith("Mine.\n\nThis model inherits")


def test_output_docstrings() -> None:
    text = expand_output_docstring(
        [
            ("loss", "torch.FloatTensor | None", "None"),
            ("hidden_states", "tuple[torch.FloatTensor] | None", "None"),
        ],
        "loss (`torch.FloatTensor` of shape `(1,)`, *optional*):\n    How bad.",
        class_name="StoneOutput",
        custom_intro="Output type of [`StoneModel`].",
    )
    assert text.startswith("Output type of [`TFStoneModel`].")
    assert "loss (`Tensor` of shape `(1,)`, *optional*):\n        How bad." in text
    assert "hidden_states (`tuple[Tensor]`, *optional*, returned when" in text


def test_parsing_forgives_what_upstream_writes() -> None:
    parsed = parse_docstring(
        "loss (`torch.Tensor` of shape `(1,)`, *optional*, returned when `labels` are given)):\n"
        "    One bracket too many.\n"
        "size (`list[int]`)\n"
        "    No colon.\n"
        "shape (`tuple`):\n"
        "  Two blanks only.\n"
    )
    assert list(parsed.entries) == ["loss", "size", "shape"]
    assert parsed.entries["loss"][0].endswith("are given")
    assert parsed.entries["shape"][1] == "Two blanks only."


@pytest.mark.parametrize(
    ("torch_words", "keras"),
    [
        ("a `torch.FloatTensor` here", "a `Tensor` here"),
        ("tuple(torch.Tensor)", "tuple(Tensor)"),
        ("see [`BertModel`] and [`BertConfig`]", "see [`TFBertModel`] and [`BertConfig`]"),
        ("a PyTorch `nn.Module`", "a Keras model"),
        ('tokenizer(x, return_tensors="pt")', 'tokenizer(x, return_tensors="np")'),
        ("[`PreTrainedModel.from_pretrained`]", "[`PreTrainedModel.from_pretrained`]"),
        ("dtype=torch.long", 'dtype="int64"'),
        (
            "```python\n>>> import torch\n>>> from transformers import AutoTokenizer, BertModel\n"
            ">>> with torch.no_grad():\n...     y = model(x)\n>>> y\n```",
            "```python\n>>> from transformers import AutoTokenizer\n"
            ">>> from keraform import TFBertModel\n"
            ">>> y = model(x)\n>>> y\n```",
        ),
    ],
)
def test_words(torch_words: str, keras: str) -> None:
    assert keras_words(torch_words) == keras
    assert keras_words(keras) == keras, "saying it twice changes something"


@pytest.mark.parametrize(
    ("name", "model_type", "expected"),
    [
        ("tokenizer_class", "bert", "BertTokenizer"),
        ("image_processor_class", "vit", "ViTImageProcessor"),
        ("processor_class", "vit", "AutoProcessor"),
        ("processor_class", "clip", "CLIPProcessor"),
        ("feature_extractor_class", "whisper", "WhisperFeatureExtractor"),
        ("tokenizer_class", "no_such_type", "AutoTokenizer"),
    ],
)
def test_placeholders(name: str, model_type: str, expected: str) -> None:
    assert tables.placeholder(name, model_type) == expected


def test_long_lines_are_wrapped_and_code_is_not() -> None:
    long = "word " * 30
    text = f"{long}\n\n- item {long}\n\n```python\n>>> {long}\n```"
    lines = reflow(text, 60).split("\n")
    assert all(len(line) <= 60 for line in lines[: lines.index("```python")])
    assert f">>> {long}" in lines
    assert any(line.startswith("  word") for line in lines), (
        "a bullet keeps its hanging indentation"
    )
    assert reflow("short\nlines\nstay") == "short\nlines\nstay"
