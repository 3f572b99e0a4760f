"""GGUF files whose counts, lengths and offsets lie."""

from __future__ import annotations

import struct

import pytest

from keraform.checkpoints.gguf_files import read_gguf, read_gguf_config
from modeling import mini_bert

pytest.importorskip("gguf")
pytest.importorskip("transformers.modeling_gguf_pytorch_utils")  # not within the guard's time

U8, U32, F32, STRING, ARRAY, U64 = 0, 4, 6, 8, 9, 10
FIELDS = {"general.architecture": "llama", "llama.block_count": 1, "llama.embedding_length": 4}


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(value)) + value


def field(name, value, kind=None):
    if isinstance(value, str):
        return text(name) + struct.pack("<I", STRING) + text(value)
    if isinstance(value, bytes):
        return text(name) + struct.pack("<I", kind) + value
    return text(name) + struct.pack("<II", U32, value)


def described(name="output_norm.weight", dims=(4,), kind=0, offset=0, axes=None):
    axes = len(dims) if axes is None else axes
    sizes = b"".join(struct.pack("<Q", size) for size in dims)
    return text(name) + struct.pack("<I", axes) + sizes + struct.pack("<IQ", kind, offset)


def file(fields=(), tensors=(), values=bytes(16), magic=b"GGUF", version=3, counts=None):
    known = [field(*each) for each in FIELDS.items()]
    fields, tensors = [*known, *fields], list(tensors)
    head = magic + struct.pack("<I", version)
    head += struct.pack("<QQ", *(counts or (len(tensors), len(fields))))
    body = head + b"".join((*fields, *tensors))
    return body + bytes(-len(body) % 32) + values


@pytest.fixture(scope="module")
def read():
    """The configuration and the tensors of a file, which need not be those of the model."""
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    return lambda path: (read_gguf_config(path), read_gguf(path, model))


GOOD = file(tensors=[described()])
HUGE, FAR = 2**63, 2**62
ATTACKS = {
    "empty": b"",
    "zeros": bytes(200),
    "HTML": b"<html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "magic of GGML": file(magic=b"ggml"),
    "magic backwards": file(magic=b"FUGG"),
    "version 0": file(version=0),
    "version 99": file(version=99),
    "version 2**32 - 1": file(version=2**32 - 1),
    "version of the other byte order": file(version=3 << 24),
    "no fields": file(counts=(0, 0)),
    "more fields": file(counts=(0, 9)),
    "fields without end": file(counts=(0, HUGE)),
    "more tensors": file(counts=(5, 3)),
    "tensors without end": file(counts=(HUGE, 3)),
    "both without end": file(counts=(2**64 - 1, 2**64 - 1)),
    "name without end": file([struct.pack("<Q", HUGE) + b"name"]),
    "name beyond the file": file([struct.pack("<Q", 10**6) + b"name"]),
    "name that is not UTF-8": file([field(b"\xff\xfe", 1)]),
    "field twice": file([field("llama.block_count", 2)]),
    "text without end": file([field("a", struct.pack("<Q", HUGE), STRING)]),
    "unknown kind of field": file([field("a", bytes(8), 99)]),
    "array without end": file([field("a", struct.pack("<IQ", U8, HUGE), ARRAY)]),
    "array beyond the file": file([field("a", struct.pack("<IQ", U64, 10**4), ARRAY)]),
    "array of texts without end": file([field("a", struct.pack("<IQ", STRING, HUGE), ARRAY)]),
    "array of an unknown kind": file([field("a", struct.pack("<IQ", 77, 1), ARRAY)]),
    "arrays of arrays": file([field("a", struct.pack("<IQ", ARRAY, 1) * 5000, ARRAY)]),
    "alignment 0": file([field("general.alignment", 0)]),
    "alignment 3": file([field("general.alignment", 3)]),
    "alignment as text": file([field("general.alignment", "32")]),
    "alignment 2**31": file([field("general.alignment", 2**31)], [described()]),
    "unknown architecture": file([], [described()]).replace(b"llama", b"llamb"),
    "path as architecture": file().replace(b"llama", b"../.."),
    "architecture as number": struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
    + field(*("general.architecture", 7)),
}
TENSORS = {
    "name without end": [struct.pack("<Q", HUGE) + b"name"],
    "name that is not UTF-8": [described(b"\xff\xfe")],
    "twice": [described(), described()],
    "two in one place": [described(), described("a")],
    "one within another": [described(dims=(8,)), described("a", offset=16)],
    "in the head": [described(offset=2**64 - 64)],
    "beyond the file": [described(offset=32)],
    "far beyond the file": [described(offset=FAR)],
    "at the end of 64 bits": [described(offset=2**64 - 1)],
    "larger than the file": [described(dims=(5,))],
    "far larger": [described(dims=(FAR,))],
    "a product of 0": [described(dims=(2**32, 2**32))],
    "a product of 4": [described(dims=(2**62 + 1, 4))],
    "no bytes beyond": [described(dims=(0,), offset=FAR)],
    "axes without end": [described(axes=2**32 - 1)],
    "a thousand axes": [described(dims=(1,) * 1000)],
    "unknown type": [described(kind=999)],
    "half a block": [described(dims=(5,), kind=8)],
    "quantised beyond the file": [described(dims=(3200,), kind=2)],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_file(tmp_path, refuses, read, name):
    path = tmp_path / "model.gguf"
    path.write_bytes(ATTACKS[name])
    refuses(lambda: read(path), str(path))


@pytest.mark.parametrize("name", TENSORS)
def test_tensor(tmp_path, refuses, read, name):
    path = tmp_path / "model.gguf"
    values = bytes(48) if name == "one within another" else bytes(16)
    path.write_bytes(file(tensors=TENSORS[name], values=values))
    refuses(lambda: read(path), str(path))


@pytest.mark.parametrize("keep", range(1, len(GOOD) - 1, 16))
def test_cut_off(tmp_path, refuses, read, keep):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD[:keep])
    refuses(lambda: read(path), str(path), f"({keep} bytes)")


def test_an_array_of_a_terabyte(tmp_path, refuses, read):
    path = tmp_path / "model.gguf"
    path.write_bytes(file([field("a", struct.pack("<IQ", U64, 2**36), ARRAY)]))
    with path.open("r+b") as sparse:
        sparse.truncate(2**28)
    refuses(lambda: read(path), str(path))
