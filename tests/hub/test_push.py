"""Models go to the Hub and come back: branches, pull requests, tokens, failures half-way."""

from __future__ import annotations

import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard, constants

from hub.state import Account
from keraform.errors import KeraformError
from keraform.hub.push import Target
from keraform.runtime.tree import named_weights
from modeling import mini_bert

NAME = "somebody/tiny"


@pytest.fixture(scope="module")
def models():
    return [mini_bert.TFBertForMaskedLM(mini_bert.tiny_config()) for _ in range(2)]


@pytest.fixture
def login(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    return hub


def weights(model):
    return [(each.key, np.asarray(each.variable).tobytes()) for each in named_weights(model)]


def refused(function, *words):
    with pytest.raises(KeraformError) as error:
        function()
    for word in ("expected: ", "\ngot: ", "\ntry: ", *words):
        assert word in str(error.value), str(error.value)


def test_there_and_back(login, models):
    found = models[0].push_to_hub("tiny", private=True, commit_message="First")
    assert found.oid == login.repos["model", NAME].refs["refs/heads/main"]
    assert login.repos["model", NAME].messages[found.oid] == "First"
    assert login.repos["model", NAME].private
    names = [".gitattributes", "README.md", "config.json", "model.safetensors"]
    assert list(login.files(NAME)) == names
    again = mini_bert.TFBertForMaskedLM.from_pretrained(NAME, strict=True)
    assert weights(again) == weights(models[0]) and again.name_or_path == NAME
    before = len(login.requests)
    constants.HF_HUB_OFFLINE = True  # the fixture sets it back
    assert weights(mini_bert.TFBertForMaskedLM.from_pretrained(NAME)) == weights(models[0])
    assert len(login.requests) == before


def test_shards_do_not_mix_with_what_was_there(login, models):
    models[0].push_to_hub(NAME)
    models[1].push_to_hub(NAME, max_shard_size="4KB")
    assert "model.safetensors" not in login.files(NAME)
    assert weights(mini_bert.TFBertForMaskedLM.from_pretrained(NAME)) == weights(models[1])
    models[0].push_to_hub(NAME)
    assert not [name for name in login.files(NAME) if "-of-" in name or "index" in name]
    assert weights(mini_bert.TFBertForMaskedLM.from_pretrained(NAME)) == weights(models[0])


def test_branches_revisions_and_pull_requests(login, models):
    commit = models[0].push_to_hub(NAME).oid
    models[1].push_to_hub(NAME, revision="dev/one")
    login.tokens["hf_other"] = Account("else")
    proposed = models[1].push_to_hub(NAME, create_pr=True, token="hf_other")
    assert proposed.pr_num == 1 and proposed.pr_url.endswith("/discussions/1")
    revisions = {None: 0, commit: 0, "dev/one": 1, "refs/pr/1": 1}
    for revision, index in revisions.items():
        found = mini_bert.TFBertForMaskedLM.from_pretrained(NAME, revision=revision)
        assert weights(found) == weights(models[index]), revision
    models[0].push_to_hub(NAME, revision="refs/pr/1")
    found = mini_bert.TFBertForMaskedLM.from_pretrained(
        NAME, revision="refs/pr/1", force_download=True
    )
    assert weights(found) == weights(models[0])


def test_save_pretrained_pushes_and_subfolders_load(login, models, tmp_path):
    models[0].save_pretrained(tmp_path / "tiny", push_to_hub=True, tags="demo", private=True)
    assert "demo" in ModelCard(login.files(NAME)["README.md"].decode()).data.tags
    assert not (tmp_path / "tiny" / "README.md").exists()
    login.put(NAME, {f"sub/{path.name}": path for path in (tmp_path / "tiny").iterdir()})
    found = mini_bert.TFBertForMaskedLM.from_pretrained(NAME, subfolder="sub", strict=True)
    assert weights(found) == weights(models[0])
    with pytest.raises(TypeError, match="got: repo_id"):
        models[0].save_pretrained(tmp_path, repo_id="tiny")


def test_what_the_repository_has_stays(login, models, tmp_path):
    (tmp_path / "x").mkdir()
    models[0].save_pretrained(tmp_path / "x")
    files = {"tokenizer.json": "old", "vocab.txt": "old"}
    for name, text in files.items():
        (tmp_path / "x" / name).write_text(text)
    model = mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path / "x")
    login.put(NAME, {"tokenizer.json": b"mine", "README.md": b"---\ntags:\n- own\n---\n# Mine\n"})
    model.push_to_hub(NAME)
    assert login.files(NAME)["tokenizer.json"] == b"mine" and "vocab.txt" not in login.files(NAME)
    assert b"# Mine" in login.files(NAME)["README.md"]
    model.push_to_hub(NAME, tags=["own", "more"])
    card = ModelCard(login.files(NAME)["README.md"].decode())
    assert card.data.tags == ["own", "more"] and card.text.strip() == "# Mine"
    model.push_to_hub("somebody/new")
    assert login.files("somebody/new")["vocab.txt"] == b"old"


