# Copyright 2025 The Keraform authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""A small convolutional classifier: batch norm, depthwise convolutions, layer scale and pooling."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

ACT2CLS = {"gelu": nn.GELU, "relu": nn.ReLU, "hardswish": nn.Hardswish}


@dataclass
class ConvNetConfig:
    """Sizes of the network; one number a stage."""

    num_channels: int = 3
    hidden_sizes: Sequence[int] = field(default_factory=lambda: (8, 12, 20))
    depths: Sequence[int] = field(default_factory=lambda: (1, 2, 1))
    hidden_act: str = "gelu"
    layer_scale_init_value: float = 1e-2
    drop_path_rate: float = 0.1
    layer_norm_eps: float = 1e-6
    num_labels: int = 5


@dataclass
class ConvNetOutput:
    """What the backbone returns: channels first, [b, c, height, width]."""

    last_hidden_state: torch.Tensor
    pooler_output: torch.Tensor
    hidden_states: tuple[torch.Tensor, ...] | None = None


def drop_path(hidden_states: torch.Tensor, drop_prob: float = 0.0, training: bool = False) -> torch.Tensor:
    """Drops whole rows of a batch while training, and scales up the others."""
    if drop_prob == 0.0 or not training:
        return hidden_states
    keep_prob = 1 - drop_prob
    shape = (hidden_states.shape[0],) + (1,) * (hidden_states.ndim - 1)
    random_tensor = keep_prob + torch.rand(shape, dtype=hidden_states.dtype, device=hidden_states.device)
    return hidden_states.div(keep_prob) * random_tensor.floor()


class ConvNetDropPath(nn.Module):
    def __init__(self, drop_prob: float | None = None):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return drop_path(hidden_states, self.drop_prob, self.training)


class ConvNetLayerNorm(nn.Module):
    """Layer norm over the channels of channels-first data."""

    def __init__(self, normalized_shape: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(1, keepdim=True)
        var = x.var(1, keepdim=True, unbiased=False)
        x = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNetStem(nn.Module):
    def __init__(self, config: ConvNetConfig):
        super().__init__()
        # the size is even or odd: padding is explicit, never "same"
        self.convolution = nn.Conv2d(
            config.num_channels, config.hidden_sizes[0], kernel_size=7, stride=2, padding=3, bias=False
        )
        self.normalization = nn.BatchNorm2d(config.hidden_sizes[0])
        self.activation = nn.ReLU()
        self.pooler = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        hidden_state = self.activation(self.normalization(self.convolution(pixel_values)))
        return self.pooler(hidden_state)


class ConvNetBlock(nn.Module):
    """Mixes positions channel by channel, then channels position by position."""

    def __init__(self, config: ConvNetConfig, dim: int, drop_path_rate: float = 0.0):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=5, padding=2, groups=dim)
        self.layernorm = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.pwconv1 = nn.Linear(dim, 3 * dim)
        self.act = ACT2CLS[config.hidden_act]()
        self.pwconv2 = nn.Linear(3 * dim, dim)
        self.layer_scale_parameter = (
            nn.Parameter(config.layer_scale_init_value * torch.ones(dim), requires_grad=True)
            if config.layer_scale_init_value > 0
            else None
        )
        self.drop_path = ConvNetDropPath(drop_path_rate) if drop_path_rate > 0.0 else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        residual = features
        features = self.dwconv(features).permute(0, 2, 3, 1)  # [b, c, y, x] to [b, y, x, c]
        features = self.pwconv2(self.act(self.pwconv1(self.layernorm(features))))
        if self.layer_scale_parameter is not None:
            features = self.layer_scale_parameter * features
        return residual + self.drop_path(features.permute(0, 3, 1, 2))


class ConvNetStage(nn.Module):
    def __init__(
        self, config: ConvNetConfig, in_channels: int, out_channels: int, rates: Sequence[float], stride: int
    ):
        super().__init__()
        if in_channels != out_channels or stride > 1:
            self.downsampling_layer = nn.Sequential(
                ConvNetLayerNorm(in_channels, eps=config.layer_norm_eps),
                nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1),
            )
        else:
            self.downsampling_layer = nn.Identity()
        self.layers = nn.ModuleList([ConvNetBlock(config, out_channels, rate) for rate in rates])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = self.downsampling_layer(hidden_states)
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


class ConvNetModel(nn.Module):
    """The backbone without a head."""

    def __init__(self, config: ConvNetConfig):
        super().__init__()
        self.stem = ConvNetStem(config)
        # deeper blocks are dropped more often
        total = sum(config.depths)
        rates = [config.drop_path_rate * index / max(total - 1, 1) for index in range(total)]
        self.stages = nn.ModuleList()
        in_channels, first = config.hidden_sizes[0], 0
        for index, (depth, out_channels) in enumerate(zip(config.depths, config.hidden_sizes)):
            stage_rates = rates[first : first + depth]
            self.stages.append(
                ConvNetStage(config, in_channels, out_channels, stage_rates, stride=2 if index > 0 else 1)
            )
            in_channels, first = out_channels, first + depth
        self.norm = nn.BatchNorm2d(config.hidden_sizes[-1], eps=1e-3, momentum=0.01)
        self.pooler = nn.AdaptiveAvgPool2d((1, 1))

    def forward(self, pixel_values: torch.Tensor, output_hidden_states: bool = False) -> ConvNetOutput:
        hidden_state = self.stem(pixel_values)
        all_hidden_states = (hidden_state,) if output_hidden_states else None
        for stage in self.stages:
            hidden_state = stage(hidden_state)
            if output_hidden_states:
                all_hidden_states += (hidden_state,)
        hidden_state = self.norm(hidden_state)
        pooled_output = self.pooler(hidden_state).flatten(1)
        return ConvNetOutput(hidden_state, pooled_output, all_hidden_states)


class ConvNetForImageClassification(nn.Module):
    """The backbone with a linear layer on what it pooled."""

    def __init__(self, config: ConvNetConfig):
        super().__init__()
        self.convnet = ConvNetModel(config)
        self.classifier = nn.Linear(config.hidden_sizes[-1], config.num_labels)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.convnet(pixel_values).pooler_output)
