"""The files of Transformers v4's TensorFlow classes are read by their names and layouts, and
written so that they could read them; tests/v4 asks v4 itself.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import GPT2Config, RegNetConfig, T5Config

import keraform
from keraform.checkpoints import read_keras2, write_keras2
from keraform.checkpoints.keras2_names import for_model, torch_key
from keraform.checkpoints.tensors import keep, of_array
from keraform.errors import KeraformError
from keraform.runtime.layers import Layer
from keraform.runtime.tree import named_weights
from modeling import mini_bert

H5 = "tf_model.h5"
NORM, DENSE = (("gamma", "weight"), ("beta", "bias")), (("kernel", "weight"), ("bias", "bias"))


def several(path, key, kinds):
    return {f"{path}/{old}": f"{key}.{new}" for old, new in kinds}


def bert_names(start=""):
    """v4's names of BERT's variables, and PyTorch's keys."""
    names = {
        "embeddings/word_embeddings/weight": "embeddings.word_embeddings.weight",
        "embeddings/token_type_embeddings/embeddings": "embeddings.token_type_embeddings.weight",
        "embeddings/position_embeddings/embeddings": "embeddings.position_embeddings.weight",
        **several("embeddings/LayerNorm", "embeddings.LayerNorm", NORM),
        **several("pooler/dense", "pooler.dense", DENSE),
    }
    for index in range(mini_bert.tiny_config().num_hidden_layers):
        old, new = f"encoder/layer_._{index}", f"encoder.layer.{index}"
        for part in ("attention/self/query", "attention/self/key", "attention/self/value",
                     "attention/output/dense", "intermediate/dense", "output/dense"):  # fmt: skip
            names |= several(f"{old}/{part}", f"{new}.{part.replace('/', '.')}", DENSE)
        for part in ("attention/output/LayerNorm", "output/LayerNorm"):
            names |= several(f"{old}/{part}", f"{new}.{part.replace('/', '.')}", NORM)
    return {f"bert/{old}": start + new for old, new in names.items()}


def arrays(model, names, seed=0):
    """A value for each of v4's names: v4 kept a weight as Keras keeps it."""
    rng = np.random.default_rng(seed)
    shapes = {weight.key: tuple(weight.variable.shape) for weight in named_weights(model)}
    return {old: rng.normal(size=shapes[key]).astype("float32") for old, key in names.items()}


def write(path, values, model_name="tf_model", extra=()):
    """A whole file in v4's layout: a group for each layer of the model."""
    layers = {}
    for name in values:
        layers.setdefault(name.partition("/")[0], []).append(name)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in (*layers, *extra)]
        for layer in (*layers, *extra):
            group = file.create_group(layer)
            full = {f"{model_name}/{name}:0": values[name] for name in layers.get(layer, ())}
            group.attrs["weight_names"] = [name.encode() for name in full]
            for name, value in full.items():
                group[name] = value


def check(model, names, values):
    """Whether each weight is what the file has under its name, in Keras's layout."""
    found = {weight.key: np.asarray(weight.variable) for weight in named_weights(model)}
    assert names
    for old, key in names.items():
        np.testing.assert_array_equal(found[key], values[old].reshape(found[key].shape), old)


@pytest.fixture(scope="module")
def bert_values():
    """v4's names of BERT's variables with PyTorch's keys, and values."""
    names = bert_names()
    return names, arrays(mini_bert.TFBertModel(mini_bert.tiny_config()), names)


@pytest.fixture
def bert(tmp_path, bert_values):
    """A directory with BERT's configuration and weights in `tf_model.h5`, and what is in them."""
    mini_bert.tiny_config().save_pretrained(tmp_path)
    write(tmp_path / H5, bert_values[1], "tf_bert_model_3")
    return tmp_path, *bert_values


def loaded(folder, cls=mini_bert.TFBertModel, **options):
    return cls.from_pretrained(folder, output_loading_info=True, **options)


def test_bert(bert):
    folder, names, values = bert
    model, report = loaded(folder)
    assert not any(report.values())
    check(model, names, values)
    assert {loaded(folder, dtype="bfloat16")[0].weights[0].dtype} == {"bfloat16"}


