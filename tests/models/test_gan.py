import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdigits.models import flow, gan
from fdigits.models.layers import KERAS_EPSILON

KEY = jax.random.key(0)
LABEL = np.array([3, 1, 3, 9], np.int32)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def size(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def test_the_generator_is_the_papers_table():
    noise = normal(0, 4, 100)
    variables = gan.Generator().init(KEY, noise, LABEL, False)
    dense = 150 * 12544 + 12544 + 2 * 12544
    first = 25 * 256 * 128 + 128 + 2 * 10 * 128
    second = 25 * 128 * 64 + 64 + 2 * 10 * 64
    assert size(variables["params"]) == 10 * 50 + dense + first + second + 25 * 64 * 1 + 1
    image = gan.Generator().apply(variables, noise, LABEL, False)
    assert image.shape == (4, 28, 28, 1) and jnp.abs(image).max() <= 1


def test_the_discriminator_is_the_papers_table():
    """28 -> 14 -> 7 -> 4."""
    image = normal(0, 4, 28, 28, 1)
    variables = gan.Discriminator().init(KEY, image, LABEL, False)
    convolutions = (25 * 64 + 64) + (25 * 64 * 128 + 128) + (25 * 128 * 256 + 256)
    assert size(variables["params"]) == convolutions + 4 * 4 * 256 + 10 + 1
    assert gan.Discriminator().apply(variables, image, LABEL, False).shape == (4,)


def test_the_discriminators_label_shifts_all_pictures_alike():
    image, module = normal(0, 4, 28, 28, 1), gan.Discriminator()
    variables = module.init(KEY, image, LABEL, False)
    shift = module.apply(variables, image, LABEL * 0, False) - module.apply(
        variables, image, LABEL * 0 + 5, False
    )
    np.testing.assert_allclose(shift, shift[0], rtol=1e-4, atol=1e-6)
    assert abs(shift[0]) > 1e-3


def test_conditional_batchnorm_is_its_formula_and_keeps_statistics():
    x, module = 2 * normal(0, 4, 3, 3, 5) + 1, gan.ConditionalBatchNorm()
    variables = module.init(KEY, x, LABEL, True)
    own = {"scale": normal(1, 10, 5), "offset": normal(2, 10, 5)}
    y, new = module.apply(
        {"params": own, "batch_stats": variables["batch_stats"]},
        x, LABEL, True, mutable=["batch_stats"],
    )  # fmt: skip
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
    given = torch.tensor(np.array(x).transpose(0, 3, 1, 2))
    tables = [torch.tensor(np.array(t))[LABEL][:, :, None, None] for t in (scale, offset)]
    wanted = (norm(given) * tables[0] + tables[1]).numpy().transpose(0, 2, 3, 1)
    variables = gan.ConditionalBatchNorm().init(KEY, x, LABEL, True)
    held = {"params": {"scale": scale, "offset": offset}}
    found, _ = gan.ConditionalBatchNorm().apply(
        held | {"batch_stats": variables["batch_stats"]}, x, LABEL, True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_flows_net_starts_still_and_knows_time_and_label():
    x, net = normal(0, 2, 28, 28, 1), flow.UNet(16)
    time, label = jnp.array([0.2, 0.7]), LABEL[:2]
    apply, variables = jax.jit(net.apply), jax.jit(net.init)(KEY, x, time, label)
    assert (apply(variables, x, time, label) == 0).all()
    params = jax.tree.map(lambda p: p + 0.05, variables["params"])
    y = apply({"params": params}, x, time, label)
    assert y.shape == x.shape
    assert (y != apply({"params": params}, x, time + 0.1, label)).any()
    assert (y != apply({"params": params}, x, time, label + 1)).any()


def test_waves_are_sines_and_cosines_of_the_time():
    found = flow.waves(jnp.array([0.3]), 4)
    wanted = [np.sin(0.3), np.sin(300.0), np.cos(0.3), np.cos(300.0)]
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)
