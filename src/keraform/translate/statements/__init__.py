"""Translation of statements into lines of text, with their comments and blank lines."""

from __future__ import annotations

from keraform.translate.statements.blocks import StatementTranslator

__all__ = ["StatementTranslator"]
