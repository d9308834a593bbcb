import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdigits.data import features, pipeline
from fdigits.data.corpus import Corpus
from fdigits.data.pairing import Split, splits
from fdigits.errors import UserError
from fdigits.train import gather


@pytest.fixture
def parts(corpora):
    return splits(corpora, paired=False, policy="paper", seed=0)


def batches(feeder, rows, batch_size=8, chunk=4):
    for group in feeder(rows, batch_size, chunk):
        yield jax.device_get(gather(group, feeder.resident))


def test_both_feeders_give_the_same_batches(parts, corpora):
    arrays = {m: corpus.x for m, corpus in corpora.items()}
    rows = pipeline.training_rows(parts["train"], seed=0, epoch=3)
    host = list(batches(pipeline.make_feeder("host", arrays), rows))
    device = list(batches(pipeline.make_feeder("device", arrays), rows))
    assert [len(chunk["label"]) for chunk in host] == [4, 4, 4, 4, 1]
    jax.tree.map(np.testing.assert_array_equal, host, device)
    assert host[0]["image"].shape == (4, 8, 28, 28) and host[0]["audio"].shape == (4, 8, 39, 13)


def test_a_feeder_gives_only_the_modalities_it_holds(parts, corpora):
    feeder = pipeline.make_feeder("host", {"audio": corpora["audio"].x})
    rows = pipeline.training_rows(parts["train"], 0, 1)
    assert set(next(feeder(rows, 8, 2))) == {"audio", "label"}


def test_the_order_follows_from_seed_and_epoch_alone(parts):
    train = parts["train"]
    one = pipeline.training_rows(train, seed=0, epoch=1)
    jax.tree.map(np.testing.assert_array_equal, one, pipeline.training_rows(train, 0, 1))
    for other in (pipeline.training_rows(train, 0, 2), pipeline.training_rows(train, 1, 1)):
        assert (one["image"] != other["image"]).any()
    assert sorted(one["image"]) == sorted(train.rows["image"])


@pytest.mark.parametrize("batch_size", [7, 10, 64])
def test_evaluation_drops_no_item_and_counts_none_twice(parts, corpora, batch_size):
    test = parts["test"]
    rows = pipeline.padded(test.examples(), batch_size)
    feeder = pipeline.make_feeder("host", {"image": corpora["image"].x})
    chunks = list(feeder(rows, batch_size, 2))
    mask = np.concatenate([np.ravel(c["mask"]) for c in chunks]) > 0
    image = np.concatenate([np.reshape(c["image"], (-1, 28, 28)) for c in chunks])[mask]
    np.testing.assert_array_equal(image, corpora["image"].x[test.examples()["image"]])


@given(st.integers(0, 99), st.integers(1, 5))
def test_frames_are_standardised_over_sound_of_the_training_part(seed, longest):
    rng = np.random.default_rng(seed)
    items = [3 + 5 * rng.normal(size=(rng.integers(1, longest + 1), 13)) for _ in range(40)]
    for item in items:
        item[:, 4] = 7  # never changes
    frames = features.padded(items)
    label = np.resize(np.arange(10, dtype=np.int32), 40)
    ids = np.array([f"w{i}" for i in range(40)])
    corpus = Corpus("words", frames, label, ids, np.full(40, ""), np.full(40, "train"))
    train = splits({"frames": corpus}, paired=False, policy="paper", seed=seed)["train"]
    sound = np.concatenate([items[i] for i in train.rows["frames"]]).astype(np.float32)
    stats = pipeline.statistics(train)
    np.testing.assert_allclose(stats["mean"], sound.mean(0), rtol=1e-4)
    expected = np.where(np.arange(13) == 4, 1, sound.std(0))
    np.testing.assert_allclose(stats["std"], np.where(expected > 0, expected, 1), rtol=1e-3)
    found = pipeline.standardise(frames, stats)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., -1], frames[..., -1])
    assert not found[frames[..., -1] == 0].any()
    expected = (items[0] - stats["mean"]) / stats["std"]
    np.testing.assert_allclose(found[0, : len(items[0]), :-1], expected, atol=1e-4)


def test_mfcc_are_standardised_as_ever(parts, corpora):
    x = corpora["audio"].x
    train = x[parts["train"].rows["audio"]].astype(np.float64)
    stats = pipeline.statistics(parts["train"])
    assert stats == {"mean": train.mean((0, 1)).tolist(), "std": train.std((0, 1)).tolist()}
    expected = ((x - train.mean((0, 1))) / train.std((0, 1))).astype(np.float32)
    np.testing.assert_array_equal(pipeline.standardise(x, stats), expected)


def test_means_are_standardised_over_the_training_part(corpora):
    audio = corpora["audio"]
    corpus = dataclasses.replace(audio, x=np.resize(audio.x, (len(audio), 40)))
    train = splits({"mean_mfcc": corpus}, paired=False, policy="paper", seed=0)["train"]
    stats = pipeline.statistics(train)
    found = pipeline.standardise(corpus.x, stats)[train.rows["mean_mfcc"]]
    assert found.dtype == np.float32 and len(stats["mean"]) == 40
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-4)


def test_small_arrays_are_fed_without_tensorflow():
    small = {"image": np.zeros((4, 28, 28, 1), np.uint8)}
    large = {"image": np.zeros((pipeline.LIGHT // 784 + 1, 28, 28, 1), np.uint8)}
    assert isinstance(pipeline.make_feeder("auto", small), pipeline.DeviceFeeder)
    assert isinstance(pipeline.make_feeder("auto", large), pipeline.HostFeeder)


def test_an_unknown_feeder_is_told():
    with pytest.raises(UserError, match="did you mean 'device'"):
        pipeline.make_feeder("devise", {})


def test_balance_draws_digits_alike_and_small_sets_more_often():
    """a has 400 items of digit 0 and 100 of 1, b has 100 of 0 alone: 2/3 and 1/3 of digit 0."""
    label = np.repeat([0, 1, 0], [400, 100, 100]).astype(np.int32)
    name = np.repeat(["a/x", "b/y"], [500, 100])
    ids = np.char.add(name, np.arange(600).astype(str))
    blank = np.full(600, "")
    corpus = Corpus("a+b", np.zeros((600, 39, 13), np.float32), label, ids, blank, blank)
    split = Split("train", {"audio": corpus}, {"audio": np.arange(600)}, False, seed=0)
    rows = pipeline.training_rows(split, 0, 1, balance=True)
    assert len(rows["label"]) == 600
    jax.tree.map(np.testing.assert_array_equal, rows, pipeline.training_rows(split, 0, 1, True))
    np.testing.assert_array_equal(label[rows["audio"]], rows["label"])
    drawn = np.concatenate([pipeline.training_rows(split, 0, e, True)["audio"] for e in range(20)])
    assert (
        abs((label[drawn] == 1).mean() - 1 / 2) < 0.02 and abs((drawn >= 500).mean() - 1 / 6) < 0.02
    )
    chance = pipeline.chances(split, split.examples())
    assert np.isclose(chance[label == 0].sum(), 0.5)
    assert np.isclose(chance[:400].sum(), 2 * chance[500:].sum())
