"""A BERT written by hand exactly as the translator emits it, to test the base classes with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
from keras import ops
from transformers.models.bert.configuration_bert import BertConfig

from keraform.modeling import MainLayer, Model, PreTrainedModel, unpack_inputs
from keraform.runtime import init, layers
from keraform.runtime.capture import can_return_tuple
from keraform.runtime.layers import Layer, Tensor
from keraform.runtime.outputs import ModelOutput


@dataclass
class TFBaseModelOutput(ModelOutput):
    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None


@dataclass
class TFHeadOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class TFBertEmbeddings(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.word_embeddings = layers.Embedding(
            config.vocab_size,
            config.hidden_size,
            padding_idx=config.pad_token_id,
            name="word_embeddings",
        )
        self.position_embeddings = layers.Embedding(
            config.max_position_embeddings, config.hidden_size, name="position_embeddings"
        )
        self.token_type_embeddings = layers.Embedding(
            config.type_vocab_size, config.hidden_size, name="token_type_embeddings"
        )
        self.LayerNorm = layers.LayerNormalization(
            config.hidden_size, epsilon=config.layer_norm_eps, name="LayerNorm"
        )
        self.dropout = layers.Dropout(config.hidden_dropout_prob, name="dropout")
        self.position_ids = layers.buffer(ops.arange(config.max_position_embeddings))  # not saved

    def call(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        if token_type_ids is None:
            token_type_ids = ops.zeros_like(input_ids)
        position_ids = ops.arange(ops.shape(input_ids)[1])
        embeddings = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        embeddings = embeddings + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(embeddings))


class TFBertSelfAttention(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.num_attention_heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query = layers.Dense(config.hidden_size, config.hidden_size, name="query")
        self.key = layers.Dense(config.hidden_size, config.hidden_size, name="key")
        self.value = layers.Dense(config.hidden_size, config.hidden_size, name="value")
        self.dropout = layers.Dropout(config.attention_probs_dropout_prob, name="dropout")

    def call(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        batch, length = ops.shape(hidden_states)[:2]
        shape = (batch, length, self.num_attention_heads, self.head_size)
        query, key, value = (
            ops.transpose(ops.reshape(part(hidden_states), shape), (0, 2, 1, 3))
            for part in (self.query, self.key, self.value)
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(self.head_size)
        if attention_mask is not None:
            scores = scores + attention_mask
        weights = self.dropout(ops.softmax(scores, axis=-1))
        context = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return ops.reshape(context, (batch, length, self.num_attention_heads * self.head_size))


class TFBertSelfOutput(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(config.hidden_size, config.hidden_size, name="dense")
        self.LayerNorm = layers.LayerNormalization(
            config.hidden_size, epsilon=config.layer_norm_eps, name="LayerNorm"
        )
        self.dropout = layers.Dropout(config.hidden_dropout_prob, name="dropout")

    def call(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        hidden_states = self.dropout(self.dense(hidden_states))
        return self.LayerNorm(hidden_states + input_tensor)


class TFBertAttention(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.self = TFBertSelfAttention(config, name="self")
        self.output = TFBertSelfOutput(config, name="output")

    def call(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.output(self.self(hidden_states, attention_mask), hidden_states)


class TFBertIntermediate(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(config.hidden_size, config.intermediate_size, name="dense")

    def call(self, hidden_states: Tensor) -> Tensor:
        return ops.gelu(self.dense(hidden_states), approximate=False)


class TFBertOutput(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(config.intermediate_size, config.hidden_size, name="dense")
        self.LayerNorm = layers.LayerNormalization(
            config.hidden_size, epsilon=config.layer_norm_eps, name="LayerNorm"
        )
        self.dropout = layers.Dropout(config.hidden_dropout_prob, name="dropout")

    def call(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(hidden_states)) + input_tensor)


class TFBertLayer(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.attention = TFBertAttention(config, name="attention")
        self.intermediate = TFBertIntermediate(config, name="intermediate")
        self.output = TFBertOutput(config, name="output")

    def call(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        attention_output = self.attention(hidden_states, attention_mask)
        return self.output(self.intermediate(attention_output), attention_output)


class TFBertEncoder(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.layer = [TFBertLayer(config) for _ in range(config.num_hidden_layers)]

    def call(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        for layer in self.layer:
            hidden_states = layer(hidden_states, attention_mask)
        return hidden_states


class TFBertPooler(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(config.hidden_size, config.hidden_size, name="dense")

    def call(self, hidden_states: Tensor) -> Tensor:
        return ops.tanh(self.dense(hidden_states[:, 0]))


class TFBertPredictionHeadTransform(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(config.hidden_size, config.hidden_size, name="dense")
        self.LayerNorm = layers.LayerNormalization(
            config.hidden_size, epsilon=config.layer_norm_eps, name="LayerNorm"
        )

    def call(self, hidden_states: Tensor) -> Tensor:
        return self.LayerNorm(ops.gelu(self.dense(hidden_states), approximate=False))


class TFBertLMPredictionHead(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.transform = TFBertPredictionHeadTransform(config, name="transform")
        self.decoder = layers.Dense(config.hidden_size, config.vocab_size, name="decoder")
        self.bias = self.add_weight(shape=(config.vocab_size,), initializer="zeros", name="bias")

    def call(self, hidden_states: Tensor) -> Tensor:
        return self.decoder(self.transform(hidden_states))


class TFBertOnlyMLMHead(Layer):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.predictions = TFBertLMPredictionHead(config, name="predictions")

    def call(self, sequence_output: Tensor) -> Tensor:
        return self.predictions(sequence_output)


class TFBertPreTrainedModel(PreTrainedModel):
    config_class = BertConfig
    base_model_prefix = "bert"

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, TFBertLMPredictionHead):
            init.zeros_(module, "bias")


class TFBertMainLayer(TFBertPreTrainedModel, MainLayer):
    def __init__(self, config, add_pooling_layer=True, **kwargs):
        super().__init__(config, **kwargs)
        self.embeddings = TFBertEmbeddings(config, name="embeddings")
        self.encoder = TFBertEncoder(config, name="encoder")
        self.pooler = TFBertPooler(config, name="pooler") if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings.word_embeddings

    def _private_of_model(self):
        return "private"

    @can_return_tuple
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **kwargs,
    ):
        if attention_mask is not None:
            attention_mask = ops.cast(attention_mask[:, None, None, :], self.compute_dtype)
            attention_mask = (1.0 - attention_mask) * -1e4
        hidden = self.embeddings(input_ids, token_type_ids)
        hidden = self.encoder(hidden, attention_mask)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return TFBaseModelOutput(last_hidden_state=hidden, pooler_output=pooled)


class TFBertModel(TFBertPreTrainedModel, Model):
    main_layer = "bert"

    def __init__(self, config, add_pooling_layer=True, **kwargs):
        super().__init__(config, **kwargs)
        self.bert = TFBertMainLayer(config, add_pooling_layer=add_pooling_layer, name="bert")
        self.post_init()

    @unpack_inputs
    def call(
        self, input_ids=None, attention_mask=None, token_type_ids=None, training=None, **kwargs
    ):
        return self.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            **kwargs,
        )


class TFBertForMaskedLM(TFBertPreTrainedModel, Model):
    _tied_weights_keys = {  # noqa: RUF012
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.cls = TFBertOnlyMLMHead(config, name="cls")
        self.post_init()

    @unpack_inputs
    @can_return_tuple
    def call(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        training=None,
        **kwargs,
    ):
        outputs = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        logits = self.cls(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        return TFHeadOutput(loss=loss, logits=logits)


class TFBertForSequenceClassification(TFBertPreTrainedModel, Model):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.num_labels = config.num_labels
        self.bert = TFBertMainLayer(config, name="bert")
        self.dropout = layers.Dropout(config.hidden_dropout_prob, name="dropout")
        self.classifier = layers.Dense(config.hidden_size, config.num_labels, name="classifier")
        self.post_init()

    @unpack_inputs
    @can_return_tuple
    def call(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        training=None,
        **kwargs,
    ):
        outputs = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        logits = self.classifier(self.dropout(outputs.pooler_output))
        loss = None
        if labels is not None:
            loss_fct = layers.CrossEntropyLoss()
            loss = loss_fct(ops.reshape(logits, (-1, self.num_labels)), ops.reshape(labels, (-1,)))
        return TFHeadOutput(loss=loss, logits=logits)


@dataclass
class TFSpanOutput(ModelOutput):
    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None


class TFBertForQuestionAnswering(TFBertPreTrainedModel, Model):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.qa_outputs = layers.Dense(config.hidden_size, 2, name="qa_outputs")
        self.post_init()

    @unpack_inputs
    @can_return_tuple
    def call(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        start_positions=None,
        end_positions=None,
        training=None,
        **kwargs,
    ):
        outputs = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        logits = self.qa_outputs(outputs.last_hidden_state)
        start_logits, end_logits = logits[..., 0], logits[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = self.loss_function(start_logits, end_logits, start_positions, end_positions)
        return TFSpanOutput(loss=loss, start_logits=start_logits, end_logits=end_logits)


CONFIG = {
    "vocab_size": 61,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 17,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}


def tiny_config(**changes) -> BertConfig:
    """A configuration with pairwise distinct sizes."""
    return BertConfig(**{**CONFIG, **changes})


def tiny_inputs(batch: int = 2, length: int = 7) -> dict:
    """Ids with padding on the right, and their mask."""
    rng = keras.random.SeedGenerator(0)
    ids = keras.ops.convert_to_numpy(
        keras.random.randint((batch, length), 1, 61, dtype="int32", seed=rng)
    ).astype("int64")
    mask = (keras.ops.convert_to_numpy(keras.ops.ones((batch, length)))).astype("int64")
    mask[-1, -2:] = 0
    ids[-1, -2:] = 0
    return {"input_ids": ids, "attention_mask": mask}
