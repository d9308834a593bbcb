"""Random numbers from few random bits, which on CPUs cost more than what is done with them."""

import functools
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.extend.random import define_prng_impl

KEY_IMPL = "rbg"  # random bits at memory speed; threefry takes a tenth of a step on CPUs


def _fitted() -> np.ndarray:
    """u, u³, u⁵, u⁷ of 256 even steps u within ±1 times these: nearly normal, variance 1."""
    u = (2 * np.arange(256) - 255) / 255
    powers = u[:, None] ** np.array([1, 3, 5, 7])
    normal = [statistics.NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)]
    weights = np.linalg.lstsq(powers, normal)[0]
    return (weights / np.std(powers @ weights)).astype(np.float32)


FITTED = _fitted()


def random_bytes(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Uniform over 0 to 255, a quarter of a random word each.

    Of Threefry, which gives a word at a time: of RBG's four a round XLA's code for CPUs computes
    the round for each. 110,592 of them take 0.06 ms where RBG takes 0.18.
    """
    threefry = jax.random.wrap_key_data(jax.random.key_data(key)[:2], impl="threefry2x32")
    return _quarters(jax.random.bits(threefry, _words(shape)), shape)


def _words(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (-(-shape[0] // 4), *shape[1:])


def _quarters(words: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    shifts = jnp.arange(0, 32, 8, dtype=words.dtype).reshape(4, *[1] * len(shape))
    return (words >> shifts & 255).reshape(-1, *shape[1:])[: shape[0]]


def gaussian(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Noise of mean 0 and sd 1: 256 values within ±2.6, kurtosis 2.84.

    A polynomial of a random byte: 1.9 ms for 786,000 of them on two cores, inside a scan, where
    `jax.random.normal` takes 20. The bytes are RBG's: what adds the noise is then quicker.
    """
    u = (2 * _quarters(jax.random.bits(key, _words(shape)), shape).astype(jnp.float32) - 255) / 255
    return u * jnp.polyval(FITTED[::-1], u * u)


def of_each(key: jax.Array) -> jax.Array:
    """A key of `KEY_IMPL` that under `vmap` draws what each draws alone.

    JAX lets the first of several such keys draw for all.
    """
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_EACH)


@functools.cache
def _bits(width: int, shape: tuple[int, ...]):
    @custom_vmap
    def bits(key: jax.Array) -> jax.Array:
        return jax.lax.rng_bit_generator(key, shape, dtype=jnp.dtype(f"uint{width}"))[1]

    @bits.def_vmap
    def of_all(size, _, keys):
        return jnp.stack([bits(keys[number]) for number in range(size)]), True

    return bits


def _known(data: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(data, impl=KEY_IMPL)


_EACH = define_prng_impl(
    key_shape=(4,),
    seed=lambda seed: jax.random.key_data(jax.random.key(seed, impl=KEY_IMPL)),
    split=lambda key, shape: jax.random.key_data(jax.random.split(_known(key), shape)),
    random_bits=lambda key, width, shape: _bits(width, tuple(shape))(key),
    fold_in=lambda key, data: jax.random.key_data(jax.random.fold_in(_known(key), data)),
    name="rbg_of_each",
    tag="rbge",
)


def of_items(key: jax.Array, held_BxN: jax.Array, size: int, dtype=jnp.float32) -> jax.Array:
    """Standard normal `[B, size]` that follows from the key and from what each item holds, uint32,
    and not from the items beside it."""
    places = jnp.arange(1, held_BxN.shape[1] + 1, dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, (held_BxN * places).sum(1))
    return jax.vmap(lambda own: jax.random.normal(own, (size,), dtype))(keys)
