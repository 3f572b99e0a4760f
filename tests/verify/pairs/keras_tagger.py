"""The same tagger of Keras's own layers."""

import keras
from keras import layers


class Tagger(keras.Model):
    def __init__(self, vocab=23, width=8, hidden=6, tags=4):
        super().__init__()
        self.embed = layers.Embedding(vocab, width)
        self.encoder = layers.Bidirectional(layers.LSTM(hidden, return_sequences=True))
        self.second = layers.GRU(2 * hidden, return_sequences=True)
        self.mha = layers.MultiHeadAttention(3, 2 * hidden // 3)
        self.layer_norm = layers.LayerNormalization(epsilon=1e-5)
        self.tag = layers.Dense(tags)

    def call(self, words):
        x = self.second(self.encoder(self.embed(words)))
        return self.tag(self.layer_norm(x + self.mha(x, x)))
