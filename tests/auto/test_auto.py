"""Names lead to classes: by hand, by configuration, by checkpoint, and in dir()."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest
import transformers

import keraform
from keraform.auto import AutoMainLayer, auto_names, class_modules
from keraform.auto.tables import auto_tables
from keraform.modeling.building import deferred_values, has_value
from modeling import mini_bert

# V4_SURFACE.md: the Auto classes that users had
V4_NAMES = """TFAutoModel TFAutoModelForPreTraining TFAutoModelForCausalLM TFAutoModelForMaskedLM
TFAutoModelForSeq2SeqLM TFAutoModelForSequenceClassification TFAutoModelForTokenClassification
TFAutoModelForQuestionAnswering TFAutoModelForMultipleChoice TFAutoModelForNextSentencePrediction
TFAutoModelForTextEncoding TFAutoModelForImageClassification TFAutoModelForMaskedImageModeling
TFAutoModelForSemanticSegmentation TFAutoModelForZeroShotImageClassification
TFAutoModelForVision2Seq TFAutoModelForSpeechSeq2Seq TFAutoModelForAudioClassification
TFAutoModelForDocumentQuestionAnswering
TFAutoModelForTableQuestionAnswering TFAutoModelForMaskGeneration TFAutoModelWithLMHead""".split()
V5_NAMES = ("TFAutoModelForObjectDetection", "TFAutoModelForCTC", "TFAutoModelForDepthEstimation",
            "TFAutoModelForImageTextToText", "TFAutoBackbone")  # fmt: skip


def fresh(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("use", ["keraform.__version__", "dir(keraform)"])
def test_the_import_is_light_and_silent(use):
    heavy = "{'keras', 'transformers', 'tensorflow', 'torch'}"
    assert fresh(f"import keraform, sys; {use}; assert not {heavy} & set(sys.modules)") == ""


def test_no_notice_when_torch_is_missing():
    code = (
        "import os; os.environ.pop('TRANSFORMERS_NO_ADVISORY_WARNINGS', None)\n"
        "os.environ.pop('TRANSFORMERS_VERBOSITY', None)\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "import keraform; keraform.AutoConfig"
    )
    assert "PyTorch" not in fresh(code)


def test_auto_classes_are_all_there():
    names = dir(keraform)
    for name in (*V4_NAMES, *V5_NAMES):
        assert name in names
        assert len(getattr(keraform, name).table) > 0, name
    upstream = {n for n in dir(transformers) if n.startswith("AutoModel")} - {
        "AutoModelForAudioTokenization"
    }
    assert upstream <= set(auto_names())


def test_tables_are_upstreams():
    from transformers.models.auto import modeling_auto

    for name, table in auto_tables().items():
        cls = getattr(modeling_auto, name, None)
        if cls is not None:
            assert dict(cls._model_mapping._model_mapping) == table, name


def test_class_index_knows_what_transformers_exports():
    index = class_modules()
    assert index["BertModel"] == "models.bert.modeling_bert" and len(index) > 2000
    modeling = {
        name: module
        for name, module in transformers._class_to_module.items()
        if ".modeling_" in module and module.startswith("models.") and name[0].isupper()
        and module.count(".") == 2 and not name.startswith("Auto")
    }  # fmt: skip
    different = {
        name for name in modeling if name.isidentifier() and index.get(name) != modeling[name]
    }
    assert not different


def test_classes_by_name():
    assert keraform.TFBertModel.__module__ == "keraform.models.bert.modeling_bert"
    from keraform.models.bert import TFBertMainLayer, TFBertModel

    assert keraform.TFBertModel is TFBertModel and keraform.TFBertMainLayer is TFBertMainLayer
    assert {"TFBertForTokenClassification", "TFBertMainLayer"} <= set(dir(keraform))
    assert keraform.AutoTokenizer is transformers.AutoTokenizer
    assert keraform.BertConfig is transformers.BertConfig


@pytest.mark.parametrize(
    "name, near",
    [("TFBertModell", "TFBertModel"), ("TFAutoModelForCausalML", "TFAutoModelForCausalLM")],
)
def test_unknown_names_suggest_others(name, near):
    with pytest.raises(AttributeError, match=rf"no attribute '{name}'; did you mean .*{near}"):
        getattr(keraform, name)
    with pytest.raises(AttributeError, match=r"no attribute 'zzz'$"):
        keraform.zzz  # noqa: B018


def test_from_config_and_from_pretrained(tmp_path):
    config = mini_bert.tiny_config()
    model = keraform.TFAutoModelForMaskedLM.from_config(config)
    assert type(model) is keraform.TFBertForMaskedLM
    model.save_pretrained(tmp_path)
    for name, expected in (
        ("TFAutoModel", "TFBertModel"),
        ("TFAutoModelWithLMHead", "TFBertForMaskedLM"),
        ("TFAutoModelForPreTraining", "TFBertForPreTraining"),
    ):
        found = getattr(keraform, name).from_pretrained(tmp_path)
        assert type(found).__name__ == expected
    found, info = keraform.TFAutoModelForTokenClassification.from_pretrained(
        tmp_path, num_labels=4, output_loading_info=True, dtype="bfloat16", name="tagger"
    )
    assert found.config.num_labels == 4 and found.name == "tagger"
    assert found.dtype == "bfloat16" and info["missing_keys"]
    with pytest.raises(OSError, match="from_pretrained"):
        keraform.TFAutoModel()


def test_main_layers_for_models_inside_models():
    layer = AutoMainLayer.from_config(mini_bert.tiny_config())
    assert type(layer) is keraform.TFBertMainLayer
    head = AutoMainLayer.from_config(mini_bert.tiny_config(), auto_class="AutoModelForMaskedLM")
    assert type(head) is keraform.TFBertForMaskedLM
    with deferred_values() as made:  # as within a model that is loaded: values come later
        waiting = AutoMainLayer.from_config(mini_bert.tiny_config())
    assert made and not any(has_value(variable) for variable in waiting.variables)


def test_stubs_complete_names(tmp_path, monkeypatch):
    from keraform.auto import stubs

    small = {
        name: module
        for name, module in class_modules().items()
        if module.startswith("models.bert.")
    }
    monkeypatch.setattr(stubs, "class_modules", lambda: small)
    written = stubs.write_stubs(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "models/bert.pyi",
        "__init__.pyi",
    ]
    text = (tmp_path / "models" / "bert.pyi").read_text()
    ast.parse(text)
    assert "class TFBertMainLayer(MainLayer):" in text and "class TFBertForMaskedLM(Model):" in text
    assert "def call(self, input_ids: Tensor | None = None" in text
    assert "import TFBertModel as TFBertModel" in (tmp_path / "__init__.pyi").read_text()


def test_the_type_of_a_part_is_its_class():
    """Mimi's halves are configured with all fields of the whole, its type among them."""
    from transformers import MimiConfig

    half = MimiConfig(num_hidden_layers=1).encoder_config
    assert half.model_type == "mimi"
    found, _ = keraform.TFAutoModel.class_for(half)
    assert found.__name__ == "TFMimiEncoderModel"
