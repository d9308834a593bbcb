import jax
import jax.numpy as jnp
import pytest

from fdigits.config import base
from fdigits.models import classifiers

BATCH = {"image": jnp.zeros((2, 28, 28, 1)), "audio": jnp.zeros((2, 39, 13))}

# By hand: a 3 x 3 convolution has 9·in·out + out, BatchNorm 2·n, a dense layer in·out + out,
# an LSTM layer 4·(in + units + 1)·units (one bias; torch keeps two, 4·units more).
CONV = (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 64 + 64) + 2 * 64
IMAGE = CONV + (3136 * 128 + 128)
AUDIO = CONV + (1728 * 128 + 128)
LSTM = 4 * (13 + 64 + 1) * 64 + 4 * (64 + 64 + 1) * 64
JOINT = (256 * 128 + 128) + 2 * 128 + (128 * 10 + 10)


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
