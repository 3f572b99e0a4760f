"""An MLP mixer over patches, and two inputs."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Mixer(nn.Module):
    def __init__(self, tokens=6, width=6, hidden=10):
        super().__init__()
        self.norm_tokens = nn.LayerNorm(width)
        self.tokens_in = nn.Linear(tokens, hidden)
        self.tokens_out = nn.Linear(hidden, tokens)
        self.norm_channels = nn.LayerNorm(width)
        self.channels_in = nn.Linear(width, hidden)
        self.channels_out = nn.Linear(hidden, width)

    def forward(self, x):
        y = self.norm_tokens(x).transpose(1, 2)
        y = self.tokens_out(F.gelu(self.tokens_in(y)))
        x = x + y.transpose(1, 2)
        y = self.norm_channels(x)
        return x + self.channels_out(F.gelu(self.channels_in(y)))


class MixerNet(nn.Module):
    def __init__(self, tokens=6, width=6, depth=2):
        super().__init__()
        self.first = Mixer(tokens, width)
        self.mix = nn.Parameter(torch.randn(width, width))
        self.second = Mixer(tokens, width)
        self.context = nn.Linear(4, width)

    def forward(self, patches, context):
        x = self.first(patches) @ self.mix
        x = x + self.context(context)[:, None]
        return {"features": self.second(x), "pooled": x.amax(dim=1)}


def make_inputs():
    rng = np.random.default_rng(0)
    return {"patches": rng.normal(size=(2, 6, 6)), "context": rng.normal(size=(2, 4))}
