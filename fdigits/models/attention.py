"""Attention of report R4: modules that reweigh a feature map, `[B, H, W, C]` -> the same shape.

`ChannelAttention` and `CBAM` also take maps by 2 x 2 squares, `[B, H/2, W/2, 4, C]`. Each one sows
its map into the collection "attention", under the module's path, as "map".
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.models import kernels
from fdigits.models.layers import KERAS_EPSILON, Conv, KerasDense, glorot


class ChannelAttention(nn.Module):
    """A weight in (0, 1) for each channel, from its mean (R4 Table 8; Hu et al., 2018).

    Two dense layers of C / reduction (at least one) and C units. The map is `[B, C]`.
    """

    reduction: int = 8

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        places = tuple(range(1, x.ndim - 1))
        squeezed = nn.relu(KerasDense(max(1, channels // self.reduction))(x.mean(places)))
        weights_BxC = nn.sigmoid(KerasDense(channels)(squeezed))
        self.sow("attention", "map", weights_BxC)
        return x * jnp.expand_dims(weights_BxC, places)


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
        pooled = kernels.channel_mean_max(x)
        by_squares = x.ndim == 5
        if by_squares:
            pooled = kernels.unblocks(pooled.reshape(*x.shape[:3], 8), 2)
        weights_BxHxWx1 = nn.sigmoid(Conv(1, (7, 7), padding="SAME", block=4)(pooled))
        self.sow("attention", "map", weights_BxHxWx1[..., 0])
        if by_squares:
            return x * kernels.blocks(weights_BxHxWx1, 2)[..., None]
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
        heads, width = self.heads, self.width

        def shaped(*shape):  # Keras draws its kernels in these shapes, of other fans
            return lambda key, flat, dtype: glorot(key, shape, dtype).reshape(flat)

        tokens_BxTxC = x.reshape(batch, high * wide, channels)

        def project(name):
            init = shaped(channels, heads, width)
            projected = nn.Dense(heads * width, kernel_init=init, name=name)(tokens_BxTxC)
            return projected.reshape(batch, -1, heads, width).swapaxes(1, 2)

        query, key, value = (project(name) for name in ("query", "key", "value"))
        scores = query @ key.swapaxes(2, 3) * width**-0.5
        attention_BxHxTxT = nn.softmax(scores)
        self.sow("attention", "map", attention_BxHxTxT)
        mixed = (attention_BxHxTxT @ value).swapaxes(1, 2).reshape(batch, high, wide, -1)
        out = nn.Dense(channels, kernel_init=shaped(heads, width, channels), name="out")(mixed)
        return nn.LayerNorm(epsilon=KERAS_EPSILON)(out)