def test_a_base_models_file_in_a_head_and_the_reverse(bert):
    folder, names, values = bert
    head, report = loaded(folder, mini_bert.TFBertForMaskedLM)
    assert any("predictions" in key for key in report["missing_keys"])
    assert report["unexpected_keys"] == ["bert.pooler.dense.bias", "bert.pooler.dense.weight"]
    inner = {old: f"bert.{key}" for old, key in names.items() if "pooler" not in old}
    check(head, inner, values)

    inner["mlm___cls/predictions/bias"] = "cls.predictions.bias"
    inner |= several(
        "mlm___cls/predictions/transform/dense", "cls.predictions.transform.dense", DENSE
    )
    norm = "cls/predictions/transform/LayerNorm"
    inner |= several(f"mlm___{norm}", norm.replace("/", "."), NORM)
    values = arrays(head, inner, seed=1)
    write(folder / H5, values, "tf_bert_for_masked_lm", extra=["dropout_37"])
    head, report = loaded(folder, mini_bert.TFBertForMaskedLM)
    assert not any(report.values())
    check(head, inner, values)
    base, report = loaded(folder)
    assert {"pooler.dense.weight", "pooler.dense.bias"} == set(report["missing_keys"])
    assert "cls.predictions.bias" in report["unexpected_keys"]
    check(base, {old: names[old] for old in inner if old in names}, values)


def shards(folder, values, form):
    """Two shards as v4 wrote them, in which what layers share may lie in both."""
    names = list(values)
    ending = form.partition(".")[2] if form != H5 else "h5"
    index = {}
    for number, part in enumerate((names[:5], [names[0], *names[5:]]), 1):
        file = f"{form.partition('.')[0]}-0000{number}-of-00002.{ending}"
        inside = {f"{name}:0": values[name] for name in part}
        index |= {f"tf_bert_model/{name}": file for name in inside}
        if form == H5:
            with h5py.File(folder / file, "w") as shard:
                shard.attrs["layer_names"] = [name.encode() for name in inside]
                for name, value in inside.items():
                    shard[name] = value
        else:
            save_file(inside, folder / file, metadata={"format": "tf"})
    (folder / f"{form}.index.json").write_text(json.dumps({"weight_map": index}))


@pytest.mark.parametrize("form", [H5, "model.safetensors"])
def test_shards(bert, form):
    folder, names, values = bert
    (folder / H5).unlink()
    shards(folder, values, form)
    model, report = loaded(folder)
    assert not any(report.values())
    check(model, names, values)


def test_which_file_wins(bert, caplog):
    folder, names, values = bert
    other = arrays(loaded(folder)[0], names, seed=2)
    save_file({f"{name}:0": value for name, value in other.items()}, folder / "model.safetensors",
              metadata={"format": "tf"})  # fmt: skip
    with caplog.at_level(logging.WARNING):
        check(loaded(folder, keraform.TFAutoModel)[0], names, other)
    assert "model.safetensors is read, not tf_model.h5 beside it" in caplog.text
    check(loaded(folder, keraform.TFAutoModel, from_tf=True)[0], names, values)
    (folder / H5).unlink()
    with pytest.raises(KeraformError, match=r"expected: tf_model\.h5 in "):
        loaded(folder, from_tf=True)


def test_gpt2(tmp_path):
    config = GPT2Config(vocab_size=23, n_embd=8, n_layer=1, n_head=2, n_positions=6)
    config.save_pretrained(tmp_path)
    names = {
        "transformer/wte/embeddings": "transformer.wte.weight",
        "transformer/wpe/embeddings": "transformer.wpe.weight",
        **several("transformer/ln_f", "transformer.ln_f", NORM),
        **several("transformer/h_._0/ln_1", "transformer.h.0.ln_1", NORM),
        **several("transformer/h_._0/ln_2", "transformer.h.0.ln_2", NORM),
    }
    for part in ("attn/c_attn", "attn/c_proj", "mlp/c_fc", "mlp/c_proj"):
        kinds = (("weight", "weight"), ("bias", "bias"))
        key = f"transformer.h.0.{part.replace('/', '.')}"
        names |= several(f"transformer/h_._0/{part}", key, kinds)
    values = arrays(keraform.TFGPT2LMHeadModel(config), names)
    convolutions = [name for name in values if "/c_" in name and name.endswith("bias")]
    values |= {name: values[name][None] for name in convolutions}  # [1, n], as v4's Conv1D had it
    write(tmp_path / H5, values, "tfgpt2lm_head_model")
    model, report = loaded(tmp_path, keraform.TFGPT2LMHeadModel)
    assert not any(report.values())
    check(model, names, values)
    write_keras2(tmp_path / "again.h5", model)
    assert contents(tmp_path / "again.h5") == contents(tmp_path / H5)


