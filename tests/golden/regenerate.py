"""Writes the ports of the golden models; `make golden`, or with --check only says which differ."""

from __future__ import annotations

import sys
from pathlib import Path

from keraform.translate import translate_source

HERE = Path(__file__).resolve().parent
MODELS = ("encoder", "decoder", "convnet")


def port_of(name: str) -> str:
    """The port of one golden model, as the translator writes it now."""
    source = (HERE / name / "torch_model.py").read_text("utf-8")
    filename = f"tests/golden/{name}/torch_model.py"
    translation = translate_source(source, filename=filename)
    if translation.refusals:
        first = translation.refusals[0]
        raise SystemExit(f"{first.file}:{first.line}: refused by {first.rule}: {first.reason}")
    # the rules' version changes with every edit of the translator, and a port need not
    lines = translation.code.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("# rules: "))


def main() -> int:
    """Writes all ports; with --check writes none and ends with 1 when one differs."""
    check = "--check" in sys.argv[1:]
    different = []
    for name in MODELS:
        path = HERE / name / "port.py"
        code = port_of(name)
        if not path.exists() or path.read_text("utf-8") != code:
            different.append(name)
            if not check:
                path.write_text(code, "utf-8")
    print(f"{len(MODELS) - len(different)} unchanged, {len(different)} different: {different}")
    return int(check and bool(different))


if __name__ == "__main__":
    raise SystemExit(main())
