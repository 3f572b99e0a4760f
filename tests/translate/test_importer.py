"""The virtual package `keraform.models`: ports by name, lazily, with readable tracebacks."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from keraform.translate import modeling_modules, port_module, port_name
from keraform.translate.importer import upstream_name


def test_classes_by_name() -> None:
    from keraform.models.bert import TFBertMainLayer, TFBertModel
    from keraform.models.bert.modeling_bert import TFBertModel as same

    assert TFBertModel is same
    assert TFBertModel.__module__ == "keraform.models.bert.modeling_bert"
    assert TFBertMainLayer.__name__ == "TFBertMainLayer"


def test_the_module_is_the_generated_file() -> None:
    import keraform.models.bert.modeling_bert as module

    path = port_module("transformers.models.bert.modeling_bert")
    assert path is not None
    assert Path(module.__file__) == path
    assert "class TFBertLayer(" in inspect.getsource(module.TFBertLayer)


def test_names_of_a_package_are_listed_before_they_are_made() -> None:
    code = (
        "import sys, keraform.models.bert as bert; names = dir(bert); "
        "assert 'TFBertModel' in names and 'TFBertModel' in bert.__all__; "
        "assert 'keraform.models.bert.modeling_bert' not in sys.modules; "
        "assert 'keras' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_star_import_brings_the_public_names() -> None:
    namespace: dict = {}
    exec("from keraform.models.bert.modeling_bert import *", namespace)
    assert "TFBertForMaskedLM" in namespace
    assert "BertForMaskedLM" not in namespace


def test_shared_modules_are_ports_too() -> None:
    from keraform.models.modeling_outputs import TFBaseModelOutput

    assert TFBaseModelOutput.__module__ == "keraform.models.modeling_outputs"


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    import keraform.models.bert as bert

    with pytest.raises(AttributeError, match=r"no attribute 'TFBertForNothing'.*TFBertModel"):
        bert.TFBertForNothing  # noqa: B018
    with pytest.raises(ImportError, match="TFBertForNothing"):
        exec("from keraform.models.bert import TFBertForNothing")


def test_an_unknown_type_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"keraform\.models\.nothing"):
        importlib.import_module("keraform.models.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"keraform\.models\.bert\.modeling_nothing"):
        importlib.import_module("keraform.models.bert.modeling_nothing")


def test_a_traceback_shows_the_line_of_the_port() -> None:
    from keraform.models.bert.modeling_bert import TFBertEmbeddings

    with pytest.raises(AttributeError) as caught:
        TFBertEmbeddings(None)
    frames = traceback.extract_tb(caught.value.__traceback__)
    path = str(port_module("transformers.models.bert.modeling_bert"))
    ours = [frame for frame in frames if frame.filename == path]
    assert ours
    assert "config.vocab_size" in (ours[-1].line or "")


@pytest.mark.parametrize(
    ("port", "upstream"),
    [
        ("keraform.models.bert.modeling_bert", "transformers.models.bert.modeling_bert"),
        ("keraform.models.modeling_outputs", "transformers.modeling_outputs"),
    ],
)
def test_names_of_modules_go_both_ways(port: str, upstream: str) -> None:
    assert port_name(upstream) == port
    assert upstream_name(port) == upstream


def test_modeling_modules_of_a_folder() -> None:
    assert modeling_modules("bert") == ["transformers.models.bert.modeling_bert"]
    assert modeling_modules("nothing") == []


def test_the_function_port_is_not_hidden_by_a_module() -> None:
    from keraform import translate

    importlib.import_module("keraform.models.bert.modeling_bert")
    assert callable(translate.port)
