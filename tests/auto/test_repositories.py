"""Repositories with modeling code of their own are translated, when that is allowed."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil

import numpy as np
import pytest

import keraform
from auto import tiny_repository
from keraform import translate
from keraform.auto import repositories
from keraform.errors import KeraformError

IDS = np.array([[3, 8, 5, 30], [1, 2, 0, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The repository with the weights of a torch model, random to the last bias."""
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForSequenceClassification

    folder = tiny_repository.write(tmp_path_factory.mktemp("tiny-1.0"))
    model = AutoModelForSequenceClassification.from_config(
        transformers_config(folder), trust_remote_code=True
    )
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    tiny_repository.write(folder)
    return folder


@pytest.fixture
def unmarked(monkeypatch):
    """What was run since leaves its name in the environment."""
    monkeypatch.delenv("TINY_RAN", raising=False)


def transformers_config(folder):
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=True)


def torchs(folder, auto_class):
    import torch
    import transformers

    cls = getattr(transformers, auto_class)
    model = cls.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.no_grad():
        found = model(torch.tensor(IDS), attention_mask=torch.tensor(MASK))
    return found[0].numpy()


@pytest.mark.parametrize("auto_class", ["AutoModel", "AutoModelForSequenceClassification"])
def test_it_gives_what_transformers_gives(folder, auto_class):
    cls = getattr(keraform, f"TF{auto_class}")
    model, report = cls.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"]
    assert type(model.config).__name__ == "TinyConfig" and "transformers_modules" in repr(
        type(model)
    )
    found = np.asarray(model(IDS, attention_mask=MASK)[0])
    np.testing.assert_allclose(found, torchs(folder, auto_class), atol=1e-5, rtol=1e-5)


def test_it_is_saved_with_its_code(folder, tmp_path):
    cls = keraform.TFAutoModelForSequenceClassification
    model = cls.from_pretrained(folder, trust_remote_code=True)
    model.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["auto_map"] == tiny_repository.CONFIG["auto_map"]
    names = {path.name for path in (tmp_path / "saved").glob("*.py")}
    assert names == {"configuration_tiny.py", "layers_tiny.py", "modeling_tiny.py"}
    found = torchs(tmp_path / "saved", "AutoModelForSequenceClassification")
    np.testing.assert_array_equal(found, torchs(folder, "AutoModelForSequenceClassification"))
    again = cls.from_pretrained(tmp_path / "saved", trust_remote_code=True)
    np.testing.assert_array_equal(again(IDS).logits, model(IDS).logits)


def test_a_model_without_weights(folder):
    config = transformers_config(folder)
    model = keraform.TFAutoModel.from_config(config, trust_remote_code=True)
    assert model(IDS).last_hidden_state.shape == (2, 4, 16)
    with pytest.raises(KeraformError, match="trust_remote_code=True for"):
        keraform.TFAutoModel.from_config(config)


@pytest.mark.parametrize("trust", [None, False])
def test_nothing_happens_without_leave(folder, unmarked, trust):
    from transformers.dynamic_module_utils import HF_MODULES_CACHE

    before = sorted(os.walk(HF_MODULES_CACHE))
    for cls in (keraform.TFAutoModel, keraform.TFAutoModelForSequenceClassification):
        with pytest.raises(KeraformError) as caught:
            cls.from_pretrained(folder, trust_remote_code=trust)
        for words in ("trust_remote_code=True for", "configuration_tiny.py of", "code_revision"):
            assert words in str(caught.value)
    assert "TINY_RAN" not in os.environ
    assert sorted(os.walk(HF_MODULES_CACHE)) == before


def test_translating_runs_nothing(folder, tmp_path, unmarked):
    copy = shutil.copytree(folder, tmp_path / "copy")
    evil = f"import os\nos.system('touch {tmp_path}/canary')\n" + tiny_repository.MODELING
    (copy / "modeling_tiny.py").write_text(evil)
    found = repositories.reference_in(
        tiny_repository.CONFIG["auto_map"], "AutoModel", str(copy), {}
    )
    translation = translate.translation(repositories.torch_module(found))
    assert "class TFTinyModel(" in translation.code
    assert "TINY_RAN" not in os.environ and not (tmp_path / "canary").exists()


def test_what_is_refused_is_named(folder, tmp_path, caplog):
    copy = shutil.copytree(folder, tmp_path / "copy")
    text = tiny_repository.MODELING.replace("h = self.norm(x)", "h = torch.geqrf(self.norm(x))[0]")
    (copy / "modeling_tiny.py").write_text(text)
    with caplog.at_level(logging.WARNING):
        model = keraform.TFAutoModel.from_pretrained(copy, trust_remote_code=True)
    assert "modeling_tiny.py of" in caplog.text and "geqrf" in caplog.text
    with pytest.raises(NotImplementedError, match=r"modeling_tiny\.py:\d+: .*geqrf"):
        model(IDS)


