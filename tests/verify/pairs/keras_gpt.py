"""The same decoder by hand: separate projections, plain TensorFlow here and there."""

import keras
import tensorflow as tf
from keras import layers, ops


class ScaleNorm(layers.Layer):
    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        variance = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return x * tf.math.rsqrt(variance + self.epsilon) * self.scale


class CausalAttention(layers.Layer):
    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.query = layers.Dense(width)
        self.key = layers.Dense(width)
        self.value = layers.Dense(width)
        self.out = layers.Dense(width)

    def split(self, x):
        b, t, c = x.shape
        return tf.transpose(tf.reshape(x, (b, t, self.heads, c // self.heads)), (0, 2, 1, 3))

    def call(self, x):
        b, t, c = x.shape
        q = self.split(self.query(x))
        k = self.split(self.key(x))
        v = self.split(self.value(x))
        scores = tf.matmul(q, k, transpose_b=True)
        scores = scores / tf.sqrt(tf.cast(c // self.heads, tf.float32))
        mask = tf.linalg.band_part(tf.ones((t, t)), -1, 0)
        scores = scores + (1.0 - mask) * -1e9
        weights = tf.nn.softmax(scores, axis=-1)
        y = tf.matmul(weights, v)
        y = tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (b, t, c))
        return self.out(y)


class DecoderBlock(layers.Layer):
    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.norm1 = ScaleNorm()
        self.attention = CausalAttention(width, heads)
        self.norm2 = layers.LayerNormalization(epsilon=1e-5)
        self.gate = layers.Dense(width, activation="sigmoid")
        self.fc1 = layers.Dense(3 * width)
        self.fc2 = layers.Dense(width)

    def call(self, x):
        x = x + self.attention(self.norm1(x))
        h = self.norm2(x)
        inner = ops.gelu(self.fc1(h), approximate=False)
        return x + self.gate(h) * self.fc2(inner)


class TinyGPT(keras.Model):
    def __init__(self, vocab=31, width=12, heads=3, depth=2, context=16):
        super().__init__()
        self.token_embedding = layers.Embedding(vocab, width)
        self.position_embedding = layers.Embedding(context, width)
        self.blocks = [DecoderBlock(width, heads) for _ in range(depth)]
        self.final_norm = ScaleNorm()

    def call(self, tokens):
        positions = ops.arange(tokens.shape[1])
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        return ops.matmul(x, ops.transpose(self.token_embedding.embeddings))
