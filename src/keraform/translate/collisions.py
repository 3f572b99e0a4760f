"""Names that a source gives to its own values and the port to its modules, such as `layers`: where
both stand in one file, the port imports the module by a shorter name (`layers as kl`).
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Collection, Iterator

import libcst as cst
import libcst.matchers as m

ALIASES = {"layers": "kl", "ops": "kops", "init": "kinit", "tree": "ktree", "kf": "kfun"}
OWN = "__own"  # follows a name of the source while the file is translated


def own_names(tree: cst.Module, imported: Collection[str]) -> frozenset[str]:
    """Those of the names above that the source itself binds, other than by an import."""
    names = m.OneOf(*(m.Name(name) for name in ALIASES))
    targets = (
        m.Param(name=names),
        m.AssignTarget(target=names),
        m.AnnAssign(target=names),
        m.NamedExpr(target=names),
        m.For(target=names),
        m.CompFor(target=names),
        m.Element(value=names),  # of a tuple of targets, or of a value: either may be
        m.FunctionDef(name=names),
    )
    found = {
        name.value
        for node in m.findall(tree, m.OneOf(*targets))
        for name in m.findall(node, names)
        if isinstance(name, cst.Name)
    }
    return frozenset(found - set(imported))


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
