import jax
import numpy as np
import pytest

from fdigits.data import pipeline
from fdigits.data.pairing import splits
from fdigits.errors import UserError
from fdigits.train import gather


@pytest.fixture
def parts(corpora):
    return splits(corpora, paired=False, policy="report", seed=0)


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
    rows = pipeline.evaluation_rows(test, batch_size)
    feeder = pipeline.make_feeder("host", {"image": corpora["image"].x})
    chunks = list(feeder(rows, batch_size, 2))
    mask = np.concatenate([c["mask"].ravel() for c in chunks]) > 0
    image = np.concatenate([c["image"].reshape(-1, 28, 28) for c in chunks])[mask]
    np.testing.assert_array_equal(image, corpora["image"].x[test.examples()["image"]])


def test_an_unknown_feeder_is_told():
    with pytest.raises(UserError, match="did you mean 'device'"):
        pipeline.make_feeder("devise", {})
