"""A small convolutional network, channels first."""

import numpy as np
import torch
from torch import nn


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.depthwise = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.bn(self.conv(x)))
        return x + self.depthwise(x)


class ConvNet(nn.Module):
    def __init__(self, widths=(8, 12), classes=5):
        super().__init__()
        sizes = (3, *widths)
        self.blocks = nn.ModuleList(
            ConvBlock(before, after, 2) for before, after in zip(sizes, widths, strict=False)
        )
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, image):
        for block in self.blocks:
            image = block(image)
        pooled = torch.flatten(image, 2).mean(dim=-1)
        return self.head(self.norm(pooled))


def make_inputs():
    return {"image": np.random.default_rng(0).normal(size=(2, 3, 14, 10))}
