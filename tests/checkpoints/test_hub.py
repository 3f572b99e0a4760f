"""A model's files are found in directories, subfolders and the Hub's cache, offline."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import keraform
from keraform.errors import KeraformError
from keraform.hub import Repository
from modeling import mini_bert

COMMITS = ("1" * 40, "2" * 40)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with two revisions of one repository, as huggingface_hub lays it out."""
    root = tmp_path_factory.mktemp("hub")
    folder = root / "models--somebody--tiny-bert"
    models = []
    for commit, name in zip(COMMITS, ("main", "v2"), strict=True):
        model = mini_bert.TFBertModel(mini_bert.tiny_config())
        model.save_pretrained(folder / "snapshots" / commit)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / name).write_text(commit)
        models.append(model)
    return root, models


def table(model):
    return np.asarray(model.get_input_embeddings().embeddings)


@pytest.mark.parametrize("revision, index", [(None, 0), ("main", 0), ("v2", 1), (COMMITS[1], 1)])
def test_revisions_from_the_cache(cache, revision, index):
    root, models = cache
    for cls in (mini_bert.TFBertModel, keraform.TFAutoModel):
        found = cls.from_pretrained(
            "somebody/tiny-bert", cache_dir=root, revision=revision, local_files_only=True
        )
        assert np.array_equal(table(found), table(models[index]))
        assert found.name_or_path == "somebody/tiny-bert"


def test_what_the_cache_has_not_is_an_error(cache):
    root, _ = cache
    for name in ("somebody/other", "somebody"):
        with pytest.raises(KeraformError, match="got: ") as error:
            keraform.TFAutoModel.from_pretrained(name, cache_dir=root, local_files_only=True)
        assert name in str(error.value) or "config.json" in str(error.value)


def test_subfolders(tmp_path):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    model.save_pretrained(tmp_path / "encoder")
    found = keraform.TFAutoModel.from_pretrained(tmp_path, subfolder="encoder")
    assert np.array_equal(table(found), table(model))
    with pytest.raises(KeraformError, match=r"no directory .*decoder"):
        keraform.TFAutoModel.from_pretrained(tmp_path, subfolder="decoder")


def test_paths_are_no_ids(tmp_path):
    for name in ("/no/where", "./nowhere", "a/b/c"):
        with pytest.raises(KeraformError, match="no such directory"):
            Repository.of(name).find("config.json")
    file = tmp_path / "weights"
    file.write_text("")
    with pytest.raises(KeraformError, match="a file"):
        Repository.of(file).find("config.json")


def test_the_original_may_be_gone_after_loading(tmp_path):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    model.save_pretrained(tmp_path / "a")
    found = mini_bert.TFBertModel.from_pretrained(tmp_path / "a")
    file = tmp_path / "a" / "model.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)  # in place: a mapped file would change too
    shutil.rmtree(tmp_path / "a")
    assert np.array_equal(table(found), table(model))
