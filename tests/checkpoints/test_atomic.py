"""Whatever ends a save, the directory holds the old checkpoint or the new one, never a mix."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import transformers

from checkpoints import saver
from keraform.checkpoints.atomic import replaced_together
from keraform.checkpoints.safetensors_files import is_weights, read_safetensors, write_safetensors
from keraform.checkpoints.tensors import in_memory
from keraform.errors import KeraformError
from keraform.runtime.tree import named_weights
from modeling import mini_bert

OLD = {"config.json": "old", "model.safetensors": "old", "generation_config.json": "old"}
NEW = {
    "config.json": "new",
    "model.safetensors.index.json": "new",
    "model-00001-of-00002.safetensors": "new",
    "model-00002-of-00002.safetensors": "new",
}
AFTER = {**NEW, "generation_config.json": "old"}
_STEPS = {"os.rename", "os.symlink", "os.link", "os.remove", "os.rmdir", "os.mkdir", "open"}
_watcher = None


def _audit(event, arguments):
    if _watcher is not None and event in _STEPS:
        _watcher(str(arguments[0]))


sys.addaudithook(_audit)


class Watch:
    """Copies a directory before each step (of Python, at files in it) that changes it.

    A process that is killed leaves one of these states: nothing that it does between two steps can
    be seen under the names of a checkpoint's files.
    """

    def __init__(self, folder, copies):
        self.folder, self.copies, self.states = folder, copies, []

    def __enter__(self):
        global _watcher
        _watcher = self.see
        return self

    def __exit__(self, *error):
        global _watcher
        _watcher = None
        self.see(str(self.folder))

    def see(self, path):
        global _watcher
        if not path.startswith(str(self.folder)) or not self.folder.exists():
            return
        watcher, _watcher = _watcher, None
        copy = self.copies / f"{len(self.states):03d}"
        shutil.copytree(self.folder, copy, symlinks=True)
        self.states.append(copy)
        _watcher = watcher


def write(folder, files):
    with replaced_together(folder, is_weights) as new:
        for name, content in files.items():
            (new / name).write_text(content)


def seen(folder):
    """What opens under which name: leftovers of a save have names of their own."""
    names = [path for path in folder.iterdir() if not path.name.startswith(".saving")]
    return {path.name: path.read_text() for path in names if path.is_file()}


@pytest.mark.parametrize(
    "before, files, after", [(OLD, NEW, AFTER), (NEW, OLD, OLD), ({}, NEW, NEW)]
)
def test_every_state_of_a_save_is_old_or_new(tmp_path, before, files, after):
    folder = tmp_path / "x"
    write(folder, before)
    with Watch(folder, tmp_path) as watch:
        write(folder, files)
    found = [seen(state) for state in watch.states]
    assert len(found) > 25 and found[0] == before and found[-1] == after
    switched = found.index(after)
    assert all(each == before for each in found[:switched])
    assert all(each == after for each in found[switched:])
    third = {"config.json": "third", "model.safetensors": "third"}
    for state, content in zip(watch.states, found, strict=True):
        write(state, third)  # the next save leaves nothing of a killed one
        kept = {name: text for name, text in content.items() if not is_weights(name)}
        assert seen(state) == {**kept, **third} and not list(state.glob(".*"))


def test_without_links_each_file_is_whole(tmp_path, monkeypatch):
    write(tmp_path, OLD)

    def refuse(*args, **kwargs):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path, NEW)
    assert seen(tmp_path) == AFTER and not list(tmp_path.glob(".*"))


def test_a_failed_save_changes_nothing(tmp_path):
    write(tmp_path, OLD)
    for error in (KeyboardInterrupt, MemoryError):
        with pytest.raises(error), replaced_together(tmp_path, is_weights) as new:
            (new / "config.json").write_text("half")
            raise error
    assert seen(tmp_path) == OLD and not list(tmp_path.glob(".*"))


def test_a_failure_among_the_links_changes_nothing(tmp_path, monkeypatch):
    write(tmp_path, OLD)
    replace, calls = os.replace, []

    def fail_once(source, target):
        calls.append(target)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(KeraformError, match=r"No space left on device\n.*is whole"):
        write(tmp_path, NEW)
    assert seen(tmp_path) == OLD and not list(tmp_path.glob(".*"))


def test_savers_wait_for_each_other(tmp_path):
    texts = [str(number) for number in range(8)]
    threads = [
        threading.Thread(target=write, args=(tmp_path, dict.fromkeys(OLD, text))) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen(tmp_path).values())) == 1 and not list(tmp_path.glob(".*"))


def test_files_are_as_open_makes_them(tmp_path):
    mask = os.umask(0o027)
    try:
        write_safetensors(tmp_path, in_memory({"w": np.ones(2)}))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o640


def test_a_file_of_the_hubs_cache_stays_what_it_is(tmp_path):
    (tmp_path / "blob").write_text("old")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.json").symlink_to("../blob")
    write(tmp_path / "x", {"config.json": "new"})
    assert seen(tmp_path / "x") == {"config.json": "new"}
    assert (tmp_path / "blob").read_text() == "old"


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    """A limit on the size of files stands in for it: writing fails the same way, half-way."""
    write_safetensors(tmp_path, in_memory({"w": np.ones(2)}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(KeraformError) as error:
            write_safetensors(tmp_path, in_memory({"w": np.ones(100_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for words in (f"room for the new files in {tmp_path}", "model.safetensors: ", "is whole"):
        assert words in str(error.value)
    assert read_safetensors([tmp_path / "model.safetensors"])["w"].read().tolist() == [1, 1]
    assert not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def models():
    """Two models that differ in sizes and values, and how they are saved."""
    made = [mini_bert.TFBertForMaskedLM(mini_bert.tiny_config(**each)) for each in saver.CHANGES]
    return list(zip(made, saver.SHARDS, strict=True))


def digest(values):
    """One hash of arrays by key."""
    found = hashlib.sha256()
    for key in sorted(values):
        found.update(key.encode() + values[key].tobytes())
    return found.hexdigest()


def weights(model):
    return digest({weight.key: np.asarray(weight.variable) for weight in named_weights(model)})


def loaded(folder):
    """What a directory holds, as both libraries load it."""
    model = mini_bert.TFBertForMaskedLM.from_pretrained(folder, strict=True)
    there, info = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    return weights(model), digest({k: v.numpy() for k, v in there.state_dict().items()})


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", [0, 1])
def test_states_load_here_and_in_torch(models, tmp_path, first, every):
    folder = tmp_path / "x"
    (old, size), (new, other_size) = models[first], models[1 - first]
    old.save_pretrained(folder, max_shard_size=size)
    before = loaded(folder)
    with Watch(folder, tmp_path) as watch:
        new.save_pretrained(folder, max_shard_size=other_size)
    after = loaded(folder)
    assert before[0] == weights(old) and after[0] == weights(new) and before[1] != after[1]
    found = [(before, after).index(loaded(state)) for state in watch.states[::-every]]
    assert found == sorted(found, reverse=True) and set(found) == {0, 1}


@pytest.mark.slow
def test_fifty_kills(tmp_path, repository):
    folder = tmp_path / "x"
    command = [sys.executable, "-m", "checkpoints.saver", str(folder)]
    paths = os.pathsep.join([str(repository / "tests"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    rng = random.Random(0)
    with process:
        assert process.stdout.readline() == "ready\n"
        known = [loaded(f"{folder}-{number}") for number in (0, 1)]
        found = []
        for kill in range(50):
            process.stdin.write(f"{kill % 2}\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            time.sleep(rng.uniform(0, 0.6) if kill else 2)  # a save takes 0.1 s to 0.3 s
            os.kill(child, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            found.append(known.index(loaded(folder)))
        process.stdin.close()
    assert set(found) == {0, 1}
