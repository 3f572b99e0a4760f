"""Rewrites what the sections of docs/rules/*.md expect: `PYTHONPATH=src:tests python -m
translate.update_cases [PAGE...]`, then read the diff.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from translate.rule_cases import FOLDER, expectation, parse, render, sections, translate


def update(path: Path) -> int:
    """Rewrites one page; returns how many of its sections changed."""
    head = re.split(r"^## ", path.read_text("utf-8"), maxsplit=1, flags=re.M)[0]
    changed, texts = 0, []
    for text in sections(path):
        case = parse(path, text)
        expected = expectation(translate(case.torch), case.torch)
        changed += expected != case.expected
        texts.append(render(replace(case, expected=expected)))
    path.write_text(head + "\n".join(texts), encoding="utf-8")
    return changed


def main(names: list[str]) -> None:
    """Rewrites the pages named, or all of them."""
    for path in sorted(FOLDER.glob("*.md")):
        if not names or path.stem in names:
            print(f"{path.name}: {update(path)} sections changed")


if __name__ == "__main__":
    main(sys.argv[1:])
