"""Overrides: definitions of `keraform/overrides/<folder>.py` that replace translated ones."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from keraform.errors import KeraformError

FOLDER = Path(__file__).parents[1] / "overrides"


@dataclass(slots=True)
class Override:
    """The definitions of an override file.

    Args:
        definitions: source text by name: `eager_attention_forward`, or `TFBertPooler.call`.
        imports: what the file imports, as (module, name, local name).
        used: the definitions that replaced something.
    """

    definitions: dict[str, str] = field(default_factory=dict)
    imports: list[tuple[str, str, str]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def lines(self, name: str, indent: str) -> list[str] | None:
        """The lines that replace a definition, or None where the translation stands."""
        text = self.definitions.get(name)
        if text is None:
            return None
        self.used.add(name)
        return textwrap.indent(text, indent).split("\n")

    def check(self, path: str) -> None:
        """Raises when a definition replaced nothing, since upstream must have renamed it."""
        idle = sorted(set(self.definitions) - self.used)
        if idle:
            raise KeraformError(
                expected=f"functions and methods of {path}",
                got=f"overrides of {', '.join(idle)}, which it does not have",
                try_next="remove them, or give them upstream's new names",
            )


def load_override(module: str, folder: Path | None = None) -> Override:
    """The override of an upstream modeling module; an empty one where there is no file.

    Args:
        module: such as `transformers.models.bert.modeling_bert`.
        folder: where overrides lie; Keraform's own by default.
    """
    parts = module.split(".")
    path = (folder or FOLDER) / f"{parts[2] if len(parts) > 3 else ''}.py"
    if len(parts) < 4 or parts[-1] != f"modeling_{parts[2]}" or not path.is_file():
        return Override()
    text = path.read_text("utf-8")
    result = Override()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                result.imports.append((node.module or "", alias.name, alias.asname or alias.name))
        elif isinstance(node, ast.FunctionDef):
            result.definitions[node.name] = _source(text, node)
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    result.definitions[f"{node.name}.{method.name}"] = _source(text, method)
    return result


def _source(text: str, node: ast.FunctionDef) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = text.splitlines()[first - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(lines))
