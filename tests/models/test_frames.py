import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from fdigits.config import CLASSIFIER
from fdigits.errors import UserError
from fdigits.models import classifiers, frames
from tests.models import parity

KEY = jax.random.key(0)
LENGTHS = (1, 2, 3, 7)


def batch(longest=9, lengths=LENGTHS, padding=0.0):
    """Utterances of these lengths, the same whatever stands in their padding."""
    x = np.random.default_rng(0).normal(size=(len(lengths), 20, 14)).astype(np.float32)
    x = x[:, :longest]
    mask = np.arange(longest) < np.array(lengths)[:, None]
    x[..., -1] = mask
    x[~mask, :-1] = padding
    return {"frames": x}


def variables(model, given=None):
    """With biases, so that a forgotten one shows."""
    return parity.variables(model, given or batch(), False)


@functools.partial(jax.jit, static_argnums=0)
def apply(model, variables, given):
    return model.apply(variables, given, train=False)


def classifier(name, **fields):
    return classifiers.make(ConfigDict(CLASSIFIER | {"name": name, **fields}))


MLP = dict(hidden=(256, 128, 64, 32), dropout=0.3)
DEEP = dict(hidden=(512, 256, 128, 64), dropout=0.2, norm=True)
CODE = {"code": jnp.ones((4, 32))}
DENSE = 256 * 128 + 128 + 128 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10
DEEPER = 512 * 256 + 256 + 256 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        (classifier("frames", **MLP), batch(), 13 * 256 + 256 + DENSE),
        (classifier("code", **MLP), {"code": jnp.ones((4, 300))}, 300 * 256 + 256 + DENSE),
        (classifier("code", **DEEP), CODE, 32 * 512 + 512 + DEEPER + 2 * (512 + 256 + 128 + 64)),
        (
            frames.WholeAutoencoder(50),
            batch(),
            (117 * 256 + 256) + (256 * 50 + 50) + (50 * 256 + 256) + (256 * 117 + 117),
        ),
        (
            frames.PairAutoencoder(32),
            batch(),
            (26 * 128 + 128) + (128 * 32 + 32) + (32 * 128 + 128) + (128 * 26 + 26),
        ),
        (
            frames.UtteranceMerger(32),
            batch(),
            (26 * 128 + 128) + (128 * 32 + 32) + (45 * 64 + 64) + (64 * 32 + 32),
        ),
    ],
    ids=["baseline", "of a code", "deep", "whole", "pair", "merger"],
)
def test_parameters_are_as_many_as_counted_by_hand(model, given, expected):
    shapes = jax.eval_shape(lambda x: model.init(KEY, x, train=False), given)
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == expected


def test_pairs_are_neighbours_and_a_lone_frame_is_doubled():
    x, mask = frames.sound(batch()["frames"])
    made, real = map(np.asarray, frames.pairs(x, mask))
    assert made.shape == (4, 9, 26)
    np.testing.assert_array_equal(real.sum(1), [1, 1, 2, 6])
    np.testing.assert_array_equal(made[0, 0], np.tile(x[0, 0], 2))
    for t in range(6):
        assert real[3, t]
        np.testing.assert_array_equal(made[3, t], np.concatenate([x[3, t], x[3, t + 1]]))


def test_the_mean_is_of_the_places_named():
    x = np.random.default_rng(0).normal(size=(3, 5, 2))
    mask = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    x[~mask] = np.nan
    made = frames.mean_where(jnp.asarray(x), jnp.asarray(mask))
    np.testing.assert_allclose(made, [(x[0, 0] + x[0, 2]) / 2, x[1, 1], [0, 0]], rtol=1e-6)


def test_all_real_places_are_drawn_alike_and_no_others():
    mask = np.arange(9) < np.array(LENGTHS)[:, None]
    place = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None], (4, 9, 1))
    (drawn,), real = jax.jit(lambda m, x: frames.draw(KEY, m, [x], 7000))(mask, place)
    drawn = np.asarray(drawn)
    assert real.all()
    for row, length in enumerate(LENGTHS):
        counts = np.bincount(drawn[row, :, 0].astype(int), minlength=9)
        np.testing.assert_allclose(counts[:length] / 7000, 1 / length, atol=0.02)
        assert not counts[length:].any()


MODELS = {
    "frames": classifier("frames", hidden=(8,), dropout=0.3),
    "pair": frames.PairAutoencoder(5),
    "last": frames.UtteranceMerger(5),
    "mean": frames.UtteranceMerger(5, "mean"),
}


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(name):
    """Neither its length nor what stands in it, not even NaN."""
    model, given = MODELS[name], batch()
    held = variables(model)
    expected = apply(model, held, given)
    for other in (batch(padding=9.0), batch(padding=np.nan), batch(longest=17)):
        made = apply(model, held, other)
        assert made.keys() == expected.keys()
        for output, x in expected.items():
            found = made[output][:, : x.shape[1]] if output == "reconstruction" else made[output]
            np.testing.assert_allclose(found, x, rtol=2e-5, atol=1e-6, err_msg=output)


def test_what_stands_in_the_padding_changes_nothing_of_a_whole_utterance():
    model = frames.WholeAutoencoder(5)
    held = variables(model)
    expected, made = (apply(model, held, batch(padding=p)) for p in (0.0, np.nan))
    jax.tree.map(np.testing.assert_array_equal, expected, made)


