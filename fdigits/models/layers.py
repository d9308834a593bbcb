"""Layers whose formulation follows the backend, with one parameter layout everywhere.

XLA's CPU compiler is quick at plain NHWC convolutions and at large matmuls; the gradients that JAX
derives from a convolution or a pooling are neither, so they are spelt out here (exact, float32).
Accelerators keep `lax`'s own.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]

# PyTorch's default, in which R0 was written: uniform within ±1/sqrt(inputs).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
Dense = functools.partial(nn.Dense, kernel_init=torch_uniform)


class Conv(nn.Module):
    """2-D convolution: `[B, H, W, C]` -> `[B, H', W', features]`; parameters as `nn.Conv`.

    `padding` is "SAME", "VALID" or ((top, bottom), (left, right)).
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: str | Pads = "SAME"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", torch_uniform, shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        pads = self.padding
        if isinstance(pads, str):
            pads = lax.padtype_to_pads(x.shape[1:3], self.kernel_size, self.strides, pads)
        pads = tuple(map(tuple, pads))  # hashable
        convolve = conv_cpu if jax.default_backend() == "cpu" else conv
        return convolve(x.astype(self.dtype), kernel, self.strides, pads) + bias


def conv(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: Pads) -> jax.Array:
    """`[B, H, W, C]`, kernel `[h, w, C, F]` -> `[B, H', W', F]`; pads ((top, bottom), ...)."""
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=dims)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv_cpu(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: Pads) -> jax.Array:
    """`conv`, with gradients that are quick on CPUs, inside a `lax.scan` too."""
    return conv(x, kernel, strides, pads)


def _conv_forward(x, kernel, strides, pads):
    return conv(x, kernel, strides, pads), (x, kernel)


def _conv_backward(strides, pads, saved, dy):
    x, kernel = saved
    (h, w, channels, features), (high, wide) = kernel.shape, dy.shape[1:3]

    # Kernel: every shift of the input, [h·w·C, B·H'·W'], times dy. Channels lead, so that the
    # shifts are stacked, not interleaved.
    padded = jnp.pad(x.transpose(3, 0, 1, 2), ((0, 0), (0, 0), *pads))
    shifts = [
        padded[:, :, i : i + strides[0] * high : strides[0], j : j + strides[1] * wide : strides[1]]
        for i in range(h)
        for j in range(w)
    ]
    patches = jnp.stack(shifts).reshape(h * w * channels, -1)
    dkernel = (patches @ dy.reshape(-1, features)).reshape(kernel.shape)

    # Input: dy, spread by the strides, convolved with the kernel turned round.
    spread = [(0, 0, 0), *((0, 0, stride - 1) for stride in strides), (0, 0, 0)]
    dy = lax.pad(dy, jnp.zeros((), dy.dtype), spread)
    low = [size - 1 - pad[0] for size, pad in zip((h, w), pads, strict=True)]
    back = tuple(
        (lo, n + size - 1 - lo - m)
        for lo, n, size, m in zip(low, x.shape[1:3], (h, w), dy.shape[1:3], strict=True)
    )
    return conv(dy, kernel[::-1, ::-1].swapaxes(2, 3), (1, 1), back), dkernel


conv_cpu.defvjp(_conv_forward, _conv_backward)


def max_pool(x: jax.Array, window: int = 2) -> jax.Array:
    """Maxima of `window` x `window` squares, rest dropped: `[B, H, W, C]` -> `[B, H//n, W//n, C]`.

    Of equal maxima the first, row by row, takes the gradient, as in PyTorch.
    """
    if jax.default_backend() == "cpu":
        return max_pool_cpu(x, window)
    return nn.max_pool(x, (window, window), (window, window))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool_cpu(x: jax.Array, window: int) -> jax.Array:
    """`max_pool` as maxima of strided slices."""
    return functools.reduce(jnp.maximum, _corners(x, window))


def _corners(x: jax.Array, window: int) -> list[jax.Array]:
    """The window's `window`² members, each `[B, H//n, W//n, C]`, row by row."""
    high, wide = (size // window * window for size in x.shape[1:3])
    return [x[:, i:high:window, j:wide:window] for i in range(window) for j in range(window)]


def _max_pool_forward(x, window):
    y = max_pool_cpu(x, window)
    return y, (x, y)


def _max_pool_backward(window, saved, dy):
    x, y = saved
    (_, height, width, _), (batch, high, wide, channels) = x.shape, y.shape
    first = jnp.uint8(window**2 - 1)
    for place, corner in reversed(list(enumerate(_corners(x, window)))):
        first = jnp.where(corner == y, jnp.uint8(place), first)
    place = jnp.arange(window**2, dtype=jnp.uint8).reshape(window, 1, window, 1)
    dx = jnp.where(first[:, :, None, :, None] == place, dy[:, :, None, :, None], 0)
    dx = dx.reshape(batch, high * window, wide * window, channels)
    rest = (0, height - high * window), (0, width - wide * window)
    return (jnp.pad(dx, ((0, 0), *rest, (0, 0))),)


max_pool_cpu.defvjp(_max_pool_forward, _max_pool_backward)


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
        gates_TxBxG = x.swapaxes(0, 1) @ kernel + bias
        return lstm(gates_TxBxG, recurrent).swapaxes(0, 1)


@jax.custom_vjp
def lstm(gates_TxBxG: jax.Array, recurrent: jax.Array) -> jax.Array:
    """The recurrence over projected inputs `[T, B, 4H]`, weights `[H, 4H]` -> `[T, B, H]`.

    Its gradient gathers the gates' gradients and multiplies them with the states once, after the
    backward scan.
    """
    return _lstm_forward(gates_TxBxG, recurrent)[0]


def _sigmoid(x):
    return 0.5 * jnp.tanh(0.5 * x) + 0.5  # XLA's tanh is cheaper than its exp


def _lstm_forward(gates_TxBxG, recurrent):
    def step(carry, gates):
        h, c = carry
        i, f, g, o = jnp.split(gates + h @ recurrent, 4, -1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), jnp.tanh(g), _sigmoid(o)
        before, c = c, f * c + i * g
        tanh_c = jnp.tanh(c)
        h = o * tanh_c
        # What the backward scan multiplies dc and dh with.
        by_dc = g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)
        return (h, c), (h, by_dc, tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c), f)

    zero = jnp.zeros((gates_TxBxG.shape[1], recurrent.shape[0]), gates_TxBxG.dtype)
    _, (h_TxBxH, *slopes) = lax.scan(step, (zero, zero), gates_TxBxG)
    return h_TxBxH, (h_TxBxH, slopes, recurrent)


def _lstm_backward(saved, dh_TxBxH):
    h_TxBxH, slopes, recurrent = saved

    def step(carry, now):
        dh, dc = carry
        dh_out, by_dc, by_dh, dc_by_dh, f = now
        dh = dh + dh_out
        dc = dc + dh * dc_by_dh
        dgates = jnp.concatenate([slope * dc for slope in by_dc] + [dh * by_dh], -1)
        dgates = lax.optimization_barrier(dgates)  # else computed twice
        return (dgates @ recurrent.T, dc * f), dgates

    zero = jnp.zeros_like(h_TxBxH[0])
    _, dgates_TxBxG = lax.scan(step, (zero, zero), (dh_TxBxH, *slopes), reverse=True)
    before = jnp.concatenate([zero[None], h_TxBxH[:-1]])
    return dgates_TxBxG, jnp.einsum("tbh,tbg->hg", before, dgates_TxBxG)


lstm.defvjp(_lstm_forward, _lstm_backward)
