"""Encoders of report R0: a picture or 39 x 13 MFCC in, an embedding out."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from fdigits.models.layers import LSTM, ConvBlock, Dense, Dropout


class ConvEncoder(nn.Module):
    """ConvBlocks with pooling, then one dense layer (R0 Tables 1, 2 and 4).

    `[B, H, W, 1]` (or `[B, H, W]`) -> `[B, width]`.
    """

    filters: Sequence[int] = (32, 64)
    width: int = 128
    conv_dropout: float = 0.25
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if x.ndim == 3:
            x = x[..., None]
        for filters in self.filters:
            x = ConvBlock(filters)(x, train)
        x = Dropout(self.conv_dropout)(x, train)
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(Dense(self.width)(x))
        return Dropout(self.dropout)(x, train)


class LSTMEncoder(nn.Module):
    """Stacked LSTM layers, the last step, one dense layer (R0 Tables 3 and 5).

    `[B, T, F]` -> `[B, width]`.
    """

    units: int = 64
    layers: int = 2
    width: int = 64
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for _ in range(self.layers):
            x = LSTM(self.units)(x)
        x = nn.relu(Dense(self.width)(x[:, -1]))
        return Dropout(self.dropout)(x, train)
