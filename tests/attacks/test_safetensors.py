"""Safetensors files whose header lies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save

from keraform.checkpoints import read_safetensors

WHOLE = save(
    {
        "a.weight": np.arange(12, dtype="float32").reshape(3, 4),
        "b": np.ones(5, "float16"),
        "c": np.array(7, "int64"),
    },
    {"format": "pt"},
)
HEADER = int.from_bytes(WHOLE[:8], "little")
HUGE = 2**63


def entry(start, stop, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def file(header, values=b"", length=None):
    """A file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + values


def one(**changes):
    """A file of one tensor `w` of 8 bytes, with something else in its description."""
    return file({"w": {**entry(0, 8), **changes}}, bytes(8))


def twice(first, second):
    text = f'{{"w": {json.dumps(first)}, "w": {json.dumps(second)}}}'
    return file(text.encode(), bytes(8))


# name: (the file's bytes, what the error says)
ATTACKS = {
    "empty": (b"", "an empty file"),
    "zeros": (bytes(64), "cannot be read"),
    "length 0": (file({}, length=0), "cannot be read"),
    "length of the whole": (file({"w": entry(0, 8)}, bytes(8), length=10**4), "a header of 10000"),
    "length 2**63": (file({"w": entry(0, 8)}, bytes(8), length=HUGE), f"a header of {HUGE}"),
    "length 2**64 - 1": (file({}, length=2**64 - 1), "a header of"),
    "length one short": (file({"w": entry(0, 8)}, bytes(8), length=50), "cannot be read"),
    "overlap": (file({"v": entry(0, 8), "w": entry(4, 12)}, bytes(12)), "w begins at 4"),
    "same place": (file({"v": entry(0, 8), "w": entry(0, 8)}, bytes(8)), "w begins at 0"),
    "gap": (file({"v": entry(0, 8), "w": entry(12, 20)}, bytes(20)), "w begins at 12"),
    "not from 0": (file({"w": entry(8, 16)}, bytes(16)), "w begins at 8"),
    "more values": (file({"w": entry(0, 8)}, bytes(99)), "99 bytes of values, of which w"),
    "values beyond": (file({"w": entry(0, 8)}, bytes(4)), "4 bytes of values, of which w"),
    "no values": (file({"w": entry(0, 8)}), "0 bytes of values, of which w"),
    "no tensors": (file({}, bytes(8)), "8 bytes of values"),
    "backwards": (one(data_offsets=[8, 0]), "w has -8 bytes"),
    "negative offset": (one(data_offsets=[-8, 0]), "w has the shape"),
    "huge offset": (one(data_offsets=[0, 2**64]), "w has the shape"),
    "far offset": (one(data_offsets=[2**62, 2**62 + 8]), f"w begins at {2**62}"),
    "fraction as offset": (one(data_offsets=[0.0, 8.0]), "w has the shape"),
    "text as offset": (one(data_offsets="08"), "w has the shape"),
    "one offset": (one(data_offsets=[0]), "w has the shape"),
    "three offsets": (one(data_offsets=[0, 4, 8]), "w has the shape"),
    "no offsets": (file({"w": {"dtype": "F32", "shape": [2]}}, bytes(8)), "w is described by"),
    "shape too large": (one(shape=[3]), "w has 8 bytes, and 12"),
    "shape too small": (one(shape=[1]), "w has 8 bytes, and 4"),
    "shape of a scalar": (one(shape=[]), "w has 8 bytes, and 4"),
    "shape 0": (one(shape=[0, 2]), "w has 8 bytes, and 0"),
    "negative shape": (one(shape=[-2]), "w has the shape [-2]"),
    "two negatives": (one(shape=[-1, -2]), "w has the shape"),
    "huge shape": (one(shape=[2**40, 2**40]), "w has 8 bytes"),
    "product overflows to 2": (one(shape=[2**32, 2**32, 2]), "w has 8 bytes"),
    "product overflows to 0": (one(shape=[2**62, 4]), "w has 8 bytes"),
    "shape beyond 64 bits": (one(shape=[2**64 + 2]), "w has the shape"),
    "a thousand axes": (one(shape=[1] * 998 + [2]), "w has the shape"),
    "bool as shape": (one(shape=[True, 2]), "w has the shape"),
    "text as shape": (one(shape="2"), "w has the shape"),
    "null as shape": (one(shape=None), "w has the shape"),
    "nested shape": (one(shape=[[2]]), "w has the shape"),
    "unknown dtype": (one(dtype="F33"), "w has the dtype F33"),
    "another program's dtype": (one(dtype="float32"), "w has the dtype float32"),
    "dtype by number": (one(dtype=7), "w has the dtype 7"),
    "null as dtype": (one(dtype=None), "w has the dtype None"),
    "no dtype": (file({"w": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)), "w is described"),
    "text for a tensor": (file({"w": "F32"}, bytes(8)), "w is described by F32"),
    "list for a tensor": (file({"w": [1, 2]}, bytes(8)), "w is described by"),
    "null for a tensor": (file({"w": None}), "w is described by None"),
    "key twice, same place": (twice(entry(0, 8), entry(0, 8)), "'w' stands there twice"),
    "key twice": (twice(entry(0, 4, (1,)), entry(4, 8, (1,))), "'w' stands there twice"),
    "key twice, one of nothing": (twice(entry(0, 0, (0,)), entry(0, 8)), "'w' stands there twice"),
    "dtype twice": (
        file(b'{"w":{"dtype":"I8","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        "'dtype' stands there twice",
    ),
    "a list": (file([]), "a list in place of an object"),
    "null": (file(b"null"), "a NoneType in place"),
    "NaN": (file(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', bytes(8)), "NaN"),
    "Infinity": (one(shape=[float("inf")]), "w has the shape [inf]"),
    "-Infinity": (one(data_offsets=[float("-inf"), 8]), "w has the shape"),
    "1e400": (file(b'{"w":{"dtype":"F32","shape":[1e400],"data_offsets":[0,8]}}', bytes(8)), "w"),
    "5,000 digits": (
        file(b'{"w":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}'),
        "cannot be read",
    ),
    "not UTF-8": (file(b'{"\xff\xfe":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'), "utf-8"),
    "UTF-16": (file('{"w":{}}'.encode("utf-16")), "cannot be read"),
    "a single surrogate": (
        file(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        "cannot be read",
    ),
    "a NUL": (file(b'{"w\0":1}'), "cannot be read"),
    "not JSON": (file(b"{'w': 1}"), "cannot be read"),
    "half an object": (file(b'{"w":{"dtype":"F32"'), "cannot be read"),
    "two objects": (file(b"{}{}"), "cannot be read"),
    "deep lists": (file(b'{"w":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "recursion"),
    "deep objects": (file(b'{"w":' * 10**5 + b"1" + b"}" * 10**5), "recursion"),
    "metadata is a list": (file({"__metadata__": [], "w": entry(0, 8)}, bytes(8)), "__metadata__"),
    "metadata of numbers": (file({"__metadata__": {"format": 1}}), "__metadata__ is not text"),
    "metadata is a tensor": (file({"__metadata__": entry(0, 8)}, bytes(8)), "__metadata__"),
    "a pickle": (b"\x80\x02cos\nsystem\n(S'touch canary'\ntR.", "cannot be read"),
    "a zip archive": (b"PK\x03\x04" + bytes(60), "cannot be read"),
    "HTML": (b"<!DOCTYPE html><html><body>Log in</body></html>", "an HTML page"),
    "Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "git lfs pull",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_header(tmp_path, refuses, name):
    content, words = ATTACKS[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refuses(lambda: read_safetensors([path]), words, str(path))


@pytest.mark.parametrize(
    "keep", [*range(0, 8), *range(8, HEADER + 8, 23), *range(HEADER + 8, len(WHOLE), 11)]
)
def test_cut_off(tmp_path, refuses, keep):
    path = tmp_path / "model.safetensors"
    path.write_bytes(WHOLE[:keep])
    refuses(lambda: read_safetensors([path]), f"{path} ({keep} bytes)")


def test_a_header_of_zeros_that_is_larger_than_memory(tmp_path, refuses):
    path = tmp_path / "model.safetensors"
    path.write_bytes((2**36).to_bytes(8, "little"))
    with path.open("r+b") as sparse:
        sparse.truncate(2**37)
    refuses(lambda: read_safetensors([path]), f"a header of {2**36} bytes", str(path))
