"""Decorators: those that remain in the port, and what those of Transformers say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.comments import leading
from keraform.translate.rules.seams import DROPPED_DECORATORS
from keraform.translate.rules.torch_names import canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


def decorator_lines(
    module: ModuleTranslator, decorators: Sequence[cst.Decorator], indent: str
) -> list[str]:
    """The decorators that remain."""
    lines = []
    for decorator in decorators:
        callee = _callee(decorator)
        dotted = module.dotted(callee) or module.text(callee)
        name = canonical(dotted) or dotted
        lines.extend(leading(decorator.leading_lines, indent))
        if name in DROPPED_DECORATORS or name.rsplit(".", 1)[-1] in DROPPED_DECORATORS:
            continue
        comment = decorator.trailing_whitespace.comment
        suffix = f"  {comment.value}" if comment is not None else ""
        lines.append(f"{indent}@{module.expressions(decorator.decorator).text}{suffix}")
    return lines


def decorator_arguments(
    module: ModuleTranslator, decorators: Sequence[cst.Decorator], name: str
) -> dict[str, str] | None:
    """The literal keyword arguments of a decorator, or None when it is not there."""
    for decorator in named_decorators(module, decorators, name):
        node = decorator.decorator
        return {
            arg.keyword.value: str(arg.value.evaluated_value)
            for arg in (node.args if isinstance(node, cst.Call) else ())
            if arg.keyword is not None
            and isinstance(arg.value, (cst.SimpleString, cst.ConcatenatedString))
        }
    return None


def named_decorators(
    module: ModuleTranslator, decorators: Sequence[cst.Decorator], name: str
) -> list[cst.Decorator]:
    """The decorators of a name, wherever it comes from."""
    return [each for each in decorators if module.text(_callee(each)).split(".")[-1] == name]


def _callee(decorator: cst.Decorator) -> cst.BaseExpression:
    node = decorator.decorator
    return node.func if isinstance(node, cst.Call) else node
