"""Torch's files: pickles that are programs, and archives that are traps.

No torch is needed to make them: pickles are written operation by operation, and so are archives.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from functools import partial

import pytest

from keraform.checkpoints import read_torch_files
from keraform.checkpoints.pickles import OPERATIONS as ALLOWED

PROTO, MARK, STOP = b"\x80\x02", b"(", b"."
MAGIC = PROTO + b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" + STOP
VERSION = PROTO + b"M\xe9\x03" + STOP
SYSTEM = PROTO + b"}" + STOP


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def numbers(values):
    return MARK + b"".join(map(number, values)) + b"t"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def storage(dtype="FloatStorage", key="0", count=4, kind="storage", view=b""):
    parts = text(kind) + name("torch", dtype) + text(key) + text("cpu") + number(count)
    return MARK + parts + view + b"tQ"


def rebuilt(*parts, function="_rebuild_tensor_v2"):
    return name("torch._utils", function) + MARK + b"".join(parts) + b"tR"


def tensor(size=(4,), stride=(1,), offset=0, stored=None):
    rest = b"\x89}"
    return rebuilt(stored or storage(), number(offset), numbers(size), numbers(stride), rest)


def state(*values):
    """A program that gives a dict of w, w1, w2..."""
    keys = ("w", *(f"w{n}" for n in range(1, len(values))))
    pairs = b"".join(text(key) + value for key, value in zip(keys, values, strict=True))
    return PROTO + b"}" + MARK + pairs + b"u" + STOP


def archive(path, program, values=bytes(16), entries=(), pack=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", pack) as written:
        written.writestr("f/data.pkl", program)
        written.writestr("f/data/0", values)
        for key, value in entries:
            written.writestr(key, value)


def older(path, program, values=bytes(16), keys=("0",), stated=4):
    names = PROTO + b"]" + MARK + b"".join(map(text, keys)) + b"e" + STOP
    blocks = b"".join(struct.pack("<q", stated) + values for _ in keys)
    path.write_bytes(MAGIC + VERSION + SYSTEM + program + names + blocks)


FORMATS = {"archive": archive, "older": older}
formats = pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pytorch_model.bin"


@formats
def test_the_tools_of_this_file_write_what_is_read(path, write):
    write(path, state(tensor()))
    assert read_torch_files([path])["w"].read().tolist() == [0] * 4


ARGUMENTS = {
    "decimalnl_long": b"1L\n",
    "decimalnl_short": b"1\n",
    "float8": bytes(8),
    "floatnl": b"1.0\n",
    "int4": b"\1\0\0\0",
    "long1": b"\1\1",
    "long4": b"\1\0\0\0\1",
    "string1": b"\2os",
    "string4": b"\2\0\0\0os",
    "stringnl": b"'os'\n",
    "stringnl_noescape": b"os\n",
    "stringnl_noescape_pair": b"os\nsystem\n",
    "uint1": b"\1",
    "uint2": b"\1\0",
    "uint4": b"\1\0\0\0",
    "uint8": b"\1" + bytes(7),
    "bytes1": b"\2os",
    "bytes4": b"\2\0\0\0os",
    "bytes8": b"\2" + bytes(7) + b"os",
    "bytearray8": b"\2" + bytes(7) + b"os",
    "unicodestring1": b"\2os",
    "unicodestring4": b"\2\0\0\0os",
    "unicodestring8": b"\2" + bytes(7) + b"os",
    "unicodestringnl": b"os\n",
}
OPERATIONS = [each.name for each in pickletools.opcodes if each.name != "STOP"]


@formats
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_behind_an_import(path, refuses, canary, write, operation):
    """`os.system` and its arguments are on the stack, and then comes the operation."""
    record = next(each for each in pickletools.opcodes if each.name == operation)
    argument = ARGUMENTS[record.arg.name] if record.arg else b""
    stack = name("os", "system") + MARK + text(f"touch {canary}")
    code = record.code.encode("latin-1") + argument
    write(path, PROTO + stack + code + b"t" + b"R" + STOP)
    refuses(lambda: read_torch_files([path]), "pytorch_model.bin")
    if operation not in ALLOWED:
        write(path, PROTO + b"(Nt" + code + STOP)
        refuses(lambda: read_torch_files([path]), operation)


def calls(module, attribute, *arguments):
    return name(module, attribute) + MARK + b"".join(map(text, arguments)) + b"tR"


COMMAND = "touch {canary}"
CODE = "open('{canary}', 'w')"
PROGRAMS = {
    "os.system": calls("os", "system", COMMAND),
    "posix.system": calls("posix", "system", COMMAND),
    "nt.system": calls("nt", "system", COMMAND),
    "os.popen": calls("os", "popen", COMMAND),
    "subprocess.Popen": calls("subprocess", "Popen", COMMAND),
    "subprocess.getoutput": calls("subprocess", "getoutput", COMMAND),
    "builtins.eval": calls("builtins", "eval", CODE),
    "__builtin__.eval": calls("__builtin__", "eval", CODE),
    "builtins.exec": calls("builtins", "exec", CODE),
    "builtins.open": calls("builtins", "open", "{canary}", "w"),
    "io.open": calls("io", "open", "{canary}", "w"),
    "builtins.getattr": calls("builtins", "getattr", "", "join"),
    "builtins.__import__": calls("builtins", "__import__", "os"),
    "importlib.import_module": calls("importlib", "import_module", "os"),
    "runpy.run_path": calls("runpy", "run_path", "{canary}"),
    "code.interact": calls("code", "interact", "hello"),
    "pty.spawn": calls("pty", "spawn", "sh"),
    "webbrowser.open": calls("webbrowser", "open", "http://localhost"),
    "socket.create_connection": calls("socket", "create_connection", "localhost"),
    "pickle.loads": calls("pickle", "loads", "cos\nsystem\n."),
    "torch.load": calls("torch", "load", "{canary}"),
    "torch.serialization.load": calls("torch.serialization", "load", "{canary}"),
    "torch.hub.load": calls("torch.hub", "load", "somebody/something"),
    "torch.jit.load": calls("torch.jit", "load", "{canary}"),
    "torch._dynamo": calls("torch._dynamo.guards", "GuardBuilder.get", CODE),
    "torch.Tensor.map_": calls("torch", "Tensor.map_", CODE),
    "numpy.load": calls("numpy", "load", "{canary}"),
    "numpy.testing.runstring": calls("numpy.testing._private.utils", "runstring", CODE),
    "timeit.timeit": calls("timeit", "timeit", CODE),
    "shutil.rmtree": calls("shutil", "rmtree", "/nowhere"),
    "operator.attrgetter": calls("operator", "attrgetter", "system"),
    "functools.partial": calls("functools", "partial", COMMAND),
    "collections.namedtuple": calls("collections", "namedtuple", "a", CODE),
    "collections.OrderedDict.update": calls("collections", "OrderedDict.update", "a"),
    "torch.__builtins__": calls("torch", "__builtins__", COMMAND),
    "own module": calls("keraform.checkpoints.pickles", "refuse", "a", "b"),
    "an empty name": calls("", "", "a"),
    "of a tensor's attribute": tensor() + b"}" + text("read") + name("os", "system") + b"sb",
    "sets a function": name("collections", "OrderedDict") + b"}" + text("_call") + b"Nsb",
    "calls what is no function": text("os.system") + b"(tR",
    "calls a storage": name("torch", "FloatStorage") + numbers([4]) + b"R",
    "calls a dtype": name("torch", "float32") + b")R",
}


@formats
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(path, refuses, canary, write, program):
    code = PROGRAMS[program].replace(b"{canary}", str(canary).encode())
    write(path, state(tensor(), code))
    refuses(lambda: read_torch_files([path]), str(path))


def nested(depth, start, twice):
    """Something that holds itself twice, in `depth` levels."""
    levels = (b"q" + bytes([n]) + b"h" + bytes([n]) + twice for n in range(depth))
    return start + b"".join(levels)


LAUGHS = nested(60, b")", b"\x86")
LISTS = b"]" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(60))
BUILT = nested(60, b")Nb", b"\x86Nb")
PARAMETERS = b"K\1" + b"".join(
    b"q%c0" % n + name("torch._utils", "_rebuild_parameter") + b"h%ch%c\x86\x85R" % (n, n)
    for n in range(60)
)
DAMAGED = {
    # what is read would take for ever
    "tuples of tuples as a key": PROTO + b"}" + LAUGHS + b"K\1s" + STOP,
    "tuples of tuples that were built": PROTO + b"}" + BUILT + b"K\1s" + STOP,
    "tuples of tuples as parameters": PROTO + b"}" + PARAMETERS + b"K\1s" + STOP,
    "tuples of tuples": state(LAUGHS),
    "a size of tuples": state(name("torch", "Size") + b"(" + LAUGHS + b"ttR"),
    "lists of lists as a storage": state(rebuilt(LISTS, number(0), numbers([4]), numbers([1]))),
    "lists of lists as a dtype": state(
        rebuilt(storage(), number(0), numbers([4]), numbers([1]), b"N", b"N", LISTS,
                function="_rebuild_tensor_v3")
    ),
    "lists of lists as a size": state(rebuilt(storage(), number(0), LISTS, LISTS)),
    "lists of lists as an id": state(LISTS + b"Q"),
    "lists of lists in an id": state(tensor(stored=MARK + text("storage") + LISTS + b"tQ")),
    "the same through PUT after PUT": PROTO + b"}" + b")q\0q\1h\1\x86K\1s" + STOP,
    # what is remembered would take all memory
    "a far place": PROTO + b"}r\xff\xff\xff\x7f" + STOP,
    "a far place in text": PROTO + b"}p99999999999\n" + STOP,
    "a place before the first": PROTO + b"}p-1\n" + STOP,
    "an unknown place": PROTO + b"h\x07" + STOP,
    "a far unknown place": PROTO + b"j\xff\xff\xff\xff" + STOP,
    # lengths that are not there
    "text without end": PROTO + b"X\xff\xff\xff\x7fabc" + STOP,
    "negative text": PROTO + b"T\xff\xff\xff\xffabc" + STOP,
    "a frame without end": b"\x80\x04\x95" + b"\xff" * 8 + STOP,
    "a long number": PROTO + b"I" + b"9" * 10000 + b"\n" + STOP,
    # programs that make no sense
    "nothing on the stack": PROTO + STOP,
    "no mark": PROTO + b"t" + STOP,
    "two marks": PROTO + b"((t" + STOP,
    "calls nothing": PROTO + b"R" + STOP,
    "unknown protocol": b"\x80\xff}" + STOP,
    "no end": PROTO + b"}",
    "a list": PROTO + b"]" + STOP,
    "a number": PROTO + b"K\1" + STOP,
    "nothing": PROTO + b"N" + STOP,
    "a tensor": PROTO + tensor() + STOP,
    "tensors below": PROTO + b"}" + text("model") + b"}" + text("w") + tensor() + b"ss" + STOP,
    "keys without a hash": PROTO + b"}]Ns" + STOP,
    "a dict with other items": PROTO + name("collections", "OrderedDict") + b")R}" + text("items")
    + b"Nsb" + STOP,
    # tensors that do not lie in their bytes
    "beyond the end": state(tensor(size=(5,))),
    "behind the end": state(tensor(offset=1)),
    "far behind the end": state(tensor(offset=2**62)),
    "before the start": state(tensor(offset=-1)),
    "a stride too long": state(tensor(size=(2, 2), stride=(4, 1))),
    "a stride back": state(tensor(size=(2, 2), stride=(-1, 1))),
    "a stride beyond 64 bits": state(tensor(size=(1,), stride=(2**70,))),
    "a stride times its bytes beyond 64 bits": state(tensor(size=(1,), stride=(2**62,))),
    "more numbers than there are": state(tensor(size=(2**40,), stride=(0,))),
    "all of memory from one number": state(tensor(size=(2**31, 2**31), stride=(0, 0))),
    "negative size": state(tensor(size=(-1,))),
    "two negative sizes": state(tensor(size=(-2, -2), stride=(1, 1))),
    "size beyond 64 bits": state(tensor(size=(2**70,))),
    "no size, huge": state(tensor(size=(0, 2**62), stride=(1, 1))),
    "fewer strides": state(tensor(size=(2, 2))),
    "a hundred axes": state(tensor(size=(1,) * 100, stride=(1,) * 100)),
    "a hundred axes of nothing": state(tensor(size=(0,) * 100, stride=(1,) * 100)),
    "text as a size": state(rebuilt(storage(), number(0), text("4"), numbers([1]))),
    "text as an offset": state(rebuilt(storage(), text("0"), numbers([4]), numbers([1]))),
    "no storage": state(rebuilt(b"N", number(0), numbers([4]), numbers([1]))),
    "a tensor of a tensor": state(rebuilt(tensor(), number(0), numbers([4]), numbers([1]))),
    "too few arguments": state(rebuilt(storage())),
    "storage of another count": state(tensor(stored=storage(count=5), size=(5,))),
    "storage of fewer": state(tensor(stored=storage(count=3), size=(3,))),
    "storage of another width": state(tensor(stored=storage("DoubleStorage"))),
    "storage of negative count": state(tensor(stored=storage(count=-4))),
    "storage of huge count": state(tensor(stored=storage(count=2**62), size=(2**62,))),
    "storage of another dtype": state(tensor(), tensor(stored=storage("IntStorage", count=4))),
    "unknown storage": state(tensor(stored=storage(key="1"))),
    "storage elsewhere": state(tensor(stored=storage(key="../data.pkl"))),
    "storage at an absolute path": state(tensor(stored=storage(key="/etc/passwd"))),
    "unknown kind of storage": state(tensor(stored=storage(kind="module"))),
    "unknown dtype of a storage": state(tensor(stored=storage("QInt8Storage"))),
    "storage by text": state(tensor(stored=b"P0\n")),
    "storage without parts": state(tensor(stored=b")Q")),
    "storage that is no tuple": state(tensor(stored=b"K\1Q")),
}  # fmt: skip


@formats
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(path, refuses, write, case):
    if (write, case) == (archive, "storage of another dtype"):
        pytest.skip("four bytes are four bytes: in an archive, torch reads that as well")
    write(path, DAMAGED[case])
    refuses(lambda: {key: t.read() for key, t in read_torch_files([path]).items()}, str(path))


def cut(write, share):
    def cut_off(path):
        write(path, state(tensor(), tensor()))
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return cut_off


def changed(old, new):
    """An archive in which some bytes are others."""

    def change(path):
        archive(path, state(tensor()))
        whole = path.read_bytes()
        assert old in whole
        path.write_bytes(whole.replace(old, new))

    return change


def field(signature, offset, value):
    """An archive in which a field of a record is another: of the last one with a signature."""

    def change(path):
        archive(path, state(tensor()))
        whole = bytearray(path.read_bytes())
        start = whole.rindex(signature) + offset
        whole[start : start + len(value)] = value
        path.write_bytes(whole)

    return change


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
GOOD = state(tensor())
BOMB = bytes(5 * 2**20)


def sparse(path, start, size):
    path.write_bytes(start)
    with path.open("r+b") as file:
        file.truncate(size)


FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(100)),
    "text": lambda path: path.write_text("weights"),
    "HTML": lambda path: path.write_text("\n<html><body>429 Too many requests"),
    "Git LFS": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid 0"),
    "a terabyte of zeros": lambda path: sparse(path, b"", 2**40),
    "a pickle of a terabyte": lambda path: sparse(path, MAGIC + VERSION + SYSTEM, 2**40),
    "text of two gigabytes": lambda path: sparse(path, MAGIC + b"\x80\x02X\xff\xff\xff\x7f", 2**32),
    "the head of an archive": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(60)),
    "the end of an archive": lambda path: path.write_bytes(END + bytes(18)),
    "wrong magic": lambda path: path.write_bytes(VERSION * 3),
    "wrong version": lambda path: path.write_bytes(MAGIC + MAGIC + SYSTEM + GOOD),
    "high byte first": lambda path: path.write_bytes(
        MAGIC + VERSION + PROTO + b"}" + text("little_endian") + b"\x89s." + GOOD
    ),
    "no system": lambda path: path.write_bytes(MAGIC + VERSION + VERSION + GOOD),
    "no keys": partial(older, program=GOOD, keys=()),
    "keys of others": partial(older, program=GOOD, keys=("1",)),
    "a key twice": partial(older, program=GOOD, keys=("0", "0")),
    "keys that are lists": lambda path: path.write_bytes(
        MAGIC + VERSION + SYSTEM + GOOD + PROTO + LISTS + STOP
    ),
    "more numbers stated": partial(older, program=GOOD, stated=5),
    "fewer numbers stated": partial(older, program=GOOD, stated=3),
    "negative numbers stated": partial(older, program=GOOD, stated=-4),
    "values missing": partial(older, program=GOOD, values=bytes(15)),
    "view of a storage": partial(older, program=state(tensor(stored=storage(view=b"(t")))),
    "compressed": partial(archive, program=GOOD, pack=zipfile.ZIP_DEFLATED),
    "bzip2": partial(archive, program=GOOD, pack=zipfile.ZIP_BZIP2),
    "lzma": partial(archive, program=GOOD, pack=zipfile.ZIP_LZMA),
    "bomb of values": partial(archive, program=GOOD, values=BOMB, pack=zipfile.ZIP_DEFLATED),
    "bomb of a pickle": partial(archive, program=BOMB, pack=zipfile.ZIP_DEFLATED),
    "no pickle": lambda path: zipfile.ZipFile(path, "w").close(),
    "two pickles": partial(archive, program=GOOD, entries=[("g/data.pkl", GOOD)]),
    "a pickle twice": partial(
        archive, program=GOOD, entries=[("f/data.pkl ", GOOD), ("h/data.pkl", b"")]
    ),
    "pickle at another place": partial(archive, program=b"", entries=[("data.pkl", GOOD)]),
    "a TorchScript program": partial(archive, program=GOOD, entries=[("f/constants.pkl", b"")]),
    "archive of high bytes": partial(archive, program=GOOD, entries=[("f/byteorder", b"big")]),
    "entry that leads out": partial(archive, program=GOOD, entries=[("f/../../canary", b"")]),
    "entry at an absolute path": partial(archive, program=GOOD, entries=[("/tmp/canary", b"")]),
    "encrypted": field(CENTRAL, 8, b"\1\0"),
    "another compression": field(CENTRAL, 10, b"\x63\0"),
    "values that are larger": field(CENTRAL, 20, b"\x11\0\0\0\x11\0\0\0"),
    "values that are smaller": field(CENTRAL, 20, b"\x0f\0\0\0\x0f\0\0\0"),
    "values of 4 GB": field(CENTRAL, 20, b"\xfe\xff\xff\xff" * 2),
    "values of zip64 without its field": field(CENTRAL, 20, b"\xff\xff\xff\xff" * 2),
    "values at another place": field(CENTRAL, 42, b"\1\0\0\0"),
    "values in the pickle's place": field(CENTRAL, 42, b"\0\0\0\0"),
    "values far behind": field(CENTRAL, 42, b"\xf0\xff\xff\xff"),
    "a name of 60,000 bytes": field(LOCAL, 26, b"\x60\xea"),
    "a field of 60,000 bytes": field(LOCAL, 28, b"\x60\xea"),
    "no local header": field(LOCAL, 0, b"PK\7\7"),
    "no directory": field(CENTRAL, 0, b"PK\7\7"),
    "directory elsewhere": field(END, 16, b"\xff\xff\xff\x7f"),
    "a directory of 4 GB": field(END, 12, b"\xfe\xff\xff\xff"),
    "key of a pickle": changed(b"X\1\0\0\0w", b"X\1\0\0\0\xff"),
    **{f"archive, {share}": cut(archive, share) for share in (0.01, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99)},
    **{f"older, {share}": cut(older, share) for share in (0.01, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99)},
}


@pytest.mark.parametrize("case", FILES)
def test_files(path, refuses, case):
    FILES[case](path)
    words = {"HTML": "an HTML page", "Git LFS": "git lfs pull", "empty": "an empty file"}
    refuses(
        lambda: {key: t.read() for key, t in read_torch_files([path]).items()},
        str(path),
        words.get(case, ""),
    )
