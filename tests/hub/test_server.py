"""The small Hub of the tests answers as `huggingface_hub` expects of the real one."""

from __future__ import annotations

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hub.state import Account

NAME = "somebody/tiny"


@pytest.fixture
def api(hub):
    return HfApi(token="hf_writer")


def push(api, content, path="a.json", **options):
    operations = [CommitOperationAdd(path, content)]
    return api.create_commit(NAME, operations, commit_message="a", **options)


def test_commits_branches_and_pull_requests(hub, api):
    assert api.whoami()["name"] == "somebody"
    url = api.create_repo("tiny", private=True)
    assert url.repo_id == NAME and hub.repos["model", NAME].private
    assert api.create_repo(NAME, exist_ok=True).repo_id == NAME
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo(NAME)
    push(api, b"{}")
    api.create_branch(NAME, branch="dev/x")
    push(api, b"[]", revision="dev/x")
    found = push(api, b"w" * 99, "w.safetensors", create_pr=True)
    assert found.pr_num == 1 and found.pr_revision == "refs/pr/1"
    assert hub.files(NAME)["a.json"] == b"{}" and hub.files(NAME, "dev/x")["a.json"] == b"[]"
    assert hub.files(NAME, "refs/pr/1")["w.safetensors"] == b"w" * 99
    refs = api.list_repo_refs(NAME, include_pull_requests=True)
    assert [ref.name for ref in refs.branches] == ["main", "dev/x"] and len(refs.pull_requests) == 1
    push(api, b"1", "sub/b.json", revision="refs/pr/1")
    assert api.list_repo_files(NAME, revision="refs/pr/1") == [
        ".gitattributes",
        "a.json",
        "sub/b.json",
        "w.safetensors",
    ]
    top = [each.path for each in api.list_repo_tree(NAME, revision="refs/pr/1")]
    assert top == [".gitattributes", "a.json", "w.safetensors", "sub"]
    assert api.get_paths_info(NAME, ["w.safetensors"], revision="refs/pr/1")[0].lfs.size == 99
    api.create_commit(NAME, [CommitOperationDelete("a.json")], commit_message="away")
    assert list(hub.files(NAME)) == [".gitattributes"]


def test_downloads_are_cached_and_resumed(hub):
    content = bytes(range(256)) * 4000
    commit = hub.put(NAME, {"w.safetensors": content, "sub/a.json": b"{}"})
    hub.fail("GET", "w.safetensors", cut=1000)
    path = hf_hub_download(NAME, "w.safetensors")
    with open(path, "rb") as file:
        assert file.read() == content
    assert commit in path and hub.requests.count(f"GET /{NAME}/resolve/main/w.safetensors") == 2
    folder = snapshot_download(NAME)
    assert commit in folder
    before = len(hub.requests)
    constants.HF_HUB_OFFLINE = True  # the fixture sets it back
    assert snapshot_download(NAME) == folder and len(hub.requests) == before
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download("somebody/other", "a.json")


def test_large_files_go_up_in_parts_and_again_after_failures(hub, api):
    api.create_repo(NAME)
    hub.part_size = 1000
    hub.fail("PUT", "/lfs/.*/00002", status=503)
    hub.fail("PUT", "/lfs/.*/00003", cut=10)
    push(api, b"x" * 3500, "w.bin")
    assert hub.files(NAME)["w.bin"] == b"x" * 3500
    parts = [request for request in hub.requests if request.startswith("PUT")]
    assert len(parts) == 4 + 2
    push(api, b"x" * 3500, "v.bin")  # known already: nothing goes up
    assert hub.files(NAME)["v.bin"] == b"x" * 3500 and len(hub.requests) - len(parts) < 20
    assert [request for request in hub.requests if request.startswith("PUT")] == parts


def test_who_may_do_what(hub, api):
    hub.tokens |= {"hf_reader": Account("somebody", may_write=False), "hf_other": Account("else")}
    hub.create(NAME, private=True)
    hub.put("somebody/open", {"a.json": b"{}"})
    hub.create("somebody/gated", gated=True)
    for token in (False, "hf_other"):
        with pytest.raises(RepositoryNotFoundError):
            HfApi(token=token).model_info(NAME)
    for token, status in ((False, 401), ("hf_reader", 403), ("hf_other", 403)):
        with pytest.raises(HfHubHTTPError) as error:
            HfApi(token=token).create_commit(
                "somebody/open", [CommitOperationAdd("a.json", b"[]")], commit_message="no"
            )
        assert error.value.response.status_code == status
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(token="hf_wrong").whoami()
    with pytest.raises(GatedRepoError):
        hf_hub_download("somebody/gated", ".gitattributes")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("somebody/open", "b.json")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("somebody/open", "a.json", revision="v9")
    with pytest.raises(HfHubHTTPError, match="rights to create"):
        api.create_repo("else/new")
