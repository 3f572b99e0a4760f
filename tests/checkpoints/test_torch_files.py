"""torch's own files are read as torch reads them, in both formats, and nothing in them is run."""

from __future__ import annotations

import io
import logging
import os
import pickle
import zipfile

import numpy as np
import pytest

from keraform.checkpoints import read_torch_files
from keraform.errors import KeraformError
from modeling import mini_bert

torch = pytest.importorskip("torch")

FORMATS = pytest.mark.parametrize("archive", [True, False], ids=["archive", "older"])
DTYPES = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def save(state, path, archive):
    torch.save(state, path, _use_new_zipfile_serialization=archive)
    return path


def read(path):
    return {key: tensor.read() for key, tensor in read_torch_files([path]).items()}


def some_tensors():
    base = torch.arange(24.0).reshape(4, 6)
    return {
        **torch.nn.Linear(3, 4).state_dict(),
        **{name: torch.ones(2, 3).to(getattr(torch, name)) for name in (*DTYPES, "complex64")},
        "turned": base.T,
        "part": base[1:3, 2:4],
        "parameter": torch.nn.Parameter(base.clone()),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
    }


@FORMATS
def test_every_tensor_is_torchs(tmp_path, archive):
    state = some_tensors()
    if archive:
        state["float8"] = torch.ones(3).to(torch.float8_e4m3fn)
    path = save(state, tmp_path / "f.bin", archive)
    found = read_torch_files([path])
    assert list(found) == list(state)
    for key, wanted in state.items():
        got = found[key].read()
        assert got.shape == found[key].shape == tuple(wanted.shape)
        assert f"torch.{got.dtype}" == str(wanted.dtype) == f"torch.{found[key].dtype}"
        same = got.astype("complex64") == wanted.detach().to(torch.complex64).numpy()
        assert same.all(), key


@FORMATS
def test_a_model_is_loaded_from_it(tmp_path, archive):
    from transformers import BertModel

    config = mini_bert.tiny_config()
    config.save_pretrained(tmp_path)
    theirs = BertModel(config).eval()
    save(theirs.state_dict(), tmp_path / "pytorch_model.bin", archive)
    model, report = mini_bert.TFBertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = np.array([[1, 5, 7, 2]])
    with torch.no_grad():
        wanted = theirs(torch.tensor(ids)).last_hidden_state.numpy()
    np.testing.assert_allclose(np.asarray(model(ids).last_hidden_state), wanted, atol=1e-5)


def test_shards_and_which_form_counts(tmp_path, caplog):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    model.save_pretrained(tmp_path)
    first = {"embeddings.word_embeddings.weight": torch.zeros(1)}
    save(first, tmp_path / "pytorch_model.bin", True)
    with caplog.at_level(logging.WARNING):
        mini_bert.TFBertModel.from_pretrained(tmp_path, use_safetensors=True)
    assert "model.safetensors is read, not pytorch_model.bin beside it" in caplog.text
    with pytest.raises(KeraformError, match=r"shape \(1,\) in .*pytorch_model.bin"):
        mini_bert.TFBertModel.from_pretrained(tmp_path, use_safetensors=False)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(KeraformError, match="without use_safetensors"):
        mini_bert.TFBertModel.from_pretrained(tmp_path, use_safetensors=True)


class Calls:
    def __init__(self, function, *args):
        self.made = function, args

    def __reduce__(self):
        return self.made


@FORMATS
@pytest.mark.parametrize(
    "function, args",
    [
        (os.system, ("touch {marker}",)),
        (eval, ("open('{marker}', 'w')",)),
        (getattr, ("", "join")),
        (torch.load, ("{marker}",)),
        (np.ones, (3,)),
    ],
    ids=["os.system", "eval", "getattr", "torch.load", "numpy"],
)
def test_nothing_is_run(tmp_path, archive, function, args):
    marker = tmp_path / "marker"
    state = {
        "w": torch.ones(1),
        "bad": Calls(function, *(str(a).format(marker=marker) for a in args)),
    }
    path = save(state, tmp_path / "f.bin", archive)
    with pytest.raises(KeraformError, match=r"tensors by their names.*\ngot: \S+ in .*f\.bin"):
        read_torch_files([path])
    assert not marker.exists()


@pytest.mark.parametrize(
    "program, words",
    [
        (b"\x80\x02cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "INST"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "remembers at 2147483647"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "cannot be read"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x05_callK\x01sb.", "cannot be read"),
        (b"", "cannot be read"),
        (b"not a pickle", "cannot be read"),
    ],
)
def test_programs_of_all_kinds(tmp_path, program, words):
    with zipfile.ZipFile(tmp_path / "f.bin", "w") as archive:
        archive.writestr("f/data.pkl", program)
    with pytest.raises(KeraformError, match=words):
        read_torch_files([tmp_path / "f.bin"])
    (tmp_path / "older.bin").write_bytes(program)
    with pytest.raises(KeraformError):
        read_torch_files([tmp_path / "older.bin"])