def test_failures_on_the_way_are_tried_again(login, models):
    login.part_size = 3000
    login.fail("POST", "/api/repos/create", status=503)
    login.fail("PUT", "/lfs/.*/00002", cut=10)
    login.fail("PUT", "/lfs/.*/00001", status=500)
    login.fail("POST", "/commit/main", cut=100)
    login.fail("POST", "/preupload/", status=502)
    models[0].push_to_hub(NAME)
    assert all(failure.times == 0 for failure in login.failures)
    login.fail("GET", "model.safetensors", cut=2000)
    assert weights(mini_bert.TFBertForMaskedLM.from_pretrained(NAME)) == weights(models[0])
    parts = [request for request in login.requests if request.startswith("PUT")]
    assert len(parts) == len(set(parts)) + 2


def test_a_lost_answer_is_no_failure(login, models):
    models[0].push_to_hub(NAME)
    login.fail("POST", "/commit/main", lost=True)
    models[1].push_to_hub(NAME, max_shard_size="4KB")
    assert len(login.repos["model", NAME].commits) == 3
    assert weights(mini_bert.TFBertForMaskedLM.from_pretrained(NAME)) == weights(models[1])


def test_a_push_that_fails_for_good_changes_nothing(login, models):
    models[0].push_to_hub(NAME)
    before = login.files(NAME)
    login.fail("POST", "/commit/main", times=99, status=500)
    refused(lambda: models[1].push_to_hub(NAME, max_shard_size="4KB"), "status 500: out of order")
    assert login.files(NAME) == before
    login.failures.clear()
    models[1].push_to_hub(NAME, max_shard_size="4KB")
    assert weights(mini_bert.TFBertForMaskedLM.from_pretrained(NAME)) == weights(models[1])


def test_a_pull_request_is_opened_once(login, models):
    models[0].push_to_hub(NAME)
    login.fail("POST", "/commit/main", status=500)
    refused(lambda: models[1].push_to_hub(NAME, create_pr=True), "status 500")
    assert list(login.repos["model", NAME].refs) == ["refs/heads/main"]


def test_refusals(hub, models):
    push = models[0].push_to_hub
    refused(lambda: push(NAME), "a token that may write to somebody/tiny", "hf auth login")
    refused(lambda: push(NAME, token=True), "a token that may write to somebody/tiny", "none")
    refused(lambda: push(NAME, token="hf_wrong"), "Invalid credentials", "hf auth login")
    hub.tokens |= {"hf_reader": Account("somebody", may_write=False), "hf_other": Account("else")}
    refused(lambda: push(NAME, token="hf_reader"), "the right to write", "don't have the rights")
    hub.create(NAME)
    refused(lambda: push(NAME, token="hf_other"), "don't have the rights", "create_pr=True")
    refused(lambda: push("a/b/c", token="hf_writer"), "repo_id='a/b/c'")
    refused(lambda: push(NAME, token="hf_writer", revision="refs/pr/7"), "Invalid rev id")
    constants.HF_HUB_OFFLINE = True
    refused(lambda: push(NAME), f"an answer from {hub.url}", "hf upload somebody/tiny")


def test_no_connection(hub, models, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    refused(lambda: models[0].push_to_hub(NAME), "an answer from http://127.0.0.1:1", "refused")


def test_private_and_gated_repositories_need_a_token(hub, models, tmp_path):
    models[0].push_to_hub(NAME, private=True, token="hf_writer")
    load = mini_bert.TFBertForMaskedLM.from_pretrained
    refused(lambda: load(NAME), "token=")
    assert weights(load(NAME, token="hf_writer")) == weights(models[0])
    hub.repos["model", NAME].private, hub.repos["model", NAME].gated = False, True
    refused(lambda: load(NAME, cache_dir=tmp_path / "empty"), "gated")


@pytest.mark.slow
def test_large_files(login, tmp_path):
    """300 MB in parts, cut on the way up and on the way down."""
    size = 300 << 20
    folder = tmp_path / "up"
    folder.mkdir()
    with open(folder / "model.safetensors", "wb") as file:
        file.seek(size)  # sparse
        file.write(b"the end")
    login.fail("PUT", "/lfs/.*/00009", cut=1 << 20)
    Target(NAME).commit(folder, "large")
    login.fail("GET", "model.safetensors", cut=200 << 20)
    path = HfApi().hf_hub_download(NAME, "model.safetensors")
    with open(path, "rb") as file:
        file.seek(size)
        assert file.read() == b"the end"
    assert sum(request.startswith("PUT") for request in login.requests) == 19 + 1
