import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdigits.models.attention import (
    CBAM,
    ChannelAttention,
    PooledAttention,
    SelfAttention,
    SpatialAttention,
)
from tests.models import parity

B, H, W, C = 3, 5, 4, 16
MAPS = {  # module -> the path and shape of each map it sows
    ChannelAttention(): {("map",): (B, C)},
    SpatialAttention(): {("map",): (B, H, W)},
    PooledAttention(): {("map",): (B, H, W)},
    CBAM(): {("channel", "map"): (B, C), ("spatial", "map"): (B, H, W)},
    SelfAttention(heads=2, width=8): {("map",): (B, 2, H * W, H * W)},
}
MODULES = pytest.mark.parametrize("module", MAPS, ids=lambda module: type(module).__name__)
SIGMOIDS = [module for module in MAPS if not isinstance(module, SelfAttention)]


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def make(module):
    """A map, and variables."""
    x = normal(0, B, H, W, C)
    variables = parity.variables(module, x)
    noise = jax.tree.map(lambda p: 0.3 * normal(1, *p.shape), variables)
    return x, jax.tree.map(jnp.add, variables, noise)


@functools.cache
def compiled(module):
    """The output and what is sown, of variables and a map."""
    return jax.jit(lambda variables, x: module.apply(variables, x, mutable=["attention"]))


def output(module, variables, x):
    return compiled(module)(variables, x)[0]


def sown(module, variables, x):
    _, state = compiled(module)(variables, x)
    paths = jax.tree.leaves_with_path(state["attention"], is_leaf=lambda x: isinstance(x, tuple))
    maps = {tuple(key.key for key in path): found for path, found in paths}
    assert all(len(found) == 1 for found in maps.values())
    return {path: found[0] for path, found in maps.items()}


@MODULES
def test_maps_have_their_shapes(module):
    x, variables = make(module)
    assert output(module, variables, x).shape == x.shape
    maps = sown(module, variables, x)
    assert {path: weights.shape for path, weights in maps.items()} == MAPS[module]


@MODULES
def test_maps_are_weights(module):
    x, variables = make(module)
    for weights in sown(module, variables, 30 * x).values():
        assert (weights >= 0).all() and (weights <= 1).all() and np.ptp(weights) > 0.1
        if isinstance(module, SelfAttention):
            np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


@MODULES
def test_sowing_changes_nothing(module):
    alone = jax.make_jaxpr(module.apply)(*reversed(make(module)))
    sowing = jax.make_jaxpr(lambda *args: module.apply(*args, mutable=["attention"])[0])
    assert str(sowing(*reversed(make(module)))) == str(alone)


@MODULES
def test_examples_know_nothing_of_each_other(module):
    x, variables = make(module)
    order = jnp.asarray([2, 0, 1])
    np.testing.assert_allclose(
        output(module, variables, x[order]), output(module, variables, x)[order], atol=1e-6
    )


@pytest.mark.parametrize("module", SIGMOIDS, ids=lambda module: type(module).__name__)
def test_without_weights_all_counts_half(module):
    x, variables = make(module)
    zeros = jax.tree.map(jnp.zeros_like, variables)
    np.testing.assert_allclose(output(module, zeros, x), x / 2 ** len(MAPS[module]), atol=1e-6)


@pytest.mark.parametrize("module", SIGMOIDS, ids=lambda module: type(module).__name__)
def test_output_is_the_input_times_its_maps(module):
    x, variables = make(module)
    factor = jnp.ones(())
    for weights in sown(module, variables, x).values():
        factor = factor * (weights[:, None, None] if weights.ndim == 2 else weights[..., None])
    np.testing.assert_allclose(output(module, variables, x), x * factor, atol=1e-5)


def test_self_attention_knows_no_places():
    module = SelfAttention(heads=2, width=8)
    x, variables = make(module)
    order = np.random.default_rng(2).permutation(H * W)

    def moved(x):
        return x.reshape(B, H * W, C)[:, order].reshape(x.shape)

    np.testing.assert_allclose(
        output(module, variables, moved(x)), moved(output(module, variables, x)), atol=1e-5
    )


def test_self_attention_ends_in_layer_norm():
    module = SelfAttention(heads=2, width=8)
    x = normal(0, B, H, W, C)
    params = parity.variables(module, x)["params"]
    params["LayerNorm_0"] = {"scale": jnp.ones(C), "bias": jnp.zeros(C)}
    y = output(module, {"params": params}, 10 * x)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-2)


@pytest.mark.parametrize(("channels", "units"), [(6, 1), (16, 2), (32, 4)])
def test_the_bottleneck_has_a_unit_at_least(channels, units):
    x = jnp.zeros((1, 2, 2, channels))
    params = jax.eval_shape(ChannelAttention().init, jax.random.key(0), x)["params"]
    assert params["Dense_0"]["kernel"].shape == (channels, units)
    assert params["Dense_1"]["kernel"].shape == (units, channels)
