"""Encoders: a picture, 39 x 13 MFCC or a spectrogram in, an embedding out."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.config import choose
from fdigits.models import kernels
from fdigits.models.attention import CBAM, ChannelAttention, SelfAttention, SpatialAttention
from fdigits.models.layers import (
    KERAS_EPSILON,
    KERAS_MOMENTUM,
    LSTM,
    VALID,
    Conv,
    ConvBlock,
    ConvPool,
    Dense,
    Dropout,
    KerasDense,
    SquaresConv,
    convolution,
    relu_pool,
    torch_uniform,
    watch,
)


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


class MLPEncoder(nn.Module):
    """Two dense layers over the flattened MFCC (R1, section 2.2): `[B, T, F]` -> `[B, width]`."""

    width: int = 256

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            x = nn.relu(Dense(self.width)(x))
        return x


class Conv1DBlock(nn.Module):
    """1-D convolution, ReLU, max pooling: `[B, 1, T, C]` -> `[B, 1, T // 4, features]`."""

    features: int
    size: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x, bias = Conv(self.features, (1, self.size), torch_uniform, name="Conv_0").apart(x)
        if not train:
            return kernels.max_pool(watch(self, nn.relu(x + bias)), (1, 4))
        return relu_pool()(x, bias, (1, 4))


class Conv1DEncoder(nn.Module):
    """Convolutions along the flattened MFCC (R3): `[B, T, F]` -> `[B, width]`.

    R3 gives no sizes. Here: 32 filters over one frame's coefficients, 64 over 5 places, each with
    ReLU and a pooling of 4, then one dense layer.
    """

    width: int = 128

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        coefficients = x.shape[-1]
        x = x.reshape(x.shape[0], 1, -1, 1)
        x = Conv1DBlock(32, coefficients)(x, train)
        x = Conv1DBlock(64, 5)(x, train)
        return nn.relu(Dense(self.width)(x.reshape(x.shape[0], -1)))


class PlainEncoder(nn.Module):
    """R4's picture CNN (Table 2) and its variants with attention (Tables 7 and 8).

    `[B, 28, 28, 1]` -> `[B, width]`. Self-attention acts on the second map, the others on the
    first.
    """

    attention: str = "none"
    width: int = 128
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        variants = {
            "none": (None, None),
            "spatial": (SpatialAttention, None),
            "self": (None, SelfAttention),
            "cbam": (CBAM, None),
            "se": (ChannelAttention, None),
        }
        for filters, attend in zip(
            (32, 64), choose(self.attention, variants, "model.attention"), strict=True
        ):
            x = ConvPool(filters)(x, train)
            if attend:
                x = attend()(x)
        x = nn.relu(KerasDense(self.width)(x.reshape(x.shape[0], -1)))
        return Dropout(self.dropout)(x, train)


class ExampleEncoder(nn.Module):
    """The picture CNN of PyTorch's MNIST example, which judges drawn digits (R2).

    `[B, 28, 28, 1]` -> `[B, width]`: two 3 x 3 convolutions without padding, one pooling.
    """

    width: int = 128
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        kernel = self.param("kernel", torch_uniform, (3, 3, x.shape[-1], 32))
        bias = self.param("bias", nn.initializers.zeros, (32,))
        x = nn.relu(convolution()(x, kernel, VALID) + bias)
        x = ConvPool(64, torch_uniform)(x, train)
        x = Dropout(0.25)(x, train).reshape(x.shape[0], -1)
        return Dropout(self.dropout)(nn.relu(Dense(self.width)(x)), train)


class LeNetBlock(nn.Module):
    """5 x 5 convolution without padding, ReLU, attention, 2 x 2 average pooling (R4 Table 11).

    `[B, H, W, C]` -> `[B, (H-4)//2, (W-4)//2, features]`. Attention "none", "cbam" or "hybrid".
    Between convolution and pooling the maps lie by squares, `[B, h, w, 4, features]`.
    """

    features: int
    attention: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x, bias = SquaresConv(self.features, (5, 5), name="Conv_0")(x)
        variants = {"none": None, "cbam": CBAM, "hybrid": ChannelAttention}
        attend = choose(self.attention, variants, "model.attention")
        if train and not attend:
            on_cpu = jax.default_backend() == "cpu"
            return (kernels.relu_mean_cpu if on_cpu else kernels.relu_mean)(x, bias)
        x = nn.relu(x + bias)
        if not train:
            x = watch(self, kernels.unblocks(x.reshape(*x.shape[:3], 4 * self.features), 2))
        if attend:
            norm = nn.BatchNorm(not train, momentum=KERAS_MOMENTUM, epsilon=KERAS_EPSILON)
            x = attend()(norm(x))
        if self.attention == "hybrid":
            x = Dropout(0.1)(nn.LayerNorm(epsilon=KERAS_EPSILON)(x), train)
        return x.mean(3) if train else nn.avg_pool(x, (2, 2), (2, 2))


class LeNetEncoder(nn.Module):
    """R4's spectrogram CNN and its variants with attention (Table 11).

    `[B, 128, 128, 3]` -> `[B, 84]`. With `cbam`, BatchNorm and CBAM follow each convolution; with
    `hybrid`, BatchNorm, channel attention, LayerNorm (of the reweighed map, over its channels: the
    paper does not say of what) and dropout, and the dense layers have dropout and an L2 penalty
    of their kernels, sown into "losses".
    """

    attention: str = "none"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for filters in (6, 16):
            x = LeNetBlock(filters, self.attention)(x, train)
        x = x.reshape(x.shape[0], -1)
        for width in (120, 84):
            dense = KerasDense(width)
            x = nn.relu(dense(x))
            if self.attention == "hybrid":
                kernel = dense.variables["params"]["kernel"]
                self.sow("losses", "l2", 1e-3 * jnp.square(kernel).sum())
                x = Dropout(0.5)(x, train)
        return x
