"""Names that a source gives to its own values and the port to its modules, such as `layers`: where
both stand in one file, the port imports the module by a shorter name (`layers as kl`).
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Collection, Iterator

ALIASES = {"layers": "kl", "ops": "kops", "init": "kinit", "tree": "ktree", "kf": "kfun"}
OWN = "__own"  # follows a name of the source while the file is translated


def own_names(source: str, imported: Collection[str]) -> frozenset[str]:
    """Those of the names above that a source itself binds, other than by an import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in docstrings that are none
        tree = ast.parse(source)
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef):
            bound.add(node.name)
    return frozenset(bound & ALIASES.keys() - set(imported))


def separate(code: str, names: Collection[str]) -> str:
    """The code with the port's modules by their other names, and without marks."""
    lines = code.splitlines(keepends=True)
    for row, column, name in reversed(list(_modules(code, names))):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + ALIASES[name] + line[column + len(name) :]
    return "".join(lines).replace(OWN, "")


def _modules(code: str, names: Collection[str]) -> Iterator[tuple[int, int, str]]:
    """Where `layers` stands for the module: before a dot and not after one."""
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.type == tokenize.NAME and token.string in names:
            if after.string == "." and before.string != ".":
                yield *token.start, token.string
