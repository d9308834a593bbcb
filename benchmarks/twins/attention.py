"""Attention in convolutional encoders (R3, R4)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.twins.layers import KERAS_EPSILON


class ChannelAttention(nn.Module):
    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.Dense_0, self.Dense_1 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = functional.relu(self.Dense_0(x.mean((2, 3))))
        return x * torch.sigmoid(self.Dense_1(squeezed))[:, :, None, None]


class SpatialAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Dense_0 = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.Dense_0(x))


class PooledAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Conv_0 = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.Conv_0(pooled))


class CBAM(nn.Sequential):
    def __init__(self, channels: int) -> None:
        layers = OrderedDict(channel=ChannelAttention(channels), spatial=PooledAttention())
        super().__init__(layers)


class SelfAttention(nn.Module):
    def __init__(self, channels: int, heads: int = 4, width: int = 64) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.query, self.key, self.value = (nn.Linear(channels, heads * width) for _ in range(3))
        self.out = nn.Linear(heads * width, channels)
        self.LayerNorm_0 = nn.LayerNorm(channels, eps=KERAS_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT
        shape = (*tokens.shape[:2], self.heads, self.width)
        heads = [p(tokens).view(shape).transpose(1, 2) for p in (self.query, self.key, self.value)]
        mixed = functional.scaled_dot_product_attention(*heads)
        out = self.LayerNorm_0(self.out(mixed.transpose(1, 2).flatten(2)))
        return out.mT.reshape(x.shape)
