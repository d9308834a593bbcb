"""A small U-Net that tells which way a noisy picture of a digit has to go (ours, not a paper's)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.data.corpus import CLASSES
from fdigits.models import kernels
from fdigits.models.layers import Conv, ConvTranspose, StridedConv

GROUPS = 8  # of GroupNorm


class Residual(nn.Module):
    """Two 3 x 3 convolutions, the first shifted by what is known of time and label.

    `[B, H, W, C]` and `[B, D]` -> `[B, H, W, features]`.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, known_BxD: jax.Array) -> jax.Array:
        before = x if x.shape[-1] == self.features else nn.Dense(self.features)(x)
        x = Conv(self.features, (3, 3))(nn.silu(nn.GroupNorm(GROUPS)(x)))
        x = x + nn.Dense(self.features)(known_BxD)[:, None, None]
        x = nn.silu(nn.GroupNorm(GROUPS)(x))
        return before + Conv(self.features, (3, 3), kernel_init=nn.initializers.zeros)(x)


class UNet(nn.Module):
    """Pictures `[B, 28, 28, 1]`, times `[B]` within 0..1, labels `[B]` -> velocities
    `[B, 28, 28, 1]`.

    It works between 2 x 2 blocks of pixels, at 14 x 14 places with `width` features and at 7 x 7
    with twice as many.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, time_B: jax.Array, label_B: jax.Array) -> jax.Array:
        known = nn.Dense(4 * self.width)(waves(time_B, self.width))
        known = nn.silu(known + nn.Embed(CLASSES, 4 * self.width)(label_B))
        x = Conv(self.width, (3, 3))(kernels.blocks(x, 2))
        high = Residual(self.width)(x, known)
        x = StridedConv(2 * self.width, 3)(high)
        for _ in range(2):
            x = Residual(2 * self.width)(x, known)
        x = ConvTranspose(self.width, 2)(x)
        x = Residual(self.width)(jnp.concatenate([x, high], -1), known)
        x = nn.silu(nn.GroupNorm(GROUPS)(x))
        return kernels.unblocks(Conv(4, (3, 3), kernel_init=nn.initializers.zeros)(x), 2)


def waves(time_B: jax.Array, size: int) -> jax.Array:
    """Sines and cosines of a time at many rates, `[B, size]` (Vaswani et al. 2017)."""
    rates = 1000.0 ** (jnp.arange(size // 2) / (size // 2 - 1))
    angles = time_B[:, None] * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
