"""Layers of several encoders."""

import math
from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

KERAS_EPSILON = 1e-3


def sequence(**layers: nn.Module | None) -> nn.Sequential:
    return nn.Sequential(OrderedDict((name, layer) for name, layer in layers.items() if layer))


class Flat(nn.Linear):
    """A dense layer over a flattened map: [B, *shape] -> [B, width]."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__(math.prod(shape), width)
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class UpFlat(nn.Linear):
    """A dense layer to a map: [B, width] -> [B, *shape]."""

    def __init__(self, width: int, shape: tuple[int, ...]) -> None:
        super().__init__(width, math.prod(shape))
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x)).unflatten(1, self.shape)


class ConvBlock(nn.Sequential):
    def __init__(self, channels: int, features: int) -> None:
        conv = nn.Conv2d(channels, features, 3, padding=1)
        super().__init__(conv, nn.BatchNorm2d(features), nn.ReLU(), nn.MaxPool2d(2))


class ConvPool(nn.Sequential):
    def __init__(self, channels: int, features: int) -> None:
        conv = nn.Conv2d(channels, features, 3)
        super().__init__(OrderedDict(Conv_0=conv, relu=nn.ReLU(), pool=nn.MaxPool2d(2)))


class Conv1DBlock(nn.Sequential):
    def __init__(self, channels: int, features: int, size: int) -> None:
        conv = nn.Conv1d(channels, features, size, padding="same")
        super().__init__(OrderedDict(Conv_0=conv, relu=nn.ReLU(), pool=nn.MaxPool1d(4)))