def tensor_pickle(storage, offset, size, stride):
    """The pickle of one tensor, as torch writes it, with numbers of one's own."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return storage if isinstance(value, Storage) else None

    class Storage:
        pass

    rebuilt = torch._utils._rebuild_tensor_v2, (Storage(), offset, size, stride, False, {})
    text = io.BytesIO()
    Pickler(text, protocol=2).dump({"w": Calls(rebuilt[0], *rebuilt[1])})
    return text.getvalue()


@pytest.mark.parametrize(
    "storage, offset, size, stride",
    [
        (("storage", torch.FloatStorage, "0", "cpu", 5), 0, (2,), (1,)),
        (("storage", torch.FloatStorage, "0", "cpu", 4), 1, (4,), (1,)),
        (("storage", torch.FloatStorage, "0", "cpu", 4), -1, (2,), (1,)),
        (("storage", torch.FloatStorage, "0", "cpu", 4), 0, (2, 2), (8, 1)),
        (("storage", torch.FloatStorage, "0", "cpu", 4), 0, (2**40,), (0,)),
        (("storage", torch.FloatStorage, "0", "cpu", 4), 0, (2, -1), (1, 1)),
        (("storage", torch.FloatStorage, "0", "cpu", 4), 0, (4,), (1, 1)),
        (("storage", torch.FloatStorage, "0", "cpu", -4), 0, (4,), (1,)),
        (("storage", torch.FloatStorage, "../0", "cpu", 4), 0, (4,), (1,)),
        (("storage", torch.FloatStorage, "1", "cpu", 4), 0, (4,), (1,)),
        (("module", torch.FloatStorage, "0", "cpu", 4), 0, (4,), (1,)),
    ],
)
def test_tensors_that_do_not_lie_in_their_bytes(tmp_path, storage, offset, size, stride):
    with zipfile.ZipFile(tmp_path / "f.bin", "w") as archive:
        archive.writestr("f/data.pkl", tensor_pickle(storage, offset, size, stride))
        archive.writestr("f/data/0", b"\0" * 16)
    with pytest.raises(KeraformError, match="cannot be read: ValueError"):
        read_torch_files([tmp_path / "f.bin"])


def test_archives_that_torch_does_not_write(tmp_path):
    good = save({"w": torch.ones(4)}, tmp_path / "good.bin", True)
    with zipfile.ZipFile(good) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(each for each in entries if each.endswith("/data.pkl"))
    folder = name.removesuffix("data.pkl")

    def written(change, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "f.bin", "w", compression) as archive:
            for key, value in change(dict(entries)).items():
                archive.writestr(key, value)
        return [tmp_path / "f.bin"]

    with pytest.raises(KeraformError, match="compressed"):
        read_torch_files(written(lambda entries: entries, zipfile.ZIP_DEFLATED))
    with pytest.raises(KeraformError, match="high byte first"):
        read_torch_files(written(lambda entries: {**entries, f"{folder}byteorder": b"big"}))
    with pytest.raises(KeraformError, match="TorchScript"):
        read_torch_files(written(lambda entries: {**entries, f"{folder}constants.pkl": b""}))
    with pytest.raises(KeraformError, match=r"none of them torch's data\.pkl"):
        read_torch_files(written(lambda entries: {"a": b""}))


@FORMATS
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_off_files(tmp_path, archive, share):
    path = save(some_tensors(), tmp_path / "f.bin", archive)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(KeraformError, match=r"f\.bin \(\d+ bytes\), which cannot be read"):
        read_torch_files([path])


@FORMATS
def test_what_is_not_a_state_dict(tmp_path, archive, caplog):
    path = save({"model": {"w": torch.ones(1)}, "epoch": 3}, tmp_path / "f.bin", archive)
    with pytest.raises(KeraformError, match="tensors below 'model'"):
        read_torch_files([path])
    with pytest.raises(KeraformError, match="a list in"):
        read_torch_files([save([1], path, archive)])
    with caplog.at_level(logging.WARNING):
        assert list(read(save({"w": torch.ones(1), "epoch": 3}, path, archive))) == ["w"]
    assert "no tensors, so not used: epoch" in caplog.text
    with pytest.raises(KeraformError, match="each key in one file"):
        read_torch_files([path, path])
