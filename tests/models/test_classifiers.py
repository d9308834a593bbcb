import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdigits.config import base
from fdigits.errors import UserError
from fdigits.models import classifiers

BATCH = {
    "image": jnp.zeros((2, 28, 28, 1)),
    "audio": jnp.zeros((2, 39, 13)),
    "spectrogram": jnp.zeros((2, 128, 128, 3)),
}

# By hand: a 3 x 3 convolution has 9·in·out + out, BatchNorm 2·n, a dense layer in·out + out,
# an LSTM layer 4·(in + units + 1)·units (one bias; torch keeps two, 4·units more).
CONV = (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 64 + 64) + 2 * 64
IMAGE = CONV + (3136 * 128 + 128)
AUDIO = CONV + (1728 * 128 + 128)
LSTM = 4 * (13 + 64 + 1) * 64 + 4 * (64 + 64 + 1) * 64
JOINT = (256 * 128 + 128) + 2 * 128 + (128 * 10 + 10)

# R1: encoders to 256 and dense layers 128, 64 and 10, all from 256.
R1_IMAGE = CONV + (3136 * 256 + 256)
R1_AUDIO = (507 * 256 + 256) + (256 * 256 + 256)
R1_HEAD = (256 * 128 + 128) + (128 * 64 + 64) + (64 * 10 + 10)
R1_WIDE = (512 * 128 + 128) + (128 * 64 + 64) + (64 * 10 + 10)  # of both side by side

# R3: 507 places, pooled by 4 to 126 and to 31.
CONV1D = (13 * 1 * 32 + 32) + (5 * 32 * 64 + 64) + (31 * 64 * 128 + 128)

# R4 part A: without padding 28 -> 26 -> 13 -> 11 -> 5. The report says approximately 200,000, and
# for the attention approximately 1,000 (spatial), 50,000 (self), 2,000 (CBAM) and 500 (SE).
PLAIN = (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (1600 * 128 + 128) + 1290
SQUEEZE_32 = (32 * 4 + 4) + (4 * 32 + 32)
POOLED = 49 * 2 * 1 + 1
SELF = 3 * (64 * 256 + 256) + (256 * 64 + 64) + 2 * 64  # queries, keys, values; out; LayerNorm

# R4 part B: 128 -> 124 -> 62 -> 58 -> 29, squeezed to one unit and to two. The report says about
# 1.62 million for the first and 1,629,144 for the hybrid, which does not follow from its
# description: that gives 1,628,959 with the statistics of BatchNorm, 44 of them.
DENSE = (29 * 29 * 16 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
LENET = (25 * 3 * 6 + 6) + (25 * 6 * 16 + 16) + DENSE
NORM = 2 * 6 + 2 * 16
SQUEEZE_LENET = (6 * 1 + 1) + (1 * 6 + 6) + (16 * 2 + 2) + (2 * 16 + 16)


@pytest.mark.parametrize(
    ("name", "audio", "width", "count"),
    [
        ("image", "cnn", 128, IMAGE + 1290),
        ("audio", "cnn", 128, AUDIO + 1290),
        ("audio", "lstm", 64, LSTM + (64 * 64 + 64) + (64 * 10 + 10)),
        ("hybrid", "cnn", 128, IMAGE + AUDIO + JOINT),
        ("hybrid", "lstm", 128, IMAGE + LSTM + (64 * 128 + 128) + JOINT),
    ],
)
def test_parameters_are_counted_by_hand(name, audio, width, count):
    config = base("x", "bundled")
    config.model.update(name=name, audio=audio, width=width)
    model = classifiers.make(config.model)
    variables = model.init(jax.random.key(0), BATCH, train=False)
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == count
    outputs = model.apply(variables, BATCH, train=False)
    assert outputs["logits"].shape == (2, 10)
    for modality in classifiers.modalities(config.model):
        assert outputs[modality].shape == (2, width)


def shapes(**model):
    config = base("x", "bundled")
    config.model.update(**model)
    module = classifiers.make(config.model)
    return jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), BATCH)


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("weighted", 2 * (256 * 1 + 1) + R1_HEAD),
        ("add", R1_HEAD),
        ("concat", R1_WIDE),
        ("gated", 2 * (256 * 256 + 256) + R1_HEAD),
        ("low_rank", 2 * (256 * 1024 + 1024) + (4 * 1 + 1) + R1_HEAD),
        ("cross_attention", 4 * (256 * 256 + 256) + 2 * 256 + R1_WIDE),
        ("late", 2 * R1_HEAD),
    ],
)
def test_r1s_parameters_are_counted_by_hand(fusion, expected):
    model = dict(name="fusion", audio="mlp", fusion=fusion, width=256, hidden=(128, 64))
    assert count(shapes(**model)["params"]) == R1_IMAGE + R1_AUDIO + expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (dict(name="image", width=256, hidden=(128, 64)), R1_IMAGE + R1_HEAD),
        (dict(name="audio", audio="mlp", width=256, hidden=(128, 64)), R1_AUDIO + R1_HEAD),
        (dict(name="audio", audio="conv1d"), CONV1D + 1290),
        (
            dict(name="fusion", audio="conv1d", fusion="concat", hidden=(128,)),
            IMAGE + CONV1D + (256 * 128 + 128) + 1290,
        ),
    ],
)
def test_r1s_and_r3s_parts_are_counted_by_hand(model, expected):
    assert count(shapes(**model)["params"]) == expected


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        ("none", 225_034),
        ("spatial", PLAIN + 32 * 1 + 1),
        ("self", PLAIN + SELF),
        ("cbam", PLAIN + SQUEEZE_32 + POOLED),
        ("se", PLAIN + SQUEEZE_32),
    ],
)
def test_r4s_picture_models_are_counted_by_hand(attention, expected):
    model = dict(name="image", image="plain", attention=attention)
    assert count(shapes(**model)["params"]) == expected
    assert (PLAIN, SELF, SQUEEZE_32 + POOLED, SQUEEZE_32) == (225_034, 66_496, 391, 292)