@pytest.mark.parametrize(
    "text, words",
    [
        ("def broken(:\n", "modeling_tiny.py"),
        ("", "a class TinyModel in modeling_tiny.py"),
        ("raise ValueError('no')\n", "ValueError: no"),
    ],
)
def test_code_that_is_none(folder, tmp_path, text, words):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "modeling_tiny.py").write_text(text)
    with pytest.raises(KeraformError, match=words):
        keraform.TFAutoModel.from_pretrained(copy, trust_remote_code=True)


@pytest.mark.parametrize(
    "entry", ["modeling_tiny", "a.b.C", "../x.X", "x--y--z.Z", "", None, ["modeling_tiny.X"], 7, {}]
)
def test_entries_that_name_no_class(folder, tmp_path, entry):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"]["AutoConfig"] = entry
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(KeraformError, match="AutoConfig in the auto_map of"):
        keraform.TFAutoModel.from_pretrained(copy, trust_remote_code=True)


def test_files_that_are_not_there(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "layers_tiny.py").unlink()
    with pytest.raises(KeraformError, match="layers_tiny"):
        keraform.TFAutoModel.from_pretrained(copy, trust_remote_code=True)
    (copy / "modeling_tiny.py").unlink()
    with pytest.raises(KeraformError, match=r"modeling_tiny\.py of"):
        keraform.TFAutoModel.from_pretrained(copy, trust_remote_code=True)


def test_code_of_a_type_that_transformers_has(tmp_path):
    """Without leave its own class is meant, as in Transformers."""
    auto_map = {"AutoModel": "modeling_tiny.TinyModel"}
    config = {"model_type": "bert", "auto_map": auto_map, "hidden_size": 16, "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for found in (
        repositories.reference_in(auto_map, "AutoModel", str(tmp_path), {}),
        repositories.reference_in(
            {"AutoModel": "me/code--modeling_tiny.TinyModel"}, "AutoModel", "x", {}
        ),
    ):
        assert found is not None
        assert not repositories.is_allowed(found, None, True, "x")
        assert repositories.is_allowed(found, True, True, "x")


def test_the_revision_of_code():
    here, there = "modeling_tiny.TinyModel", "me/code--modeling_tiny.TinyModel"
    options = {"revision": "v1", "token": "t", "subfolder": "s"}
    for entry, code_revision, wanted in (
        (here, None, {"revision": "v1", "token": "t"}),
        (here, "v2", {"revision": "v2", "token": "t"}),
        (there, None, {"token": "t"}),
        (there, "v2", {"revision": "v2", "token": "t"}),
    ):
        found = repositories.reference_in(
            {"AutoModel": entry}, "AutoModel", "x", options, code_revision
        )
        assert found is not None and found.options == wanted
        assert found.repository == ("x" if entry is here else "me/code")


COMMITS = ("1" * 40, "a" * 40)


@pytest.fixture
def cache(folder, tmp_path):
    """Two revisions in the Hub's cache; in the second one the code is another."""
    root = tmp_path / "hub"
    repository = root / "models--some-body--tiny.1"
    for commit, name in zip(COMMITS, ("main", "v2"), strict=True):
        shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    code = repository / "snapshots" / COMMITS[1] / "modeling_tiny.py"
    code.write_text(code.read_text().replace("return x + self.down", "return x - self.down"))
    return root


def test_revisions_on_the_hub(folder, cache):
    def load(**options):
        model = keraform.TFAutoModel.from_pretrained(
            "some-body/tiny.1", cache_dir=cache, local_files_only=True, **options
        )
        return np.asarray(model(IDS).last_hidden_state)

    plain = keraform.TFAutoModel.from_pretrained(folder, trust_remote_code=True)
    wanted = np.asarray(plain(IDS).last_hidden_state)
    first, second = load(trust_remote_code=True), load(trust_remote_code=True, revision="v2")
    np.testing.assert_array_equal(first, wanted)
    assert not np.array_equal(second, wanted)
    pinned = load(trust_remote_code=True, code_revision="v2")
    np.testing.assert_array_equal(pinned, second)
    with pytest.raises(KeraformError, match=r"configuration_tiny\.py of some-body/tiny\.1"):
        load()


def test_ports_of_repositories_are_not_found_without_leave():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("keraform.models.transformers_modules.somebody.modeling_x")
