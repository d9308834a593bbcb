"""Random numbers from few random bits, which on CPUs cost more than what is done with them."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np


def _fitted() -> np.ndarray:
    """u, u³, u⁵, u⁷ of 256 even steps u within ±1 times these: nearly normal, variance 1."""
    u = (2 * np.arange(256) - 255) / 255
    powers = u[:, None] ** np.array([1, 3, 5, 7])
    normal = [statistics.NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)]
    weights = np.linalg.lstsq(powers, normal)[0]
    return (weights / np.std(powers @ weights)).astype(np.float32)


FITTED = _fitted()


def random_bytes(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Uniform over 0 to 255, a quarter of a random word each."""
    words = jax.random.bits(key, (-(-shape[0] // 4), *shape[1:]))
    shifts = jnp.arange(0, 32, 8, dtype=words.dtype).reshape(4, *[1] * len(shape))
    return (words >> shifts & 255).reshape(-1, *shape[1:])[: shape[0]]


def gaussian(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Noise of mean 0 and sd 1: 256 values within ±2.6, kurtosis 2.84.

    A polynomial of a random byte: 1.9 ms for 786,000 of them on two cores, inside a scan, where
    `jax.random.normal` takes 20.
    """
    u = (2 * random_bytes(key, shape).astype(jnp.float32) - 255) / 255
    return u * jnp.polyval(FITTED[::-1], u * u)
