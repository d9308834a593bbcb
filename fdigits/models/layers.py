"""Layers: their arithmetic (`kernels.py`) follows the backend, their parameters do not."""

import functools
from collections.abc import Callable, Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import lax

from fdigits.errors import UserError
from fdigits.models import kernels
from fdigits.noise import random_bytes

# PyTorch's default, in which R0 was written: uniform within ±1/sqrt(inputs).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
Dense = functools.partial(nn.Dense, kernel_init=torch_uniform)
MOMENTUM, EPSILON = 0.9, 1e-5  # of BatchNorm

# Keras' defaults, in which R4 was written.
glorot = nn.initializers.glorot_uniform()
KerasDense = functools.partial(nn.Dense, kernel_init=glorot)
VALID = ((0, 0), (0, 0))
KERAS_MOMENTUM, KERAS_EPSILON = 0.99, 1e-3  # of BatchNorm and LayerNorm


def watch(module: nn.Module, x: jax.Array) -> jax.Array:
    """Lets Grad-CAM see the activation `x` of a convolution and its gradient; changes nothing.

    Sows `x` into "activations", and into "calls" how many were watched before it in this call of
    the whole model.
    """
    before = len(jax.tree.leaves(module.scope.root.variables().get("calls", {})))
    module.sow("activations", "activation", x)
    module.sow("calls", "activation", before)
    return module.perturb("activation", x)


def last_watched(calls: Mapping) -> dict[str, tuple[str, ...]]:
    """Which activation was watched last: top-level module -> its path in "activations".

    Args:
      calls: the collection "calls". Names say nothing of the order: Conv_10 sorts before Conv_2.
    """
    in_order = sorted(flatten_dict(calls).items(), key=lambda item: int(item[1][-1]))
    return {path[0]: path for path, _ in in_order}


def convolution():
    """The convolution of the backend."""
    return kernels.conv_cpu if jax.default_backend() == "cpu" else kernels.conv


def relu_pool():
    """`kernels.relu_pool` of the backend."""
    return kernels.relu_pool_cpu if jax.default_backend() == "cpu" else kernels.relu_pool


