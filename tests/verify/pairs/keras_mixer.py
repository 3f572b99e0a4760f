"""The same as a functional model with Keras's automatic names."""

import keras
from keras import layers, ops


class Mix(layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], shape[-1]), name="matrix")

    def call(self, x):
        return ops.matmul(x, self.matrix)


def mixer(x, tokens, width, hidden=10):
    y = layers.LayerNormalization(epsilon=1e-5)(x)
    y = layers.Permute((2, 1))(y)
    y = layers.Dense(hidden)(y)
    y = ops.gelu(y, approximate=False)
    y = layers.Dense(tokens)(y)
    y = layers.Permute((2, 1))(y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization(epsilon=1e-5)(x)
    y = layers.Dense(hidden)(y)
    y = ops.gelu(y, approximate=False)
    y = layers.Dense(width)(y)
    return layers.Add()([x, y])


def build(tokens=6, width=6):
    patches = keras.Input((tokens, width), name="patches")
    context = keras.Input((4,), name="context")
    x = mixer(patches, tokens, width)
    x = Mix()(x)
    x = layers.Add()([x, layers.Reshape((1, width))(layers.Dense(width)(context))])
    features = mixer(x, tokens, width)
    return keras.Model([patches, context], {"features": features, "pooled": ops.max(x, axis=1)})
