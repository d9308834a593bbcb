"""Layers whose formulation follows the backend, with one parameter layout everywhere."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

# PyTorch's default, in which R0 was written: uniform within ±1/sqrt(inputs).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
Dense = functools.partial(nn.Dense, kernel_init=torch_uniform)


class Conv(nn.Module):
    """3 x 3 convolution, stride 1, same size: `[B, H, W, C]` -> `[B, H, W, features]`."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", torch_uniform, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if jax.default_backend() != "cpu":
            dims = ("NHWC", "HWIO", "NHWC")
            return (
                lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dims) + bias
            )
        height, width = x.shape[1:3]
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifts = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return jnp.concatenate(shifts, -1) @ kernel.reshape(-1, self.features) + bias


def max_pool(x: jax.Array) -> jax.Array:
    """2 x 2 maxima, stride 2, floor: `[B, H, W, C]` -> `[B, H // 2, W // 2, C]`."""
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    x = x[:, : 2 * height, : 2 * width].reshape(batch, height, 2, width, 2, channels)
    return x.max((2, 4))


class LSTM(nn.Module):
    """One LSTM layer: `[B, T, F]` -> `[B, T, features]`; weights within ±1/sqrt(features)."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bound = self.features**-0.5

        def init(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        cell = nn.OptimizedLSTMCell(
            self.features, kernel_init=init, recurrent_kernel_init=init, bias_init=init
        )
        return nn.RNN(cell)(x)
