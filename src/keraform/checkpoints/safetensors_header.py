"""What the header of a safetensors file must say, so that an error can name the tensor.

Source: the format's description in the `safetensors` package, whose own reader checks the same
except for names that stand twice, and tells no tensor's name.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from keraform.checkpoints.json_files import parse_object

_LARGEST = 100_000_000  # bytes of a header, as the format has it
_METADATA = "__metadata__"
_MOST_AXES = 64  # as NumPy has it
_BITS = {  # of a number
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def check_header(path: Path) -> dict[str, int]:
    """Looks at a header without reading a value.

    Args:
        path: The file.

    Returns:
        Where in the file the bytes of each tensor begin.

    Raises:
        ValueError: It is damaged; the message names the tensor where there is one.
        RecursionError: It is nested too deeply.
        OSError: The file cannot be opened.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST):
            raise ValueError(f"a header of {length} bytes")
        header = parse_object(file.read(length))
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{_METADATA} is not text by name")
    spans = {key: _span(key, info) for key, info in header.items()}
    end = 0
    for key, (start, stop) in sorted(spans.items(), key=lambda item: item[1]):
        if start != end:
            raise ValueError(f"{key} begins at {start}, where the tensor before ends at {end}")
        end = stop
    if end != size - 8 - length:
        last = max(spans, key=lambda key: spans[key], default="nothing")
        raise ValueError(
            f"{size - 8 - length} bytes of values, of which {last} is the last at {end}"
        )
    return {key: 8 + length + start for key, (start, _) in spans.items()}


def _span(key: str, info: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end."""
    if not isinstance(info, dict) or not {"dtype", "shape", "data_offsets"} <= set(info):
        raise ValueError(f"{key} is described by {str(info)[:200]}")
    dtype, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"{key} has the dtype {str(dtype)[:100]}")
    if not (_are_counts(shape, _MOST_AXES) and _are_counts(offsets, 2) and len(offsets) == 2):
        raise ValueError(f"{key} has the shape {str(shape)[:100]} at {str(offsets)[:100]}")
    start, stop = offsets
    wanted = math.prod(shape) * _BITS[dtype] // 8
    if stop - start != wanted:
        raise ValueError(f"{key} has {stop - start} bytes, and {wanted} by its shape {shape}")
    return start, stop


def _are_counts(numbers: Any, most: int) -> bool:
    if not isinstance(numbers, list) or len(numbers) > most:
        return False
    return all(type(n) is int and 0 <= n < 2**63 for n in numbers)
