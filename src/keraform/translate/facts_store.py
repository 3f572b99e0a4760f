"""Recorded facts: kinds of expressions seen in runs of the torch twin, shipped with Keraform, keyed
by source hash.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

from keraform.translate.source import Source

FOLDER = Path(__file__).parent / "facts"


def facts_path(module: str) -> Path:
    """The file that holds the facts of an upstream module."""
    return FOLDER / (module.rsplit(".", 1)[-1].removeprefix("modeling_") + ".json.gz")


def load_facts(source: Source) -> tuple[dict[str, str], str]:
    """The facts of a source and their hash; nothing when this text was never recorded."""
    path = facts_path(source.module)
    if not path.is_file():
        return {}, ""
    data = path.read_bytes()
    record = json.loads(gzip.decompress(data))
    if record.get("source_hash") != source.hash:
        return {}, ""
    return record["facts"], hashlib.sha256(data).hexdigest()
