"""The same network by hand in Keras, channels last."""

import keras
from keras import layers, ops


class ConvBlock(layers.Layer):
    def __init__(self, filters, stride, **kwargs):
        super().__init__(**kwargs)
        self.pad = layers.ZeroPadding2D(1)
        self.convolution = layers.Conv2D(filters, 3, strides=stride, use_bias=False)
        self.normalization = layers.BatchNormalization(epsilon=1e-5)
        self.dw = layers.DepthwiseConv2D(3, padding="same")

    def call(self, x):
        x = self.convolution(self.pad(x))
        x = ops.relu(self.normalization(x))
        return x + self.dw(x)


class ConvNet(keras.Model):
    def __init__(self, widths=(8, 12), classes=5):
        super().__init__()
        self.stages = [ConvBlock(width, 2) for width in widths]
        self.norm = layers.LayerNormalization(epsilon=1e-5)
        self.classifier = layers.Dense(classes)

    def call(self, image):
        for stage in self.stages:
            image = stage(image)
        pooled = ops.mean(image, axis=(1, 2))
        return self.classifier(self.norm(pooled))
