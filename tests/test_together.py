"""Seeds trained at once end as each alone, but for the order in which float32 adds up."""

import contextlib

import jax
import numpy as np
import pytest

from fdigits import devices, run, together, train
from fdigits.checkpoint import Checkpoints, weights
from fdigits.config import base
from fdigits.data.pairing import splits
from fdigits.errors import Diverged, UserError
from tests.test_train import Loop, staged

TOLERANCE = 1e-4  # of losses and weights after three epochs


def loops(corpora, seeds=(0, 1), **fields) -> list[Loop]:
    """A training each: another order, split, start and key."""
    found = []
    for seed in seeds:
        # Adam makes whole steps of the rounding in gradients that BatchNorm cancels.
        sgd = dict(name="sgd", learning_rate=0.03, momentum=0.9)
        loop = Loop(corpora, **dict(epochs=3, seed=seed, optimizer=sgd) | fields)
        images = {"image": corpora["image"]}
        loop.splits = splits(images, paired=False, policy="random", seed=seed)
        found.append(loop)
    return found


def assert_close(ours: train.Training, theirs: train.Training) -> None:
    assert len(ours.progress.history) == len(theirs.progress.history)
    for row, other in zip(ours.progress.history, theirs.progress.history, strict=True):
        for part in ("train", "validation"):
            assert row[part] == pytest.approx(other[part], rel=TOLERANCE, abs=TOLERANCE)
        assert row["learning_rate"] == pytest.approx(other["learning_rate"])
    state, other = ((one.state.params, one.state.batch_stats) for one in (ours, theirs))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=TOLERANCE, atol=TOLERANCE), state, other
    )
    assert ours.state.step == theirs.state.step
    keys = [jax.random.key_data(one.state.key) for one in (ours, theirs)]
    np.testing.assert_array_equal(*keys)


def alone(loop: Loop, **what) -> train.Training:
    training = loop.training(**what)
    train.fit(training)
    return training


def test_seeds_at_once_are_those_alone(corpora, tmp_path):
    """One has an epoch behind it, and each has arrays of its own, as standardised ones are."""
    each, again = loops(corpora), loops(corpora)
    each[0].config.epochs = 1
    each[0].fit()
    each[0].config.epochs = 3
    each[1].arrays = again[1].arrays = {"image": 255 - corpora["image"].x}
    theirs = [alone(loop) for loop in again]
    with contextlib.ExitStack() as stack:
        saved = [stack.enter_context(Checkpoints(tmp_path / str(seed))) for seed in (0, 1)]
        ours = [loop.training(save=one.save) for loop, one in zip(each, saved, strict=True)]
        together.fit(ours, devices.one())
    for one, other, seed in zip(ours, theirs, (0, 1), strict=True):
        assert_close(one, other)
        params, _ = weights(tmp_path / str(seed), 3)
        jax.tree.map(np.testing.assert_array_equal, params, one.state.params)
    a, b = (one.progress.history[0]["train"]["loss"] for one in ours)
    assert abs(a - b) > 100 * TOLERANCE  # seeds do differ


def test_one_that_ends_before_its_time_leaves_the_others_alone(corpora):
    """Seed 0 stops early, seed 1's validation is lost, seed 3's first step is, seed 2 goes on."""
    each = loops(corpora, seeds=(0, 1, 2, 3), early_stopping=1)
    each[3].state = each[3].state.replace(
        params=jax.tree.map(lambda x: x * np.nan, each[3].state.params)
    )
    losing = iter([(0.3, 0.5), (np.nan, 0.6)])
    summaries = [
        staged([0.9, 0.1]),
        lambda *_: dict(zip(("loss", "accuracy"), next(losing), strict=True)),
        staged([0.1, 0.2, 0.3]),
        staged([]),
    ]
    saved, trainings = [], []
    for seed, (loop, summary) in enumerate(zip(each, summaries, strict=True)):
        loop.stage(summary)
        trainings.append(
            loop.training(save=lambda _, progress, seed=seed: saved.append((seed, progress.epoch)))
        )
    together.fit(trainings, devices.one())
    assert sorted(saved) == [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2), (2, 3)]
    assert "(epoch 2)" in str(trainings[1].error)
    assert "at step 1 (epoch 1)" in str(trainings[3].error)
    assert trainings[0].error is None and trainings[2].error is None
    third = loops(corpora, seeds=(2,), early_stopping=1)[0]
    third.stage(staged([0.1, 0.2, 0.3]))
    assert_close(trainings[2], alone(third))


def test_trainings_of_other_sizes_are_not_trained_at_once(corpora):
    one, other = loops(corpora)
    assert together.alike([one.training(), other.training()])
    other.config.batch_size = 16
    assert not together.alike([one.training(), other.training()])
    other.config.batch_size, other.arrays = 8, {"image": other.arrays["image"][:-1]}
    assert not together.alike([one.training(), other.training()])


@pytest.mark.slow
def test_seeds_at_once_are_ordinary_runs(tmp_path, monkeypatch, capsys):
    """As on an accelerator; the judge is an earlier stage."""
    from tests.test_project import config_of

    config = config_of("configs/sound_to_image.py")
    config.update(dict(epochs=2, batch_size=20, chunk=5))
    config.data.limit, config.stages.judge.epochs = 100, 2
    own = config.copy_and_resolve_references()
    own.seed = 1
    one = run.run(own, tmp_path / "alone", page=False)
    monkeypatch.setattr(run, "at_once", lambda: True)
    results = run.run_seeds(config, tmp_path / "seeds", (0, 1), page=False)
    assert "one after another" not in capsys.readouterr().out
    assert [result["seed"] for result in results] == [0, 1]
    for name, figure in one["metrics"]["test"].items():
        if isinstance(figure, float):
            assert results[1]["metrics"]["test"][name] == pytest.approx(figure, rel=0.01, abs=0.01)
    here, there = (
        {str(file.relative_to(at)) for file in at.rglob("*.*") if "checkpoints" not in file.parts}
        for at in (tmp_path / "alone", tmp_path / "seeds/seed_1")
    )
    assert {x for x in here if "events" not in x} == {x for x in there if "events" not in x}
    again = run.run_seeds(config, tmp_path / "seeds", (0, 1), page=False)
    assert again == results
    assert capsys.readouterr().out.count("is finished") == 4  # two seeds, a stage each


def test_a_seed_whose_loss_is_lost_leaves_those_after_it(tmp_path, monkeypatch):
    done = []

    def one(config, workdir, page):
        done.append(workdir.name)
        if config.seed == 1:
            raise Diverged("the loss is nan")

    monkeypatch.setattr(run, "run", one)
    with pytest.raises(UserError, match="seed_1: the loss is nan"):
        run.run_seeds(base("small", "bundled"), tmp_path, (0, 1, 2))
    assert done == ["seed_0", "seed_1", "seed_2"]
