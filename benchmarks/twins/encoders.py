"""Encoders: a picture, 39 x 13 MFCC or a spectrogram in, an embedding out; a head for it."""

import itertools
from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.twins.attention import CBAM, ChannelAttention, SelfAttention, SpatialAttention
from benchmarks.twins.layers import KERAS_EPSILON, Conv1DBlock, ConvBlock, ConvPool, Flat, sequence


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LeNetBlock(nn.Sequential):
    def __init__(self, channels: int, features: int, attention: str) -> None:
        layers = OrderedDict(Conv_0=nn.Conv2d(channels, features, 5), relu=nn.ReLU())
        if attention != "none":
            layers["BatchNorm_0"] = nn.BatchNorm2d(features, eps=KERAS_EPSILON, momentum=0.01)
        if attention == "cbam":
            layers["CBAM_0"] = CBAM(features)
        if attention == "hybrid":
            layers["ChannelAttention_0"] = ChannelAttention(features)
            layers["LayerNorm_0"] = ChannelNorm(features, eps=KERAS_EPSILON)
            layers["dropout"] = nn.Dropout(0.1)
        super().__init__(layers | {"pool": nn.AvgPool2d(2)})


class ConvEncoder(nn.Module):
    def __init__(
        self, size: tuple[int, int], filters: tuple[int, ...], width: int, dropout: float
    ) -> None:
        super().__init__()
        pairs = enumerate(itertools.pairwise((1, *filters)))
        blocks = {f"ConvBlock_{n}": ConvBlock(*channels) for n, channels in pairs}
        high, wide = (places >> len(filters) for places in size)
        dense = Flat((filters[-1], high, wide), width)
        rest = dict(first=nn.Dropout(0.25), Dense_0=dense, relu=nn.ReLU(), last=nn.Dropout(dropout))
        for name, layer in (blocks | rest).items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None] if x.ndim == 3 else x
        for layer in self.children():
            x = layer(x)
        return x


class LSTMEncoder(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.LSTM = nn.LSTM(13, 64, num_layers=2, batch_first=True)
        self.Dense_0, self.dropout = nn.Linear(64, width), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(functional.relu(self.Dense_0(self.LSTM(x)[0][:, -1])))


class Conv1DEncoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.Conv1DBlock_0, self.Conv1DBlock_1 = Conv1DBlock(1, 32, 13), Conv1DBlock(32, 64, 5)
        self.Dense_0 = Flat((64, 507 // 4 // 4), width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv1DBlock_1(self.Conv1DBlock_0(x.flatten(1)[:, None]))
        return functional.relu(self.Dense_0(x))


class LeNetEncoder(nn.Sequential):
    def __init__(self, attention: str) -> None:
        self.hybrid = attention == "hybrid"
        layers = OrderedDict(
            LeNetBlock_0=LeNetBlock(3, 6, attention), LeNetBlock_1=LeNetBlock(6, 16, attention)
        )
        for n, dense in enumerate((Flat((16, 29, 29), 120), nn.Linear(120, 84))):
            layers |= {f"Dense_{n}": dense, f"relu_{n}": nn.ReLU()}
            if attention == "hybrid":
                layers[f"dropout_{n}"] = nn.Dropout(0.5)
        super().__init__(layers)


def dense_encoder(
    features: int, hidden: tuple[int, ...], dropout: float, norm: bool
) -> nn.Sequential:
    layers = {}
    for n, width in enumerate(hidden):
        layers |= {f"Dense_{n}": nn.Linear(features, width), f"relu_{n}": nn.ReLU()}
        if norm:
            layers[f"BatchNorm_{n}"] = nn.BatchNorm1d(width, eps=KERAS_EPSILON, momentum=0.01)
        layers[f"dropout_{n}"] = nn.Dropout(dropout)
        features = width
    return sequence(**layers)


def mlp_encoder(width: int) -> nn.Sequential:
    dense = dict(
        Dense_0=Flat((1, 39, 13), width), relu_0=nn.ReLU(), Dense_1=nn.Linear(width, width)
    )
    return sequence(**dense, relu_1=nn.ReLU())


def plain_encoder(attention: str, width: int, dropout: float) -> nn.Sequential:
    first = {"spatial": SpatialAttention, "cbam": CBAM, "se": ChannelAttention}.get(attention)
    return sequence(
        ConvPool_0=ConvPool(1, 32),
        **({f"{first.__name__}_0": first(32)} if first else {}),
        ConvPool_1=ConvPool(32, 64),
        SelfAttention_0=SelfAttention(64) if attention == "self" else None,
        Dense_0=Flat((64, 5, 5), width),
        relu=nn.ReLU(),
        dropout=nn.Dropout(dropout),
    )


def example_encoder() -> nn.Sequential:
    return sequence(
        Conv_0=nn.Conv2d(1, 32, 3),
        relu_0=nn.ReLU(),
        ConvPool_0=ConvPool(32, 64),
        first=nn.Dropout(0.25),
        Dense_0=Flat((64, 12, 12), 128),
        relu_1=nn.ReLU(),
        last=nn.Dropout(0.5),
    )


def head(features: int, hidden: tuple[int, ...] = ()) -> nn.Sequential:
    layers = {}
    for n, width in enumerate(hidden):
        layers |= {f"Dense_{n}": nn.Linear(features, width), f"relu_{n}": nn.ReLU()}
        features = width
    return sequence(**layers, **{f"Dense_{len(hidden)}": nn.Linear(features, 10)})