class Conv(nn.Module):
    """Convolution with a bias, zeros around: `[B, H, W, C]` -> `[B, H, W, features]`.

    With few channels and features it is quicker between `block` x `block` pixels.
    """

    features: int
    size: tuple[int, int]
    kernel_init: nn.initializers.Initializer = glorot
    block: int = 1

    def __call__(self, x: jax.Array) -> jax.Array:
        x, bias = self.apart(x)
        return x + bias

    @nn.compact
    def apart(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The convolution, and the bias, not yet added."""
        shape = (*self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        pads = lax.padtype_to_pads(x.shape[1:3], self.size, (1, 1), "SAME")
        if self.block == 1:
            return convolution()(x, kernel, tuple(pads)), bias
        n, shape = self.block, kernels.block_kernel(kernel, self.block).shape
        out = x.shape[1:3]
        held = [n * (-(-o // n) + k - 1) for o, k in zip(out, shape, strict=False)]
        pads = [(p[0], m - h - p[0]) for p, m, h in zip(pads, held, x.shape[1:3], strict=True)]
        x = kernels.blocks(jnp.pad(x, ((0, 0), *pads, (0, 0))), n)
        x = convolution()(x, kernels.block_kernel(kernel, n), VALID)
        return kernels.unblocks(x, n)[:, : out[0], : out[1]], bias


class ByTwo(nn.Module):
    """A convolution that goes by 2, with a bias."""

    features: int
    size: int
    kernel_init: nn.initializers.Initializer = glorot
    arithmetic: ClassVar[tuple[Callable, Callable]]  # on CPUs, and elsewhere

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return self.arithmetic[jax.default_backend() != "cpu"](x, kernel) + bias


class StridedConv(ByTwo):
    """Zeros around as Keras' "same": `[B, H, W, C]` -> `[B, ceil(H/2), ceil(W/2), F]`."""

    arithmetic = (kernels.strided_conv_cpu, kernels.strided_conv)


class ConvTranspose(ByTwo):
    """Transposed, `[B, H, W, C]` -> `[B, 2H, 2W, F]`.

    As Keras' with "same" and, for an even size, PyTorch's with a padding of (size - 2) / 2.
    """

    arithmetic = (kernels.transposed_conv_cpu, kernels.transposed_conv)


class SquaresConv(nn.Module):
    """Convolution without padding, for few channels; its outputs lie by 2 x 2 squares.

    `[B, H, W, C]` (H, W even) -> `[B, h, w, 4, features]`, h = (H - rows + 1) // 2, ready to pool,
    and the bias, not yet added.
    """

    features: int
    size: tuple[int, int]

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", glorot, (*self.size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = convolution()(kernels.blocks(x, 2), kernels.block_kernel(kernel, 2), VALID)
        return x.reshape(*x.shape[:3], 4, self.features), bias


class ConvPool(nn.Module):
    """3 x 3 convolution without padding, ReLU, 2 x 2 max pooling (R4 Table 2).

    `[B, H, W, C]` -> `[B, (H-2)//2, (W-2)//2, features]`.
    """

    features: int
    kernel_init: nn.initializers.Initializer = glorot

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        conv = convolution()
        if not train:
            return kernels.max_pool(watch(self, nn.relu(conv(x, kernel, VALID) + bias)))
        unused = tuple((0, -(size % 2)) for size in x.shape[1:3])  # by the pooling
        return relu_pool()(conv(x, kernel, unused), bias)


class ConvBlock(nn.Module):
    """3 x 3 convolution, BatchNorm, ReLU, 2 x 2 max pooling.

    `[B, H, W, C]` -> `[B, H//2, W//2, features]`. Subtracting a batch's mean removes
    the convolution's bias, which shifts the running mean alone, gets no gradient and stays 0.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if min(x.shape[1:3]) < 2:
            raise UserError(
                "model.filters: too many, as each halves what it sees, and "
                f"{x.shape[1]} x {x.shape[2]} places cannot be halved again"
            )
        ones, zeros, width = nn.initializers.ones, nn.initializers.zeros, (self.features,)
        kernel = self.param("kernel", torch_uniform, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", zeros, width)
        scale, offset = self.param("scale", ones, width), self.param("offset", zeros, width)
        mean = self.variable("batch_stats", "mean", jnp.zeros, width)
        var = self.variable("batch_stats", "var", jnp.ones, width)

        on_cpu = jax.default_backend() == "cpu"
        pool = kernels.norm_relu_pool_cpu if on_cpu else kernels.norm_relu_pool
        x = convolution()(x, kernel, ((1, 1), (1, 1)))
        if not train:
            slope = scale * lax.rsqrt(var.value + EPSILON)
            x = nn.relu(x * slope + (bias - mean.value) * slope + offset).astype(x.dtype)
            return kernels.max_pool(watch(self, x))
        y, batch_mean, batch_var = pool(x, scale, offset, EPSILON)
        mean.value += (1 - MOMENTUM) * (batch_mean + bias - mean.value)
        var.value += (1 - MOMENTUM) * (batch_var - var.value)
        return y


class Dropout(nn.Module):
    """Dropout by one random byte an element: `rate` counts in steps of 1/256."""

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        dropped = round(self.rate * 256)
        if not train or not dropped:
            return x
        random = random_bytes(self.make_rng("dropout"), x.shape)
        return jnp.where(random >= dropped, x * (256 / (256 - dropped)), 0)


class LSTM(nn.Module):
    """One LSTM layer: `[B, T, F]` -> `[B, T, features]`; weights within ±1/sqrt(features).

    One bias; gates in the order input, forget, cell, output, side by side in each matrix.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bound = self.features**-0.5

        def init(key, shape):
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        gates = 4 * self.features
        kernel = self.param("kernel", init, (x.shape[-1], gates))
        recurrent = self.param("recurrent_kernel", init, (self.features, gates))
        bias = self.param("bias", init, (gates,))
        x_TxBxF = x.swapaxes(0, 1)
        # Of two axes: XLA's code for CPUs turns what has three, twice.
        gates = x_TxBxF.reshape(-1, x.shape[-1]) @ kernel + bias
        gates_TxBxG = gates.reshape(*x_TxBxF.shape[:2], -1)
        return kernels.lstm(gates_TxBxG, recurrent).swapaxes(0, 1)
