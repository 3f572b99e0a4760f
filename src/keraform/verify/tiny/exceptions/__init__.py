"""Exceptions: what has to be said by hand of a model type's tiny config, each row with its
reason.

They come before the general rules. A field of a part is written `part.field`.
"""

from __future__ import annotations

from keraform.verify.tiny.exceptions import images, mixed, sound, text
from keraform.verify.tiny.exceptions.rows import Rows


def _joined(*tables: dict[str, Rows]) -> dict[str, Rows]:
    """All tables as one; a type stands in one of them."""
    joined: dict[str, Rows] = {}
    for table in tables:
        twice = joined.keys() & table.keys()
        if twice:
            raise ValueError(f"rows in two tables: {', '.join(sorted(twice))}")
        joined |= table
    return joined


EXCEPTIONS = _joined(text.ROWS, images.ROWS, mixed.ROWS, sound.ROWS)
