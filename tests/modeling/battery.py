"""What the base classes owe to KERAS3.md, as functions that run on any backend.

`python tests/modeling/battery.py NAME...` runs them in a process of their own (for JAX).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from transformers import BatchEncoding

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import mini_bert
else:
    from modeling import mini_bert

from keraform.runtime.observe import observe
from keraform.training import losses


def array(value):
    return np.asarray(value)


def classifier(**changes):
    changes = {"num_hidden_layers": 1, **changes}
    return mini_bert.TFBertForSequenceClassification(mini_bert.tiny_config(**changes))


def training_data():
    inputs = {name: np.repeat(value, 4, axis=0) for name, value in mini_bert.tiny_inputs().items()}
    return inputs, np.array([0, 1] * 4)


def seeds(model):
    return [array(v) for v in model.variables if "seed_generator" in v.path]


def moved(before, after):
    return any((one != other).any() for one, other in zip(before, after, strict=True))


def same(one, other):
    assert np.array_equal(array(one), array(other))


def point_2_dropout_is_on_in_fit_only():
    model = classifier(hidden_dropout_prob=0.5)
    inputs, labels = training_data()
    model.compile("sgd")
    before = seeds(model)
    assert before
    model.fit(inputs, labels, batch_size=4, verbose=0)
    trained = seeds(model)
    assert moved(before, trained)
    model.evaluate(inputs, labels, batch_size=4, verbose=0)
    model.predict(inputs, batch_size=4, verbose=0)
    assert not moved(trained, seeds(model))


def point_2_call_itself_sets_the_context():
    model = classifier(hidden_dropout_prob=0.5)
    seen = []
    with observe(lambda layer, args, kwargs, output: seen.append(layer.training)):
        model.call(mini_bert.tiny_inputs(), training=True)
    assert len(seen) > 12 and all(seen)
    assert model.training is False


def point_4_quantized_layers_compute_with_their_scales():
    model, inputs = classifier(), mini_bert.tiny_inputs()
    expected = array(model(inputs).logits)
    assert "bert.encoder.layer.0.attention.self.query" in model.quantize("int8")
    error = abs(array(model(inputs).logits) - expected).max()
    assert 0 < error < 0.05 * abs(expected).max(), error


def point_5_configurations_rebuild_the_model():
    model = mini_bert.TFBertModel(mini_bert.tiny_config(), add_pooling_layer=False, name="encoder")
    config = model.get_config()
    again = mini_bert.TFBertModel.from_config(config)
    assert again.name == "encoder" and again.bert.pooler is None
    assert again.config.to_dict() == model.config.to_dict()
    twin = keras.models.clone_model(model)
    assert type(twin) is type(model) and twin.num_parameters() == model.num_parameters()


def point_6_weights_are_named_after_attributes():
    start = "tf_bert_for_sequence_classification"
    model = mini_bert.TFBertForSequenceClassification(mini_bert.tiny_config(), name=start)
    paths = {v.path for v in model.trainable_variables}
    assert f"{start}/bert/encoder/layer/1/attention/self/query/kernel" in paths
    assert len(paths) == len(model.trainable_variables)


def point_7_labels_wherever_they_are():
    inputs, labels = training_data()
    for data in ((inputs, labels), (inputs, {"labels": labels}), ({**inputs, "labels": labels},)):
        model = classifier()
        model.compile("adam", metrics=["accuracy"])
        expected = float(array(model({**inputs, "labels": labels}).loss))
        found = model.evaluate(*data, batch_size=8, verbose=0, return_dict=True)
        assert abs(found["loss"] - expected) < 1e-5, (found, expected)
        assert 0 <= found["accuracy"] <= 1
        history = model.fit(*data, batch_size=4, epochs=2, verbose=0).history
        assert history["loss"][0] > 0.1


def point_7_a_users_loss_gets_logits_and_weights():
    inputs, labels = training_data()
    model = classifier()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"])
    found = model.evaluate(inputs, labels, batch_size=8, verbose=0, return_dict=True)
    own = float(array(model({**inputs, "labels": labels}).loss))
    assert abs(found["loss"] - own) < 1e-5
    model.fit(inputs, labels, sample_weight=np.ones(8), batch_size=4, verbose=0)


def point_7_a_missing_label_is_named():
    inputs, labels = training_data()
    scce = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for y, settings, words in (
        (None, {}, "labels for TFBertForSequenceClassification's own loss (labels)"),
        (None, {"loss": scce}, "labels for the compiled loss (labels)"),
        (labels, {"loss": {"logit": scce}}, "outputs of the model: logits\ngot: one for 'logit'"),
        (labels, {"loss": None}, "compile(loss=None), and no layer adds a loss"),
    ):
        model = classifier()
        model.compile("adam", loss=scce)
        model.compile("adam", run_eagerly=True, **settings)
        try:
            model.fit(inputs, y, verbose=0)
        except ValueError as error:
            assert words in str(error), error
        else:
            raise AssertionError("nothing was said")


def evaluated(model, x, y, weight=None, **settings):
    model.compile("sgd", run_eagerly=True, **settings)
    return model.evaluate(x, y, sample_weight=weight, batch_size=8, verbose=0, return_dict=True)


def close(found, expected):
    assert found.keys() == expected.keys(), (found, expected)
    for name, value in expected.items():
        assert abs(found[name] - value) < 1e-5, (name, found, expected)


def point_7_the_models_own_loss_takes_weights_as_keras_does():
    scce = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    metrics = {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}
    inputs, labels = training_data()
    rows = np.linspace(0, 2, 8).astype("float32")
    model = classifier()
    own = evaluated(model, inputs, labels, rows, **metrics)
    close(own, evaluated(model, {**inputs, "labels": labels}, None, rows, loss=scce, **metrics))

    model = mini_bert.TFBertForMaskedLM(mini_bert.tiny_config(num_hidden_layers=1))
    tokens = inputs["input_ids"].copy()
    tokens[:, :3] = -100
    best = array(model(inputs).logits).argmax(-1)
    tokens[::2, 4:] = best[::2, 4:]  # some are right
    for weight in (rows, np.linspace(0, 2, tokens.size, dtype="float32").reshape(tokens.shape)):
        own = evaluated(model, inputs, tokens, weight, **metrics)
        kept = tokens != -100
        assert abs(own["accuracy"] - (best == tokens)[kept].mean()) < 1e-6
        close(own, evaluated(model, inputs, tokens, weight, loss=scce, **metrics))
    close(evaluated(model, inputs, tokens * 0 - 100), {"loss": 0.0})


def point_7_metrics_compare_what_a_shifting_loss_compares():
    inputs, _ = training_data()
    model = mini_bert.TFBertForMaskedLM(mini_bert.tiny_config(num_hidden_layers=1))
    model.loss_function = losses.ForCausalLMLoss
    best = array(model(inputs).logits).argmax(-1)
    tokens = inputs["input_ids"].copy()
    tokens[::2, 1:] = best[::2, :-1]
    tokens[:, 3] = -100
    weight = np.linspace(0, 2, tokens.size, dtype="float32").reshape(tokens.shape)
    metrics = {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}
    own = evaluated(model, inputs, tokens, weight, **metrics)
    kept = tokens[:, 1:] != -100
    right = (best[:, :-1] == tokens[:, 1:])[kept]
    assert 0.4 < right.mean() < 1 and abs(own["accuracy"] - right.mean()) < 1e-6
    shifted = {"constant_values": -100}, {"constant_values": 0}
    tokens, weight = (
        np.pad(each[:, 1:], ((0, 0), (0, 1)), **how)
        for each, how in zip((tokens, weight), shifted, strict=True)
    )
    scce = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    close(own, evaluated(model, inputs, tokens, weight, loss=scce, **metrics))


def point_7_heads_of_two_outputs():
    inputs, _ = training_data()
    spans = {"start_positions": np.array([1, 2] * 4), "end_positions": np.array([3, 4] * 4)}
    model = mini_bert.TFBertForQuestionAnswering(mini_bert.tiny_config(num_hidden_layers=1))
    output = model(inputs)
    scce = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    names = {"start_logits": "start_positions", "end_logits": "end_positions"}
    single = {o: float(array(scce(spans[label], output[o]))) for o, label in names.items()}
    accuracies = {
        f"{o}_accuracy": (array(output[o]).argmax(-1) == spans[label]).mean()
        for o, label in names.items()
    }
    both = {"loss": sum(single.values()), **{f"{o}_loss": v for o, v in single.items()}}
    own = {"loss": sum(single.values()) / 2, **accuracies}
    by_output = {o: spans[label] for o, label in names.items()}
    close(evaluated(model, inputs, spans, metrics=["accuracy"]), own)
    close(evaluated(model, {**inputs, **spans}, None, metrics=["accuracy"]), own)
    close(evaluated(model, inputs, spans, loss=scce), both)
    close(evaluated(model, inputs, by_output, loss=dict.fromkeys(names, scce)), both)
    close(evaluated(model, inputs, spans, loss=[scce, None]), {"loss": single["start_logits"]})
    close(
        evaluated(model, inputs, spans, loss={"end_logits": scce}), {"loss": single["end_logits"]}
    )
    weight = np.linspace(0, 2, 8).astype("float32")
    weighted = evaluated(model, inputs, spans, weight, loss=scce)["loss"] / 2
    close(evaluated(model, inputs, spans, weight), {"loss": weighted})


def point_7_added_losses_and_own_steps():
    class Penalised(mini_bert.TFBertForSequenceClassification):
        def call(self, input_ids=None, attention_mask=None, labels=None, training=None):
            output = super().call(input_ids, attention_mask, labels=labels, training=training)
            self.add_loss(keras.ops.mean(keras.ops.square(output.logits)))
            return output

    inputs, labels = training_data()
    model = Penalised(mini_bert.tiny_config(num_hidden_layers=1))
    output = model({**inputs, "labels": labels})
    added, own = float((array(output.logits) ** 2).mean()), float(array(output.loss))
    close(evaluated(model, inputs, None, loss=None), {"loss": added})
    close(evaluated(model, inputs, labels), {"loss": added + own})
    before = array(model.classifier.bias)
    model.compile("sgd", loss=None, run_eagerly=True)
    model.fit(inputs, batch_size=8, verbose=0)
    assert (array(model.classifier.bias) != before).any()


def point_8_functional_models_get_outputs_by_name():
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name) for name in mini_bert.tiny_inputs()
    }
    model = classifier()
    outputs = model(inputs)
    assert type(outputs).__name__ == "TFHeadOutput"
    whole = keras.Model(inputs, keras.layers.Dense(3)(outputs.logits))
    assert whole(mini_bert.tiny_inputs()).shape == (2, 3)
    main = mini_bert.TFBertMainLayer(mini_bert.tiny_config(), name="encoder")
    whole = keras.Model(inputs, main(inputs).pooler_output)
    same(whole(mini_bert.tiny_inputs()), main(mini_bert.tiny_inputs()).pooler_output)


def point_9_dtype_reaches_every_layer():
    model = mini_bert.TFBertModel.from_config(mini_bert.tiny_config(), dtype="bfloat16")
    assert {v.dtype for v in model.trainable_variables} == {"bfloat16"}
    found = model(mini_bert.tiny_inputs()).last_hidden_state
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def saved_models_come_back():
    model = classifier()
    model.compile("adam", metrics=["accuracy"])
    inputs, labels = training_data()
    model.fit(inputs, labels, batch_size=4, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        again = keras.saving.load_model(f"{folder}/model.keras")
        model.save_weights(f"{folder}/m.weights.h5")
        other = classifier()
        other.load_weights(f"{folder}/m.weights.h5")
    same(model(inputs).logits, again(inputs).logits)
    same(model(inputs).logits, other(inputs).logits)
    assert again.optimizer.variables[0].path == model.optimizer.variables[0].path
    again.fit(inputs, labels, batch_size=4, verbose=0)


def all_forms_of_input_are_one():
    model, inputs = classifier(), mini_bert.tiny_inputs()
    expected = model(inputs).logits
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    forms = [
        BatchEncoding(inputs),
        [ids, mask],
        (ids, mask),
        {name: value.tolist() for name, value in inputs.items()},
        {name: value.astype("int32") for name, value in inputs.items()},
        {name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()},
    ]
    for form in forms:
        same(model(form).logits, expected)
    same(model(ids, mask).logits, expected)
    same(model(ids, attention_mask=mask).logits, expected)
    same(model(input_ids=ids, attention_mask=mask).logits, expected)
    same(model({"input_ids": ids}, attention_mask=mask).logits, expected)
    predicted = model.predict(BatchEncoding(inputs), verbose=0).logits
    assert abs(predicted - array(expected)).max() < 1e-6
    model.compile("sgd")
    model.train_on_batch(BatchEncoding(inputs), np.array([0, 1]))


def summary_needs_no_call():
    lines = []
    classifier().summary(print_fn=lines.append)
    assert "Total params" in "\n".join(lines)


def freezing_and_counting():
    model = classifier()
    total = model.num_parameters()
    model.bert.trainable = False
    assert model.num_parameters(only_trainable=True) == 12 * 2 + 2 < total
    assert model.num_parameters(exclude_embeddings=True) == total - (61 + 17 + 2) * 12


BATTERY = [
    value
    for name, value in list(globals().items())
    if name.startswith(("point_", "saved_", "all_", "summary_", "freezing_"))
]

if __name__ == "__main__":
    for function in BATTERY:
        if len(sys.argv) == 1 or function.__name__ in sys.argv[1:]:
            function()
            print("passed", function.__name__)
