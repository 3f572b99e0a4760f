"""The guard itself sees what it should see."""

from __future__ import annotations

import os
import time

import pytest

from attacks import conftest
from keraform.errors import KeraformError


def test_it_sees_commands_and_files(tmp_path):
    for act in (
        lambda: os.system("true"),
        lambda: (tmp_path / "made").write_text(""),
        lambda: os.remove(tmp_path / "made"),
        lambda: os.mkdir(tmp_path / "folder"),
    ):
        with pytest.raises(AssertionError), conftest.guarded():
            act()


def test_it_ends_what_does_not_end(monkeypatch):
    monkeypatch.setattr(conftest, "SECONDS", 0.05)
    with pytest.raises(conftest.TooLate), conftest.guarded():
        time.sleep(5)
    with pytest.raises(MemoryError), conftest.guarded():
        bytearray(2 * conftest.MEMORY)


def test_it_wants_errors_in_three_parts(refuses):
    def bad():
        raise KeraformError("no")

    with pytest.raises(AssertionError):
        refuses(bad)
