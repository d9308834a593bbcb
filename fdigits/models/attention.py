"""Attention of paper R4: modules that reweigh a feature map, `[B, H, W, C]` -> the same shape.

`ChannelAttention` and `CBAM` also take maps by 2 x 2 squares, `[B, H/2, W/2, 4, C]`. Each one sows
its map into the collection "attention", under the module's path, as "map".
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.models import kernels
from fdigits.models.layers import KERAS_EPSILON, Conv, KerasDense, glorot

REDUCTION = 8  # of channels, in R4's SE and CBAM


class ChannelAttention(nn.Module):
    """A weight in (0, 1) for each channel, from its mean (R4 Table 8; Hu et al., 2018).

    Two dense layers of C / 8 (at least one) and C units. The map is `[B, C]`.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        places = tuple(range(1, x.ndim - 1))
        squeezed = nn.relu(KerasDense(max(1, channels // REDUCTION))(x.mean(places)))
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
        weights_BxHxWx1 = nn.sigmoid(Conv(1, (7, 7), block=4)(pooled))
        self.sow("attention", "map", weights_BxHxWx1[..., 0])
        if by_squares:
            return x * kernels.blocks(weights_BxHxWx1, 2)[..., None]
        return x * weights_BxHxWx1


class CBAM(nn.Module):
    """Channel attention, then spatial (Woo et al., 2018), the channels by their mean alone (R4)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return PooledAttention(name="spatial")(ChannelAttention(name="channel")(x))


class Weights(nn.Module):
    """Kernel and bias of a dense layer over several axes, of which `inputs` come in.

    Kept flat, `[in, out]`, but returned, and drawn as Keras does, in `shape`.
    """

    shape: tuple[int, ...]
    inputs: int = 1

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        outputs = self.shape[self.inputs :]
        flat = math.prod(self.shape[: self.inputs]), math.prod(outputs)
        kernel = self.param("kernel", lambda key: glorot(key, self.shape).reshape(flat))
        bias = self.param("bias", nn.initializers.zeros, flat[1:])
        return kernel.reshape(self.shape), bias.reshape(outputs)


class SelfAttention(nn.Module):
    """Every place attends to all, then LayerNorm (R4 Table 8; Vaswani et al., 2017).

    As Keras' MultiHeadAttention: each head has `width` units, whatever C is; no residual. The map
    is `[B, heads, H·W, H·W]`, a row per attending place, rows adding up to 1.

    Products of a head's kernels come first, which needs no transposed maps and, where C = `width`
    as in R4, half the multiplications: (x Wq)(x Wk)ᵀ = (x Wq Wkᵀ) xᵀ, and likewise of values. The
    key's bias adds the same to a whole row of scores, which softmax takes away again.
    """

    heads: int = 4
    width: int = 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, high, wide, channels = x.shape
        heads, width = self.heads, self.width

        shape = (channels, heads, width)
        query_CxHxD, query_bias_HxD = Weights(shape, name="query")()
        key_CxHxD, _ = Weights(shape, name="key")()
        value_CxHxD, value_bias_HxD = Weights(shape, name="value")()
        out_HxDxC, out_bias_C = Weights((heads, width, channels), 2, name="out")()
        match_CxHxC = jnp.einsum("chd,khd->chk", query_CxHxD, key_CxHxD)
        match_bias_HxC = jnp.einsum("hd,khd->hk", query_bias_HxD, key_CxHxD)
        mix_HxCxC = jnp.einsum("chd,hdk->hck", value_CxHxD, out_HxDxC)
        mix_bias_C = jnp.einsum("hd,hdk->k", value_bias_HxD, out_HxDxC) + out_bias_C

        tokens_BxTxC = x.reshape(batch, high * wide, channels)
        asked = tokens_BxTxC.reshape(-1, channels) @ match_CxHxC.reshape(channels, -1)
        asked_BxTHxC = (asked + match_bias_HxC.reshape(-1)).reshape(batch, -1, channels)
        scores_BxTHxT = asked_BxTHxC @ tokens_BxTxC.swapaxes(1, 2) * width**-0.5
        attention_BxTHxT = nn.softmax(scores_BxTHxT)
        by_head = attention_BxTHxT.reshape(batch, high * wide, heads, -1).swapaxes(1, 2)
        self.sow("attention", "map", by_head)
        seen_BxTHxC = attention_BxTHxT @ tokens_BxTxC
        out = seen_BxTHxC.reshape(-1, heads * channels) @ mix_HxCxC.reshape(-1, channels)
        return nn.LayerNorm(epsilon=KERAS_EPSILON)((out + mix_bias_C).reshape(x.shape))
