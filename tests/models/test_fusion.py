import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdigits.config import base
from fdigits.errors import UserError
from fdigits.models import classifiers, fusion
from tests.models import parity

B, D = 5, 32
WIDTHS = dict(concat=2 * D, add=D, weighted=D, gated=D, low_rank=D, cross_attention=2 * D)
NAMES = pytest.mark.parametrize("name", WIDTHS)
WITH_WEIGHTS = ("weighted", "cross_attention")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def make(name):
    """The module, its variables and the embeddings of two modalities."""
    module, parts = fusion.make(name), [normal(0, B, D), normal(1, B, D)]
    return module, parity.variables(module, parts), parts


@functools.cache
def fuse(name):
    """Fused embeddings, and weights or None, of variables and embeddings."""
    apply = jax.jit(fusion.make(name).apply)
    return lambda variables, parts: jax.device_get(apply(variables, parts))


@NAMES
def test_shapes(name):
    _, variables, parts = make(name)
    fused, weights = fuse(name)(variables, parts)
    assert fused.shape == (B, WIDTHS[name])
    if name in WITH_WEIGHTS:
        assert weights.shape == (B, 2)
        assert (weights >= 0).all() and (weights <= 1).all() and np.ptp(weights) > 0.01
    else:
        assert weights is None


@NAMES
def test_examples_know_nothing_of_each_other(name):
    _, variables, parts = make(name)
    order = np.array([3, 0, 4, 1, 2])
    fused, weights = fuse(name)(variables, parts)
    moved, moved_weights = fuse(name)(variables, [part[order] for part in parts])
    np.testing.assert_allclose(moved, fused[order], atol=1e-5)
    if weights is not None:
        np.testing.assert_allclose(moved_weights, weights[order], atol=1e-6)


@NAMES
def test_both_modalities_count(name):
    module, variables, parts = make(name)
    square = jax.jit(jax.grad(lambda p: jnp.square(module.apply(variables, p)[0]).sum()))
    gradients = jax.device_get(square(parts))
    assert all((np.abs(gradient).max(-1) > 1e-3).all() for gradient in gradients)


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'weighted'"):
        fusion.make("wieghted")


def test_concat_and_add():
    parts = [normal(0, B, D), normal(1, B, D)]
    np.testing.assert_array_equal(fusion.Concat().apply({}, parts)[0], jnp.hstack(parts))
    np.testing.assert_allclose(fusion.Add().apply({}, parts)[0], parts[0] + parts[1])


@pytest.mark.parametrize("sign", [1, -1])
def test_saturated_weights_add_all_or_nothing(sign):
    _, variables, parts = make("weighted")
    for dense in variables["params"].values():
        dense["bias"] = dense["bias"] + 100.0 * sign
    fused, weights = fuse("weighted")(variables, parts)
    np.testing.assert_allclose(weights, sign > 0, atol=1e-6)
    np.testing.assert_allclose(fused, (parts[0] + parts[1]) * (sign > 0), atol=1e-5)


def test_each_weight_reads_its_own_modality():
    _, variables, parts = make("weighted")
    _, weights = fuse("weighted")(variables, parts)
    _, other = fuse("weighted")(variables, [parts[0], normal(9, B, D)])
    np.testing.assert_array_equal(weights[:, 0], other[:, 0])
    assert (weights[:, 1] != other[:, 1]).all()


def test_low_rank_is_a_tensor_of_rank_4():
    _, variables, parts = make("low_rank")
    params = variables["params"]
    factors = [
        np.vstack([params[name]["kernel"], params[name]["bias"]]).reshape(D + 1, 4, D)
        for name in ("Dense_0", "Dense_1")
    ]
    tensor = np.einsum("ird,jrd,r->ijd", *factors, params["ranks"]["kernel"][:, 0])
    first, second = (np.hstack([part, np.ones((B, 1))]) for part in parts)
    outer = np.einsum("bi,bj->bij", first, second)
    expected = np.einsum("bij,ijd->bd", outer, tensor) + params["ranks"]["bias"]
    np.testing.assert_allclose(fuse("low_rank")(variables, parts)[0], expected, atol=1e-4)


def test_gated_without_values_is_the_first_modality():
    _, variables, parts = make("gated")
    variables["params"]["value"] = jax.tree.map(np.zeros_like, variables["params"]["value"])
    np.testing.assert_allclose(fuse("gated")(variables, parts)[0], parts[0], atol=1e-6)


def test_cross_attention_weights_are_shares():
    _, variables, parts = make("cross_attention")
    _, weights = fuse("cross_attention")(variables, parts)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_late_is_the_mean_of_both_logits():
    config = base("x", "bundled")
    config.model.update(name="fusion", fusion="late", audio="mlp", width=D, hidden=(8,))
    model = classifiers.make(config.model)
    batch = {"image": normal(3, B, 28, 28, 1), "audio": normal(4, B, 39, 13)}
    variables = parity.variables(model, batch, False)
    outputs = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, batch)
    outputs, head_of = jax.device_get(outputs), jax.jit(classifiers.Head((8,)).apply)
    assert "weights" not in outputs
    logits = [
        np.asarray(head_of({"params": variables["params"][head]}, outputs[modality]))
        for head, modality in [("Head_0", "image"), ("Head_1", "audio")]
    ]
    np.testing.assert_allclose(outputs["logits"], (logits[0] + logits[1]) / 2, atol=1e-6)
