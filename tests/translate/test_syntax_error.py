"""A file that is no Python is a mistake of the user's: it is named, with its line."""

from __future__ import annotations

import pytest

from keraform.errors import KeraformError
from keraform.translate import port_module, translate_source


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import torch\n\ndef f(x:\n    return x\n", 4),
        ("def f(x):\nreturn x\n", 2),
        ("x = (1,\n", 1),
        ("print 'x'\n", 1),
    ],
)
def test_a_syntax_error_says_file_and_line(source: str, line: int) -> None:
    with pytest.raises(KeraformError) as caught:
        translate_source(source, filename="models/broken.py")
    message = str(caught.value)
    assert "models/broken.py" in message
    assert f"line {line}" in message
    assert "expected" in message
    assert "try" in message


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(KeraformError, match=r"transformers\.models\.bert\.modeling_nothing"):
        port_module("transformers.models.bert.modeling_nothing")
