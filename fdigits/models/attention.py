"""Attention of report R4: modules that reweigh a feature map, `[B, H, W, C]` -> the same shape.

Each one sows its map into the collection "attention", under the module's path, as "map".
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.models.layers import KERAS_EPSILON, Conv, KerasDense


class ChannelAttention(nn.Module):
    """A weight in (0, 1) for each channel, from its mean (R4 Table 8; Hu et al., 2018).

    Two dense layers of C / reduction (at least one) and C units. The map is `[B, C]`.
    """

    reduction: int = 8

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        squeezed = nn.relu(KerasDense(max(1, channels // self.reduction))(x.mean((1, 2))))
        weights_BxC = nn.sigmoid(KerasDense(channels)(squeezed))
        self.sow("attention", "map", weights_BxC)
        return x * weights_BxC[:, None, None]


class SpatialAttention(nn.Module):
    """A weight in (0, 1) for each place, by a 1 x 1 convolution (R4 Table 7). Map `[B, H, W]`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weights_BxHxWx1 = nn.sigmoid(KerasDense(1)(x))
        self.sow("attention", "map", weights_BxHxWx1[..., 0])
        return x * weights_BxHxWx1


class PooledAttention(nn.Module):
    """A weight in (0, 1) for each place, by a 7 x 7 convolution of the channels' mean and maximum.

    The spatial half of CBAM (Woo et al., 2018). The map is `[B, H, W]`.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pooled_BxHxWx2 = jnp.stack([x.mean(-1), x.max(-1)], -1)
        weights_BxHxWx1 = nn.sigmoid(Conv(1, (7, 7), padding="SAME")(pooled_BxHxWx2))
        self.sow("attention", "map", weights_BxHxWx1[..., 0])
        return x * weights_BxHxWx1


class CBAM(nn.Module):
    """Channel attention, then spatial (Woo et al., 2018), the channels by their mean alone (R4)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return PooledAttention(name="spatial")(ChannelAttention(name="channel")(x))


class SelfAttention(nn.Module):
    """Every place attends to all, then LayerNorm (R4 Table 8; Vaswani et al., 2017).

    As Keras' MultiHeadAttention: each head has `width` units, whatever C is; no residual. The map
    is `[B, heads, H·W, H·W]`, a row per attending place, rows adding up to 1.
    """

    heads: int = 4
    width: int = 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, high, wide, channels = x.shape
        shape = (batch, high * wide, 3, self.heads, self.width)
        projected = KerasDense(3 * self.heads * self.width, name="query_key_value")(x)
        query, key, value = jnp.moveaxis(projected.reshape(shape), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) * self.width**-0.5
        attention_BxHxTxT = nn.softmax(scores)
        self.sow("attention", "map", attention_BxHxTxT)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", attention_BxHxTxT, value)
        out = KerasDense(channels, name="out")(mixed.reshape(batch, high, wide, -1))
        return nn.LayerNorm(epsilon=KERAS_EPSILON)(out)
