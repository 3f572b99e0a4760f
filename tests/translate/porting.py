"""Ports of small sources, for the tests of the translator."""

from __future__ import annotations

import textwrap

from keraform.translate import Translation, translate_source

# Where a source stands when its relative imports matter.
MODULE = "transformers.models.bert.modeling_mini"
IMPORTS = "import math\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n"


def port(source: str, *, imports: str = IMPORTS, module: str | None = None) -> Translation:
    """The port of a dedented source."""
    text = imports + textwrap.dedent(source).strip("\n") + "\n"
    return translate_source(text, filename="modeling_mini.py", module=module)


def lines(source: str, **options: str) -> list[str]:
    """The lines of a port below its imports, without what follows the last one."""
    code = port(source, **options).code
    kept = [line for line in code.partition("# sha256 of what follows")[2].split("\n")[1:]]
    while kept and (not kept[0].strip() or kept[0].startswith(("import ", "from ", "#"))):
        kept.pop(0)
    return "\n".join(kept).rstrip().split("\n")


def body(source: str) -> list[str]:
    """The lines of the body of `def f(x, y, i, m, flag)` around statements."""
    head = (
        "def f(x: torch.FloatTensor, y: torch.FloatTensor, i: torch.LongTensor, "
        "m: torch.BoolTensor, flag: bool):\n"
    )
    block = textwrap.indent(textwrap.dedent(source).strip("\n"), "    ")
    return [line[4:] for line in lines(head + block)[1:]]


def text(source: str) -> str:
    """A dedented text, to compare with."""
    return textwrap.dedent(source).strip("\n")
