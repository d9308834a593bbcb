import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from fdigits.models import layers

DRAWS = settings(max_examples=5, deadline=None, derandomize=True)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def agree(f, g, *args):
    """Values, and gradients by every argument of the same random projection, to 1e-5."""

    def both(function):
        @jax.jit
        def values(*args):
            y, back = jax.vjp(function, *args)
            return y, back(normal(9, *y.shape))

        return values(*args)

    for a, b in zip(*map(jax.tree.leaves, (both(f), both(g))), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(jnp.abs(b).max())))


@DRAWS
@given(
    size=st.tuples(st.integers(5, 11), st.integers(5, 11)),
    channels=st.sampled_from([1, 3, 8]),
    kernel=st.sampled_from([(1, 1), (3, 3), (5, 5), (3, 5)]),
    strides=st.sampled_from([(1, 1), (2, 2), (1, 2)]),
    padding=st.sampled_from(["SAME", "VALID", ((1, 0), (0, 2)), ((3, 3), (3, 3))]),
)
def test_conv_is_flax_conv(size, channels, kernel, strides, padding):
    ours = layers.Conv(4, kernel, strides, padding)
    theirs = nn.Conv(4, kernel, strides, padding)
    x = normal(0, 2, *size, channels)
    variables = ours.init(jax.random.key(0), x)
    agree(ours.apply, theirs.apply, variables, x)


@DRAWS
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    window=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_max_pool_is_flax_max_pool(size, window, seed):
    size = [max(n, window) for n in size]
    x = jax.random.permutation(jax.random.key(seed), jnp.arange(2.0 * size[0] * size[1] * 3))
    x = x.reshape(2, *size, 3)  # no ties
    agree(
        lambda x: layers.max_pool_cpu(x, window),
        lambda x: nn.max_pool(x, (window, window), (window, window)),
        x,
    )


@pytest.mark.parametrize("pool", [lambda x: layers.max_pool_cpu(x, 2), layers.max_pool])
def test_first_of_equal_maxima_takes_the_gradient(pool):
    x = jnp.asarray([[0.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)
    gradient = jax.grad(lambda x: pool(x).sum())(x)
    np.testing.assert_array_equal(gradient.reshape(2, 2), [[0, 1], [0, 0]])


@DRAWS
@given(steps=st.sampled_from([1, 6]), batch=st.integers(1, 3), width=st.integers(1, 5))
def test_lstm_is_flax_lstm(steps, batch, width):
    units = 4
    x = normal(1, batch, steps, width)
    variables = layers.LSTM(units).init(jax.random.key(0), x)
    reference = nn.RNN(nn.OptimizedLSTMCell(units))

    def flax_lstm(variables, x):
        params = variables["params"]
        cell = {}
        for n, gate in enumerate("ifgo"):
            own = slice(n * units, (n + 1) * units)
            cell[f"i{gate}"] = {"kernel": params["kernel"][:, own]}
            recurrent, bias = params["recurrent_kernel"][:, own], params["bias"][own]
            cell[f"h{gate}"] = {"kernel": recurrent, "bias": bias}
        return reference.apply({"params": {"cell": cell}}, x)

    agree(layers.LSTM(units).apply, flax_lstm, variables, x)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = layers.max_pool(nn.relu(layers.Conv(4)(x)))
        return layers.LSTM(3)(x.reshape(x.shape[0], x.shape[1], -1))


def test_backends_share_parameters_and_results(monkeypatch):
    x = normal(2, 2, 9, 7, 3)
    cpu = Block().init(jax.random.key(0), x)
    on_cpu = jax.vjp(Block().apply, cpu, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    accelerator = Block().init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, cpu) == jax.tree.map(jnp.shape, accelerator)
    on_accelerator = jax.vjp(Block().apply, cpu, x)
    np.testing.assert_allclose(on_cpu[0], on_accelerator[0], atol=1e-5)
    seed = normal(3, *on_cpu[0].shape)
    for a, b in zip(*(jax.tree.leaves(v[1](seed)) for v in (on_cpu, on_accelerator)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_layers_train_inside_a_scan():
    x, target = normal(4, 3, 2, 8, 8, 2), normal(5, 2, 4, 3)
    variables = Block().init(jax.random.key(0), x[0])

    def step(variables, x):
        loss, gradient = jax.value_and_grad(
            lambda v: jnp.square(Block().apply(v, x) - target).mean()
        )(variables)
        return jax.tree.map(lambda v, g: v - 0.1 * g, variables, gradient), loss

    scanned, losses = jax.jit(lambda v, x: jax.lax.scan(step, v, x))(variables, x)
    for batch, expected in zip(x, losses, strict=True):
        variables, loss = step(variables, batch)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (scanned, variables)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
