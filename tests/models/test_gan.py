import functools

import jax
import numpy as np
import pytest

from fdigits.models import flow, gan
from fdigits.models.layers import KERAS_EPSILON
from tests.models import parity

KEY = jax.random.key(0)
LABEL = np.array([3, 1, 3, 9], np.int32)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def size(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def test_the_generator_is_the_papers_table():
    noise = normal(0, 4, 100)
    variables = parity.variables(gan.Generator(), noise, LABEL, False)
    dense = 150 * 12544 + 12544 + 2 * 12544
    first = 25 * 256 * 128 + 128 + 2 * 10 * 128
    second = 25 * 128 * 64 + 64 + 2 * 10 * 64
    assert size(variables["params"]) == 10 * 50 + dense + first + second + 25 * 64 * 1 + 1
    image = jax.jit(lambda *args: gan.Generator().apply(*args, False))(variables, noise, LABEL)
    assert image.shape == (4, 28, 28, 1) and np.abs(image).max() <= 1


def test_the_discriminator_is_the_papers_table():
    """28 -> 14 -> 7 -> 4."""
    image = normal(0, 4, 28, 28, 1)
    variables = jax.eval_shape(lambda: gan.Discriminator().init(KEY, image, LABEL, False))
    convolutions = (25 * 64 + 64) + (25 * 64 * 128 + 128) + (25 * 128 * 256 + 256)
    assert size(variables["params"]) == convolutions + 4 * 4 * 256 + 10 + 1
    told = jax.eval_shape(lambda v: gan.Discriminator().apply(v, image, LABEL, False), variables)
    assert told.shape == (4,)


def test_the_discriminators_label_shifts_all_pictures_alike():
    image, module = normal(0, 4, 28, 28, 1), gan.Discriminator()
    variables = parity.variables(module, image, LABEL, False)
    score = jax.jit(lambda label: module.apply(variables, image, label, False))
    shift = np.asarray(score(LABEL * 0)) - np.asarray(score(LABEL * 0 + 5))
    np.testing.assert_allclose(shift, shift[0], rtol=1e-4, atol=1e-6)
    assert abs(shift[0]) > 1e-3


@functools.partial(jax.jit, static_argnums=0)
def _trained(module, params, statistics, x):
    variables = {"params": params, "batch_stats": statistics}
    return module.apply(variables, x, LABEL, True, mutable=["batch_stats"])


def test_conditional_batchnorm_is_its_formula_and_keeps_statistics():
    x, module = 2 * normal(0, 4, 3, 3, 5) + 1, gan.ConditionalBatchNorm()
    variables = jax.jit(lambda: module.init(KEY, x, LABEL, True))()
    own = {"scale": normal(1, 10, 5), "offset": normal(2, 10, 5)}
    y, new = _trained(module, own, variables["batch_stats"], x)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    wanted = (x - mean) / np.sqrt(var + KERAS_EPSILON) * own["scale"][LABEL][:, None, None]
    wanted += own["offset"][LABEL][:, None, None]
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    statistics = new["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(statistics["mean"], 0.01 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.99 + 0.01 * var, rtol=1e-4)


def test_conditional_batchnorm_is_pytorchs_with_an_embedding():
    torch = pytest.importorskip("torch")
    x, scale, offset = normal(0, 4, 3, 3, 5), normal(1, 10, 5), normal(2, 10, 5)
    norm = torch.nn.BatchNorm2d(5, eps=KERAS_EPSILON, affine=False)
    given = torch.tensor(x.transpose(0, 3, 1, 2))
    tables = [torch.tensor(t)[LABEL][:, :, None, None] for t in (scale, offset)]
    wanted = (norm(given) * tables[0] + tables[1]).numpy().transpose(0, 2, 3, 1)
    module = gan.ConditionalBatchNorm()
    statistics = jax.jit(lambda: module.init(KEY, x, LABEL, True))()["batch_stats"]
    found, _ = _trained(module, {"scale": scale, "offset": offset}, statistics, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_flows_net_starts_still_and_knows_time_and_label():
    x, net = normal(0, 2, 28, 28, 1), flow.UNet(16)
    time, label = np.float32([0.2, 0.7]), LABEL[:2]
    apply, params = jax.jit(net.apply), parity.variables(net, x, time, label)["params"]
    last = jax.jit(lambda: net.init(KEY, x, time, label)["params"]["Conv_1"])()
    assert (apply({"params": params | {"Conv_1": last}}, x, time, label) == 0).all()
    y = apply({"params": params}, x, time, label)
    assert y.shape == x.shape
    assert (y != apply({"params": params}, x, time + 0.1, label)).any()
    assert (y != apply({"params": params}, x, time, label + 1)).any()


def test_waves_are_sines_and_cosines_of_the_time():
    found = jax.jit(lambda time: flow.waves(time, 4))(np.float32([0.3]))
    wanted = [np.sin(0.3), np.sin(300.0), np.cos(0.3), np.cos(300.0)]
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)