@pytest.mark.parametrize(
    ("attention", "expected", "statistics"),
    [
        ("none", 1_628_726, 0),
        ("cbam", LENET + NORM + SQUEEZE_LENET + 2 * POOLED, 44),
        ("hybrid", LENET + NORM + SQUEEZE_LENET + NORM, 44),  # LayerNorm has as many as BatchNorm
    ],
)
def test_r4s_spectrogram_models_are_counted_by_hand(attention, expected, statistics):
    variables = shapes(name="spectrogram", attention=attention)
    assert count(variables["params"]) == expected
    assert count(variables.get("batch_stats", {})) == statistics
    assert LENET == 1_628_726 and LENET + 2 * NORM + SQUEEZE_LENET + 44 == 1_628_959


def apply(batch, train=False, **model):
    """Outputs and what else the model leaves, of random values."""
    config = base("x", "bundled")
    config.model.update(**model)
    module = classifiers.make(config.model)
    batch = {k: jax.random.normal(jax.random.key(1), v.shape) for k, v in batch.items()}
    variables = jax.jit(lambda: module.init(jax.random.key(0), batch, train=False))()
    variables = {k: v for k, v in variables.items() if k in ("params", "batch_stats")}
    mutable = ["losses", "batch_stats"]
    return variables, *module.apply(
        variables, batch, train, rngs={"dropout": jax.random.key(2)}, mutable=mutable
    )


@pytest.mark.parametrize(
    ("model", "widths"),
    [
        (dict(name="fusion", audio="mlp", fusion="weighted"), dict(image=128, audio=128)),
        (dict(name="fusion", audio="conv1d", width=32), dict(image=32, audio=32)),
        (dict(name="fusion", fusion="late", audio="mlp"), dict(image=128, audio=128)),
        (dict(name="image", image="plain", attention="self"), dict(image=128)),
        (dict(name="spectrogram", attention="hybrid"), dict(spectrogram=84)),
    ],
)
def test_outputs_have_their_shapes(model, widths):
    _, outputs, _ = apply(BATCH, **model)
    expected = {modality: (2, width) for modality, width in widths.items()}
    expected |= {"logits": (2, 10)} | ({"weights": (2, 2)} if "weighted" in model.values() else {})
    assert {name: array.shape for name, array in outputs.items()} == expected
    assert all(jnp.isfinite(array).all() for array in outputs.values())


@pytest.mark.parametrize("attention", ["none", "cbam", "hybrid"])
def test_only_the_hybrids_dense_kernels_are_penalised(attention):
    variables, _, left = apply(BATCH, train=True, name="spectrogram", attention=attention)
    dense = [variables["params"]["encoder"][f"Dense_{n}"]["kernel"] for n in range(2)]
    squares = 1e-3 * sum(float(jnp.square(kernel).sum()) for kernel in dense)
    sown = sum(map(float, jax.tree.leaves(left.get("losses", {}))))
    np.testing.assert_allclose(sown, squares if attention == "hybrid" else 0, rtol=1e-5)


def test_an_unknown_attention_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'cbam'"):
        shapes(name="spectrogram", attention="cbm")


def test_a_third_block_and_other_filters_are_a_config():
    config = base("x", "bundled")
    config.model.update(name="image", filters=(32, 64, 128))
    model = classifiers.make(config.model)
    variables = model.init(jax.random.key(0), BATCH, train=False)
    kernels = [k for k in variables["params"]["encoder"] if k.startswith("Conv")]
    assert len(kernels) == 3
    assert variables["params"]["encoder"]["Dense_0"]["kernel"].shape == (3 * 3 * 128, 128)


def test_dropout_acts_in_training_only():
    config = base("x", "bundled")
    model = classifiers.make(config.model)
    batch = {k: jax.random.normal(jax.random.key(1), v.shape) for k, v in BATCH.items()}
    variables = model.init(jax.random.key(0), batch, train=False)

    def logits(key):
        rngs = {"dropout": jax.random.key(key)}
        return model.apply(variables, batch, train=True, rngs=rngs, mutable=True)[0]["logits"]

    assert jnp.array_equal(logits(1), logits(1)) and not jnp.array_equal(logits(1), logits(2))
