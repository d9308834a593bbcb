import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from ml_collections import ConfigDict

from fdigits import tasks
from fdigits.config import CLASSIFIER, base
from fdigits.errors import UserError
from fdigits.models import mobilenet
from fdigits.tasks.task import blank_batch
from tests.models import parity


def size(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_it_has_keras_parameters():
    """Keras counts 2,257,984 without the top, of which 34,112 are statistics."""
    shapes = jax.eval_shape(
        lambda x: mobilenet.MobileNetV2().init(jax.random.key(0), x, False),
        np.zeros((1, 28, 28, 1)),
    )
    assert size(shapes["params"]) == 2_257_984 - 34_112
    assert size(shapes["batch_stats"]) == 34_112


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 4, 7])
def test_depthwise_convolution_and_its_gradients_are_a_grouped_ones(side, stride):
    x, module = normal(0, 2, side, side, 5), mobilenet.Depthwise(stride)
    variables = parity.variables(module, x)

    def grouped(variables, x):
        kernel = variables["params"]["kernel"]
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", feature_group_count=5,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    weights = normal(1, *jax.eval_shape(grouped, variables, x).shape)

    @jax.jit
    def both(variables, x):
        return [
            jax.value_and_grad(lambda v, x, f=f: (f(v, x) * weights).sum(), (0, 1))(variables, x)
            for f in (module.apply, grouped)
        ]

    found, wanted = both(variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, wanted)


def test_a_block_adds_its_input_where_the_shapes_are_equal():
    x = normal(0, 2, 6, 6, 4)
    for features, stride, added in ((4, 1, True), (4, 2, False), (8, 1, False)):
        block = mobilenet.InvertedResidual(2, features, stride)
        variables = parity.variables(block, x, False)
        variables["params"] = jax.tree.map(np.zeros_like, variables["params"])
        variables["batch_stats"] = jax.tree.map(np.ones_like, variables["batch_stats"])
        y = jax.jit(lambda v, block=block: block.apply(v, x, False))(variables)
        np.testing.assert_array_equal(y, x if added else 0)


@pytest.mark.slow
def test_with_keras_weights_it_gives_keras_outputs():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("keras")
    model = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:  # statistics that are not those of a new network
        if "Batch" in type(layer).__name__:
            drawn = [rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
            layer.set_weights(drawn)
    variables = mobilenet.from_keras(model)
    x = rng.normal(size=(2, 32, 32, 1)).astype(np.float32)
    shapes = jax.eval_shape(lambda: mobilenet.MobileNetV2().init(jax.random.key(0), x, False))
    shapes = {name: shapes[name] for name in variables}
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)
    wanted = model.predict(np.repeat(x, 3, -1), verbose=0)
    found = jax.jit(lambda v: mobilenet.MobileNetV2().apply(v, x, False))(variables)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.slow
def test_imagenets_weights_come_through_keras_or_it_says_why_not(monkeypatch):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("keras")
    make, given = keras.applications.MobileNetV2, []

    def offline(**fields):
        raise Exception("URL fetch failure: not known\nand more")

    def untrained(weights, **fields):
        given.append(make(weights=None, **fields))
        return given[-1]

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(UserError, match=r"imagenet: Keras cannot .*not known\): connect once"):
        mobilenet.imagenet()
    monkeypatch.setattr(keras.applications, "MobileNetV2", untrained)
    model = ConfigDict(CLASSIFIER)
    model.update(name="image", image="mobilenet", width=512, weights="imagenet")
    config = base("x", "digits", model=model)
    task = tasks.make(config)
    variables = jax.jit(task.init)(jax.random.key(0), blank_batch(("image",)))
    params, statistics = task.started(variables["params"], variables["batch_stats"])
    kernel, mean = (given[0].get_layer(name).get_weights() for name in ("Conv1", "bn_Conv1"))
    np.testing.assert_array_equal(params["encoder"]["base"]["kernel"], kernel[0])
    np.testing.assert_array_equal(statistics["encoder"]["base"]["BatchNorm_0"]["mean"], mean[2])
    assert params["head"] is variables["params"]["head"]
