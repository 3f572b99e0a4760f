"""Translation of expressions: every torch expression becomes Keras code plus what is known of its
value.
"""

from __future__ import annotations

from keraform.translate.expressions.dispatch import ExpressionTranslator

__all__ = ["ExpressionTranslator"]