def test_t5_with_a_table_that_three_layers_share(tmp_path):
    config = T5Config(vocab_size=23, d_model=8, d_kv=3, d_ff=9, num_layers=1, num_heads=2)
    config.save_pretrained(tmp_path)
    names = {}
    for stack in ("encoder", "decoder"):
        start, key = f"{stack}/block_._0", f"{stack}.block.0"
        names[f"{stack}/final_layer_norm/weight"] = f"{stack}.final_layer_norm.weight"
        parts = ["SelfAttention", "DenseReluDense"]
        if stack == "decoder":
            parts.insert(1, "EncDecAttention")
        for number, part in enumerate(parts):
            inner, inner_key = f"{start}/layer_._{number}", f"{key}.layer.{number}"
            names[f"{inner}/layer_norm/weight"] = f"{inner_key}.layer_norm.weight"
            for each in ("wi", "wo") if part == "DenseReluDense" else "qkvo":
                names[f"{inner}/{part}/{each}/kernel"] = f"{inner_key}.{part}.{each}.weight"
        table = "SelfAttention/relative_attention_bias"
        names[f"{start}/layer_._0/{table}/embeddings"] = (
            f"{key}.layer.0.{table.replace('/', '.')}.weight"
        )
    names["shared/embeddings"] = "shared.weight"
    values = arrays(keraform.TFT5Model(config), names)
    write(tmp_path / H5, values, "tft5_model")
    with h5py.File(tmp_path / H5, "a") as file:
        group = file["decoder"]
        listed = [*map(text_of, group.attrs["weight_names"]), "shared/shared/embeddings:0"]
        group.attrs["weight_names"] = [name.encode() for name in listed]
        group["shared/shared/embeddings:0"] = values["shared/embeddings"]
    model, report = loaded(tmp_path, keraform.TFT5Model)
    assert not any(report.values())
    check(model, names, values)

    with h5py.File(tmp_path / H5, "a") as file:
        file["decoder/shared/shared/embeddings:0"][0, 0] += 1
    with pytest.raises(KeraformError, match=r"shared\.weight in .*tf_model\.h5 and in"):
        loaded(tmp_path, keraform.TFT5Model)


def test_a_convnet_with_batch_norm(tmp_path):
    config = RegNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], groups_width=2)
    config.save_pretrained(tmp_path)
    norm = (*NORM, ("moving_mean", "running_mean"), ("moving_variance", "running_var"))
    names = {}
    start = "regnet/encoder/stages.0/layers.0"
    for part in ("regnet/embedder/embedder", f"{start}/shortcut",
                 *(f"{start}/layer.{number}" for number in (0, 1, 3))):  # fmt: skip
        key = part.replace("/", ".").removeprefix("regnet.")
        names[f"{part}/convolution/kernel"] = f"{key}.convolution.weight"
        names |= several(f"{part}/normalization", f"{key}.normalization", norm)
    for number in (0, 2):
        part = f"layer.2/attention.{number}"
        names |= several(
            f"{start}/{part}", f"encoder.stages.0.layers.0.{part.replace('/', '.')}", DENSE
        )
    values = arrays(keraform.TFRegNetModel(config), names)
    write(tmp_path / H5, values, "tf_reg_net_model")
    model, report = loaded(tmp_path, keraform.TFRegNetModel)
    assert not any(report.values())
    check(model, names, values)
    counters = [w for w in named_weights(model) if w.key.endswith("num_batches_tracked")]
    assert counters and not any(np.asarray(each.variable) for each in counters)


def text_of(name):
    return name.decode() if isinstance(name, bytes) else name


def contents(path):
    """Layers, names without the model's, and values."""
    found = {}
    with h5py.File(path) as file:
        for layer in map(text_of, file.attrs["layer_names"]):
            for name in map(text_of, file[layer].attrs["weight_names"]):
                value = file[layer][name][()]
                found[layer, name.partition("/")[2]] = value.shape, value.tobytes()
    return found


