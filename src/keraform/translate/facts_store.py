"""Recorded facts: kinds of expressions seen in runs of the torch twin, shipped with Keraform, keyed
by source hash.

A module has one file for each of its texts that was recorded, so that users of several releases of
Transformers get the same quality of code.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

from keraform.translate.source import Source

FOLDER = Path(__file__).parent / "facts"


def facts_file_name(module: str, source_hash: str) -> str:
    """`transformers.models.bert.modeling_bert` -> `bert-1a2b3c4d.json.gz`; other modules go by
    their last name.
    """
    name = module.rsplit(".", 1)[-1].removeprefix("modeling_")
    return f"{name}-{source_hash[:8]}.json.gz"


def load_facts(source: Source) -> tuple[dict[str, str], str]:
    """The facts of a source and their hash; nothing when this text was never recorded."""
    path = FOLDER / facts_file_name(source.module, source.hash)
    if not path.is_file():
        return {}, ""
    data = path.read_bytes()
    record = json.loads(gzip.decompress(data))
    if record.get("source_hash") != source.hash:
        return {}, ""
    return record["facts"], hashlib.sha256(data).hexdigest()
