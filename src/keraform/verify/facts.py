"""Recorded facts: the kind of every expression of an upstream modeling file, from runs of all its
classes.

A fact file is JSON under gzip, keyed by the source's hash: `{"module", "source_hash",
"transformers", "facts": {"line:col:end_line:end_col": kind}}`. Lines count from 1, columns from 0
in characters, both ends as in `ast`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import transformers

from keraform.translate.facts_store import facts_file_name
from keraform.verify.classes import model_classes
from keraform.verify.drives import drive
from keraform.verify.fit import fit
from keraform.verify.instrument import instrumented, source_path
from keraform.verify.kinds import merge

_MODELS = "transformers.models"
_DECODERS = tuple(
    f"{_MODELS}.{name}.modeling_{name}" for name in ("llama", "mistral", "qwen3", "mixtral")
)

# Modules that proved types import, and the modules whose classes run them (none: their own).
SHARED: dict[str, tuple[str, ...]] = {
    "transformers.modeling_layers": _DECODERS,
    "transformers.modeling_rope_utils": _DECODERS,
    f"{_MODELS}.resnet.modeling_resnet": (),  # the backbone of detr
}


@dataclass(frozen=True)
class Facts:
    """Kinds of one source file's expressions."""

    module: str
    source_hash: str
    transformers: str
    facts: dict[str, str]

    @property
    def file_name(self) -> str:
        """How the file of these facts is called."""
        return facts_file_name(self.module, self.source_hash)

    def write(self, path: Path) -> None:
        """Same facts, same bytes: keys in the source's order, no time stamp."""
        keys = sorted(self.facts, key=lambda position: tuple(map(int, position.split(":"))))
        record = {
            "module": self.module,
            "source_hash": self.source_hash,
            "transformers": self.transformers,
            "facts": {key: self.facts[key] for key in keys},
        }
        text = json.dumps(record, separators=(",", ":"))
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read_facts(path: Path) -> Facts:
    """Facts from a file that `Facts.write` wrote."""
    return Facts(**json.loads(gzip.decompress(path.read_bytes())))


def record_facts(module_name: str, through: Sequence[str] = ()) -> Facts:
    """Run all classes of an upstream modeling module on tiny inputs and record what its expressions
    are.

    Args:
        module_name: for instance `transformers.models.bert.modeling_bert`.
        through: for a module without model classes (`transformers.modeling_layers`), the modeling
            modules that use it.
    """
    with instrumented(module_name, *through) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in through or (module_name,):
            for model_class in model_classes(made[name][0]):
                drive(fit(model_class))
        recorder = made[module_name][1]
    pairs = zip(recorder.positions, recorder.kinds, strict=True)
    return Facts(
        module=module_name,
        source_hash=source_hash(module_name),
        transformers=transformers.__version__,
        facts={position: merge(kinds) for position, kinds in pairs if kinds},
    )


def source_hash(module_name: str) -> str:
    """SHA-256 of the module's source file."""
    return hashlib.sha256(source_path(module_name).read_bytes()).hexdigest()
