"""Overrides replace the functions and methods that they name, and nothing else."""

from __future__ import annotations

import pytest

from keraform.errors import KeraformError
from keraform.translate import overrides
from keraform.translate.module import ModuleTranslator
from keraform.translate.source import read_module

BERT = "transformers.models.bert.modeling_bert"
TEXT = '''"""Says why."""

from __future__ import annotations

from keraform.runtime.ops import clamp


class TFBertPooler:
    def call(self, hidden_states):
        """Replaced."""
        return clamp(hidden_states[:, 0], min=0.0)
'''


def test_a_method_is_replaced_with_its_imports(tmp_path, monkeypatch):
    (tmp_path / "bert.py").write_text(TEXT, "utf-8")
    monkeypatch.setattr(overrides, "FOLDER", tmp_path)
    code = ModuleTranslator(read_module(BERT)).translate().code
    assert "        return clamp(hidden_states[:, 0], min=0.0)\n" in code
    assert "from keraform.runtime.ops import clamp\n" in code
    assert "first_token_tensor" not in code
    compile(code, "bert", "exec")


def test_a_definition_that_replaces_nothing_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "bert.py").write_text(TEXT.replace("TFBertPooler", "TFBertPuller"), "utf-8")
    monkeypatch.setattr(overrides, "FOLDER", tmp_path)
    with pytest.raises(KeraformError, match=r"overrides of TFBertPuller\.call"):
        ModuleTranslator(read_module(BERT)).translate()


def test_other_modules_have_no_override(tmp_path):
    assert not overrides.load_override("transformers.modeling_layers", tmp_path).definitions
    assert not overrides.load_override("user.model", tmp_path).definitions
