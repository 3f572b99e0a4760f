"""The same inputs give the same bytes, twice in a process and whatever the hash seed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from keraform.translate.facts_store import load_facts
from keraform.translate.module import ModuleTranslator
from keraform.translate.source import read_module

MODULES = ("transformers.models.bert.modeling_bert", "transformers.models.t5.modeling_t5")

SCRIPT = """
import hashlib, sys
from keraform.translate.facts_store import load_facts
from keraform.translate.module import ModuleTranslator
from keraform.translate.source import read_module
for module in sys.argv[1:]:
    source = read_module(module)
    code = ModuleTranslator(source, load_facts(source)[0]).translate().code
    print(hashlib.sha256(code.encode()).hexdigest())
"""


def digest(module: str) -> str:
    source = read_module(module)
    code = ModuleTranslator(source, load_facts(source)[0]).translate().code
    return hashlib.sha256(code.encode()).hexdigest()


@pytest.fixture(scope="module")
def digests() -> list[str]:
    return [digest(module) for module in MODULES]


def test_twice_in_one_process(digests: list[str]) -> None:
    assert [digest(module) for module in MODULES] == digests


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_in_a_fresh_process_with_another_hash_seed(digests: list[str], seed: str) -> None:
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *MODULES],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == digests