def dense(params, x, name):
    return x @ params[name]["kernel"] + params[name]["bias"]


def two(params, x):
    hidden = dense(params, x, "Dense_0")
    return dense(params, hidden * (hidden > 0), "Dense_1")


def plain(params, given, pool):
    """The merger's code by a Python loop over the real frames of each utterance."""
    codes = []
    for utterance, length in zip(given["frames"], LENGTHS, strict=True):
        x = utterance[:length, :-1]
        latents = [two(params["encoder"], jnp.concatenate([x[0], x[min(1, length - 1)]]))]
        for frame in x[2:]:
            latents.append(two(params["merger"], jnp.concatenate([latents[-1], frame])))
        codes.append(latents[-1] if pool == "last" else sum(latents) / len(latents))
    return jnp.stack(codes)


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_the_chain_and_its_gradient_are_those_of_a_loop(pool):
    model, given = frames.UtteranceMerger(5, pool), batch()
    params = variables(model)["params"]
    towards = np.random.default_rng(2).normal(size=(4, 5))

    def scanned(params):
        return (towards * model.apply({"params": params}, given, train=False)["code"]).sum()

    def looped(params):
        return (towards * plain(params, given, pool)).sum()

    (expected, theirs), (found, ours) = jax.jit(
        lambda params: [jax.value_and_grad(f)(params) for f in (looped, scanned)]
    )(params)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    theirs = flatten_dict(theirs)
    for path, gradient in flatten_dict(ours).items():
        np.testing.assert_allclose(gradient, theirs[path], rtol=1e-4, atol=1e-5)
        assert np.abs(gradient).max() > 0


def test_a_mergers_error_is_of_the_true_codes():
    """From the true code of a pair and the next frame, the true code of the next pair."""
    model, given = frames.UtteranceMerger(5), batch()
    held = variables(model)
    params, x = held["params"], np.asarray(given["frames"][3, :7, :-1])
    code = two(params["encoder"], np.concatenate([x[:-1], x[1:]], -1))  # of the 6 pairs
    made = two(params["merger"], np.concatenate([code[:-1], x[2:]], -1))
    error = apply(model, held, given)["error"]
    np.testing.assert_allclose(error[3], np.square(made - code[1:]).mean(), rtol=1e-5)
    np.testing.assert_array_equal(error[:2], 0)  # two frames leave nothing to predict


def test_reconstructions_and_errors_are_of_the_input():
    given = batch()
    x = np.asarray(frames.sound(given["frames"])[0])
    whole = apply(model := frames.WholeAutoencoder(5), variables(model), given)
    expected = np.square(whole["reconstruction"] - x).mean((1, 2))
    np.testing.assert_allclose(whole["error"], expected, rtol=1e-5)
    pair = apply(model := frames.PairAutoencoder(5), held := variables(model), given)
    made = two(held["params"]["decoder"], two(held["params"]["encoder"], np.tile(x[0, 0], 2)))
    np.testing.assert_allclose(pair["reconstruction"][0, 0], made[:13], rtol=1e-4, atol=1e-5)
    error = np.square(made - np.tile(x[0, 0], 2)).mean()
    np.testing.assert_allclose(pair["error"][0], error, rtol=1e-5)


def test_the_penalty_is_of_all_kernels_but_the_outputs():
    model, given = frames.WholeAutoencoder(5), batch()
    held = variables(model)
    _, sown = jax.jit(lambda v: model.apply(v, given, train=True, mutable=["losses"]))(held)
    layers = flatten_dict(held["params"], is_leaf=lambda _, x: "kernel" in x)
    kernels = [x["kernel"] for path, x in layers.items() if path != ("decoder", "Dense_1")]
    assert len(kernels) == 3
    expected = 1e-3 * sum(float(np.square(k).sum()) for k in kernels)
    assert float(sum(jax.tree.leaves(sown["losses"]))) == pytest.approx(expected, rel=1e-5)


def test_a_bottleneck_wider_than_the_recording_is_told():
    with pytest.raises(UserError, match=r"model.bottleneck is 118, .* 117 numbers"):
        jax.eval_shape(lambda: frames.WholeAutoencoder(118).init(KEY, batch(), train=False))


def test_dropout_and_batchnorm_follow_each_layer():
    """With all dropped but the norm's offset, each layer makes its offset, or 0."""
    dense_encoder = frames.DenseEncoder((6, 4), 0.5, norm=True)
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    held = jax.jit(lambda x: dense_encoder.init(KEY, x, train=False))(x)
    assert held["params"].keys() == {"Dense_0", "Dense_1", "BatchNorm_0", "BatchNorm_1"}
    rngs, mutable = {"dropout": KEY}, ["batch_stats"]
    made = jax.jit(lambda v, x: dense_encoder.apply(v, x, True, rngs=rngs, mutable=mutable)[0])
    made = np.asarray(made(held, x))
    assert 0.35 < float((made == 0).mean()) < 0.65
    kept = np.where(made == 0, np.nan, made) / 2  # of the values dropout keeps, by 1 / (1 - .5)
    assert np.nanmin(kept) < -0.1  # normalised after the ReLU, so not all above 0