def test_written_and_read_again(bert, tmp_path, monkeypatch):
    folder, names, values = bert
    model, _ = loaded(folder)
    model.save_pretrained(tmp_path / "out", safe_serialization=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", H5]
    assert contents(tmp_path / "out" / H5) == contents(folder / H5)
    check(loaded(tmp_path / "out")[0], names, values)
    with h5py.File(tmp_path / "out" / H5) as file:
        assert list(file["bert/tf_bert_model/bert/pooler/dense"]) == ["bias:0", "kernel:0"]

    with pytest.raises(KeraformError, match=r"at most max_shard_size='1KB'(.|\n)*bytes of TFBert"):
        model.save_pretrained(tmp_path / "out", safe_serialization=False, max_shard_size="1KB")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
        with pytest.raises(KeraformError, match="10 bytes free, where"):  # HDF5 would end all
            model.save_pretrained(tmp_path / "out", safe_serialization=False)
    assert contents(tmp_path / "out" / H5) == contents(folder / H5)
    model.save_pretrained(tmp_path / "both")
    with pytest.raises(KeraformError, match=r"with model\.safetensors, which would be read"):
        model.save_pretrained(tmp_path / "both", safe_serialization=False)


def test_a_list_of_names_that_one_attribute_cannot_hold(bert, monkeypatch):
    from keraform.checkpoints import keras2_save

    folder, names, values = bert
    model, _ = loaded(folder)
    monkeypatch.setattr(keras2_save, "_ATTRIBUTE_LIMIT", 900)
    write_keras2(folder / H5, model)
    with h5py.File(folder / H5) as file:
        assert "weight_names1" in file["bert"].attrs and "weight_names" not in file["bert"].attrs
    model, report = loaded(folder)
    assert not any(report.values())
    check(model, names, values)


def test_what_v4_had_not_is_not_written(bert, tmp_path):
    class TFBertForCooking(mini_bert.TFBertModel):
        pass

    model, _ = loaded(bert[0], TFBertForCooking)
    with pytest.raises(KeraformError, match=r"classes that Transformers v4 had(.|\n)*TFBertForC"):
        write_keras2(tmp_path / "x.h5", model)
    model, _ = loaded(bert[0])
    model.extra = model.add_weight((2,), name="extra")
    with pytest.raises(KeraformError, match=r"a variable of v4's TFBertModel(.|\n)*got: extra,"):
        write_keras2(tmp_path / "x.h5", model)
    assert not (tmp_path / "x.h5").exists()


# Bad files


def refuse(folder, *words):
    with pytest.raises(KeraformError) as caught:
        loaded(folder)
    for word in ("expected: ", "\ngot: ", "\ntry: ", str(folder), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("kept", [0, 10, 3000, -1])
def test_cut_off(bert, kept):
    folder = bert[0]
    whole = (folder / H5).read_bytes()
    (folder / H5).write_bytes(whole[:kept])
    refuse(folder, f"tf_model.h5 ({len(whole[:kept])} bytes)")


def test_a_missing_shard(bert):
    folder, _, values = bert
    (folder / H5).unlink()
    shards(folder, values, H5)
    (folder / "tf_model-00002-of-00002.h5").unlink()
    refuse(folder, "tf_model-00002-of-00002.h5")


def test_files_of_others(bert):
    folder = bert[0]
    with h5py.File(folder / H5, "w") as file:  # as Keras 3 writes weights
        file.create_group("layers/dense/vars")["0"] = np.zeros(2)
    refuse(folder, "['layers'] and no layer_names", "as Keras 3 or another tool writes it")
    with h5py.File(folder / H5, "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file.create_group("dense")
    refuse(folder, "a layer dense without weight_names")


QUERY = "bert/tf_bert_model_3/bert/encoder/layer_._0/attention/self/query/kernel:0"


def external_link(file, outside):
    file[QUERY] = h5py.ExternalLink(outside, "secret")


def soft_link(file, outside):
    file[QUERY] = h5py.SoftLink("/bert")


def virtual(file, outside):
    layout = h5py.VirtualLayout((24, 24), "float32")
    layout[:] = h5py.VirtualSource(outside, "secret", (24, 24))
    file.create_virtual_dataset(QUERY, layout)


def external_storage(file, outside):
    file.create_dataset(QUERY, (24, 24), "float32", external=[(outside, 0, 24 * 24 * 4)])


def packed(file, outside):
    file.create_dataset(QUERY, data=np.zeros((24, 24), "float32"), compression="gzip")


def huge(file, outside):
    file.create_dataset(QUERY, (10**9, 10**9), "float32")


def absent(file, outside):
    pass


def text(file, outside):
    file[QUERY] = "secret"


def a_group(file, outside):
    file.create_group(QUERY)


@pytest.mark.parametrize(
    "change, words",
    [
        (external_link, "a ExternalLink"),
        (soft_link, "a SoftLink"),
        (virtual, "values in another file"),
        (external_storage, "values in another file"),
        (packed, "values in chunks or packed"),
        (huge, "without its values"),
        (absent, "is listed and not there"),
        (text, "of dtype object"),
        (a_group, "is not a tensor"),
    ],
)
def test_values_that_do_not_lie_in_the_file(bert, tmp_path, change, words):
    folder = bert[0]
    outside = str(tmp_path / "outside.h5")
    with h5py.File(outside, "w") as file:
        file["secret"] = np.zeros((24, 24), "float32")
    with h5py.File(folder / H5, "a") as file:
        del file[QUERY]
        change(file, outside)
    refuse(folder, "layer_._0/attention/self/query/kernel:0", words)


def test_a_shape_is_never_made_to_fit(bert):
    folder, names, values = bert
    name = "bert/encoder/layer_._0/intermediate/dense/kernel"
    write(folder / H5, values | {name: values[name].T.copy()})
    refuse(folder, "encoder.layer.0.intermediate.dense.weight of shape")
    _, report = loaded(folder, ignore_mismatched_sizes=True)
    assert [key for key, *_ in report["mismatched_keys"]] == [names[name]]


def test_names_inside_of_models_that_hold_others():
    both = Layer()
    both.encoder = mini_bert.TFBertMainLayer(mini_bert.tiny_config())
    known = {"encoder.pooler.dense.bias", "decoder.final_logits_bias", "head.decoder.bias"}

    def keys(*names, keras2=True):
        stored = {each: replace(of_array(each, np.ones(2)), keras2=keras2) for each in names}
        return set(for_model(stored, both, known))

    assert keys("encoder.bert.pooler.dense.bias") == {"encoder.pooler.dense.bias"}
    assert keys("encoder.bert.older.bias") == {"encoder.older.bias"}
    assert keys("decoder.bert.older.bias") == {"decoder.bert.older.bias"}
    assert keys("final_logits_bias") == {"decoder.final_logits_bias"}
    assert keys("head.bias") == {"head.bias", "head.decoder.bias"}
    assert keys("encoder.bert.x", "head.bias", keras2=False) == {"encoder.bert.x", "head.bias"}
    with pytest.raises(KeraformError, match="each key in one file"):
        keep(
            {"a": replace(of_array("a", np.ones(2)), keras2=True)},
            replace(of_array("a", np.zeros(2)), keras2=True),
        )


def test_albert_has_one_bias_that_counts(tmp_path):
    values = {"predictions/bias": np.zeros(3), "predictions/decoder/bias": np.ones(3)}
    write(tmp_path / H5, values)
    assert list(read_keras2([tmp_path / H5])) == ["predictions.decoder.bias"]


@pytest.mark.parametrize(
    "name, key",
    [
        ("tf_bert_model/bert/encoder/layer_._11/output/dense/kernel:0",
         "bert.encoder.layer.11.output.dense.weight"),
        ("tf_bert_for_masked_lm_2/mlm___cls/predictions/bias:0", "cls.predictions.bias"),
        ("tf_x/nsp___cls/seq_relationship/kernel:0", "cls.seq_relationship.weight"),
        ("shared/shared/weight:0", "shared.weight"),
        ("model.shared/model.shared/embeddings:0", "model.shared.weight"),
        ("final_logits_bias:0", "final_logits_bias"),
        ("tf_bart_model/model/encoder/layers.0/fc1/bias:0", "model.encoder.layers.0.fc1.bias"),
        ("tf_x/a/conv/depthwise_kernel:0", "a.conv.depthwise.weight"),
        ("tf_x//a/norm/moving_variance:0", "a.norm.running_var"),
        ("tf_x/a/attention/r_kernel:0", "a.attention.r_kernel"),
    ],
)  # fmt: skip
def test_names(name, key):
    assert torch_key(name) == key


def test_read_keras2_gives_pytorchs_layout(tmp_path):
    convolution = np.arange(2 * 3 * 5 * 7, dtype="float32").reshape(2, 3, 5, 7)
    write(tmp_path / H5, {"a/b_._0/kernel": convolution, "a/c/kernel": np.ones((2, 3), "float16")})
    found = read_keras2([tmp_path / H5])
    np.testing.assert_array_equal(found["a.b.0.weight"].read(), convolution.transpose(3, 2, 0, 1))
    assert found["a.c.weight"].shape == (3, 2) and found["a.c.weight"].dtype == "float16"
