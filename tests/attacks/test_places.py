"""Indexes that lead elsewhere, and names that are no files."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from keraform.hub import Repository, read_weights

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A checkpoint in two shards, with something outside."""
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": np.ones(2)}, folder / FIRST)
    save_file({"b": np.ones(2)}, folder / SECOND)
    save_file({"secret": np.ones(2)}, tmp_path / "outside.safetensors")
    return folder


def names(*shards, **keys):
    """An index in which the keys a, b, c... lie in the given files."""
    found = dict(zip("abcdefgh", shards, strict=False)) | keys
    return {"metadata": {"total_size": 16}, "weight_map": found}


# name: (the index, what the error says)
INDEXES = {
    "up": (names("../outside.safetensors"), "'../outside.safetensors'"),
    "up and down": (names("../model/" + FIRST), "'../model/"),
    "down": (names("shards/" + FIRST), "'shards/"),
    "absolute": (names("/etc/passwd"), "'/etc/passwd'"),
    "home": (names("~/.ssh/id_rsa"), "'~/.ssh/id_rsa'"),
    "Windows": (names("..\\outside.safetensors"), "outside.safetensors'"),
    "a drive": (names("C:\\outside.safetensors"), "outside.safetensors'"),
    "an address": (names("https://example.org/x.safetensors"), "'https://"),
    "file address": (names("file:///etc/passwd"), "'file:///etc/passwd'"),
    "here": (names("."), "'.'"),
    "parent": (names(".."), "'..'"),
    "nothing": (names(""), "''"),
    "itself": (names(INDEX), INDEX),
    "NUL": (names("a\0.safetensors"), "\\x00"),
    "newline": (names(FIRST + "\n"), FIRST),
    "long": (names("a" * 5000), "a" * 100),
    "missing": (names(FIRST, "model-00003-of-00002.safetensors"), "model-00003-of-00002"),
    "other case": (names(FIRST.upper()), FIRST.upper()),
    "number": (names(7), "weight_map is"),
    "list": (names([FIRST]), "weight_map is"),
    "null": (names(None), "weight_map is"),
    "nested": (names({"a": FIRST}), "weight_map is"),
    "no map": ({"metadata": {}}, "weight_map is None"),
    "map is a list": ({"weight_map": [FIRST]}, "weight_map is"),
    "map is text": ({"weight_map": FIRST}, "weight_map is"),
    "map is null": ({"weight_map": None}, "weight_map is"),
    "empty map": ({"weight_map": {}}, "weight_map is {}"),
    "key that is not there": (names(FIRST, x=FIRST, b=SECOND), f"x in {FIRST}"),
    "keys the other way round": (names(SECOND, FIRST), f"a in {SECOND}"),
    "key of another file": (names(SECOND, SECOND), f"a in {SECOND}"),
}
TEXTS = {
    "not JSON": "{'weight_map': {}}",
    "empty": "",
    "a list": "[]",
    "null": "null",
    "half": '{"weight_map": {"a"',
    "key twice": f'{{"weight_map": {{"a": "{FIRST}", "a": "{SECOND}"}}}}',
    "map twice": f'{{"weight_map": {{"a": "{FIRST}"}}, "weight_map": {{}}}}',
    "deep": '{"weight_map":' * 10**5,
    "deep lists": "[" * 10**5,
    "NaN": f'{{"metadata": {{"total_size": NaN}}, "weight_map": {{"a": "{FIRST}"}}}}',
    "HTML": "<html>404</html>",
    "Git LFS": "version https://git-lfs.github.com/spec/v1\n",
    "not UTF-8": b'{"weight_map": {"\xff": "a"}}',
}


@pytest.mark.parametrize("name", INDEXES)
def test_index(folder, refuses, name):
    index, words = INDEXES[name]
    (folder / INDEX).write_text(json.dumps(index))
    refuses(lambda: read_weights(Repository.of(folder)), words, INDEX)


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_an_index(folder, refuses, name):
    text = TEXTS[name]
    (folder / INDEX).write_bytes(text if isinstance(text, bytes) else text.encode())
    refuses(lambda: read_weights(Repository.of(folder)), str(folder / INDEX))


@pytest.mark.parametrize("form", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_without_end(folder, refuses, form):
    with (folder / form).open("w") as file:
        file.truncate(2**40)
    refuses(lambda: read_weights(Repository.of(folder)), str(folder / form))


def test_a_key_in_two_shards(folder, refuses):
    save_file({"a": np.ones(2), "b": np.ones(2)}, folder / SECOND)
    (folder / INDEX).write_text(json.dumps(names(FIRST, SECOND)))
    refuses(lambda: read_weights(Repository.of(folder)), "a in", FIRST, SECOND)


def directory(path):
    path.mkdir()


def pipe(path):
    os.mkfifo(path)


def dangling(path):
    path.symlink_to(path.parent / "nowhere")


def loop(path):
    path.symlink_to(path)


def link_to(target):
    return lambda path: path.symlink_to(target)


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        where = os.getcwd()
        os.chdir(path.parent)  # a socket's path has at most 107 bytes
        server.bind(path.name)
        os.chdir(where)


PLACES = {
    "a directory": (directory, "a directory"),
    "a pipe": (pipe, "a pipe"),
    "a socket": (listening, "a socket"),
    "a link to nowhere": (dangling, "No such file"),
    "a link to itself": (loop, "symbolic links"),
    "a link to a device without end": (link_to("/dev/zero"), "a device"),
    "a link to random numbers": (link_to("/dev/urandom"), "a device"),
    "a link to a directory": (link_to("/etc"), "a directory"),
    "a link to another file": (link_to("/etc/passwd"), ""),
    "a link to memory": (link_to("/proc/self/mem"), ""),
}
FILES = ("model.safetensors", "pytorch_model.bin", FIRST)


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file(folder, refuses, name, kind):
    make, words = PLACES[kind]
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    if name == FIRST:
        (folder / INDEX).write_text(json.dumps(names(FIRST, SECOND)))
    refuses(lambda: read_weights(Repository.of(folder)), str(folder / name), words)


@pytest.mark.parametrize("name", FILES)
def test_files_that_may_not_be_read(refuses, name):
    """As somebody who is not root, in a directory that everybody may look into."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        save_file({"a": np.ones(2)}, folder / name)
        (folder / name).chmod(0)
        if name == FIRST:
            (folder / INDEX).write_text(json.dumps(names(FIRST)))
        user = os.geteuid()
        try:
            os.seteuid(user or 65534)
            refuses(lambda: read_weights(Repository.of(folder)), str(folder / name), "may not read")
        finally:
            os.seteuid(user)
