"""R4's conditional DCGAN (Problem 3, Table 4)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.data.corpus import CLASSES
from fdigits.models.layers import (
    KERAS_EPSILON,
    KERAS_MOMENTUM,
    Conv,
    ConvTranspose,
    Dropout,
    KerasDense,
    StridedConv,
)


class ConditionalBatchNorm(nn.Module):
    """BatchNorm whose scale and offset are each class's own (Dumoulin et al. 2017).

    `[B, H, W, C]` and labels `[B]` -> `[B, H, W, C]`.
    """

    @nn.compact
    def __call__(self, x: jax.Array, label_B: jax.Array, train: bool) -> jax.Array:
        shape = (CLASSES, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones, shape)[label_B]
        offset = self.param("offset", nn.initializers.zeros, shape)[label_B]
        norm = nn.BatchNorm(
            not train,
            momentum=KERAS_MOMENTUM,
            epsilon=KERAS_EPSILON,
            use_scale=False,
            use_bias=False,
        )
        return norm(x) * scale[:, None, None] + offset[:, None, None]


class Generator(nn.Module):
    """Noise `[B, Z]` and labels `[B]` -> pictures `[B, 28, 28, 1]` within -1..1.

    The paper gives no size of the label's embedding: here 50.
    """

    embedding: int = 50

    @nn.compact
    def __call__(self, noise_BxZ: jax.Array, label_B: jax.Array, train: bool) -> jax.Array:
        label_BxE = nn.Embed(CLASSES, self.embedding)(label_B)
        x = KerasDense(7 * 7 * 256)(jnp.concatenate([noise_BxZ, label_BxE], -1))
        x = nn.BatchNorm(not train, momentum=KERAS_MOMENTUM, epsilon=KERAS_EPSILON)(x)
        x = Dropout(0.3)(nn.relu(x), train).reshape(-1, 7, 7, 256)
        for features in (128, 64):
            x = ConvTranspose(features, 5)(x)
            x = nn.relu(ConditionalBatchNorm()(x, label_B, train))
            x = Dropout(0.3)(x, train)
        return nn.tanh(Conv(1, (5, 5))(x))


class Discriminator(nn.Module):
    """Pictures `[B, 28, 28, 1]` and labels `[B]` -> the score of "real" `[B]`.

    As the paper says, the label joins before the last layer alone. So it shifts a class's scores
    and cannot tell whether the picture is of the class: what does is the auxiliary classifier.
    """

    @nn.compact
    def __call__(self, x: jax.Array, label_B: jax.Array, train: bool) -> jax.Array:
        for features in (64, 128, 256):
            x = nn.leaky_relu(StridedConv(features, 5)(x), 0.2)
            x = Dropout(0.3)(x, train)
        x = x.reshape(x.shape[0], -1)
        x = jnp.concatenate([x, jax.nn.one_hot(label_B, CLASSES, dtype=x.dtype)], -1)
        return KerasDense(1)(x)[:, 0]
