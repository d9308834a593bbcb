import contextlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fdigits import train
from fdigits.checkpoint import Checkpoints, kept, weights
from fdigits.config import base
from fdigits.data import pipeline
from fdigits.data.pairing import splits
from fdigits.errors import UserError
from fdigits.tasks.classify import Classify


class Small(nn.Module):
    """Dense, BatchNorm, dropout: all the state a loop has to carry, and quick to compile."""

    @nn.compact
    def __call__(self, batch, train):
        x = nn.Dense(16)(batch["image"].reshape(len(batch["image"]), -1))
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.Dropout(0.2, deterministic=not train)(x)
        return {"image": x, "logits": nn.Dense(10)(x)}


class Loop:
    """A small run over the fixture's pictures."""

    def __init__(self, corpora, **fields):
        self.config = base("small", "bundled")
        self.config.model.name = "image"
        self.config.update(dict(epochs=6, batch_size=8, chunk=4) | fields)
        images = {"image": corpora["image"]}
        self.splits = splits(images, paired=False, policy="paper", seed=0)
        self.config.data.feeder = "device"
        self.arrays = {"image": corpora["image"].x}
        self.task = Classify(Small(), self.config)
        batch = {"image": corpora["image"].x[:2]}
        self.state = train.create_state(self.task, self.config, batch, self.steps_per_epoch)
        self.progress = train.Progress()

    @property
    def steps_per_epoch(self):
        return len(self.splits["train"]) // self.config.batch_size

    def fit(self, summary=None, **callbacks):
        if summary:
            self.stage(summary)
        training = self.training(**callbacks)
        train.fit(training)
        self.state = training.state
        return self.progress

    def stage(self, summary):
        """Validation figures as given."""
        kind = type("Staged", (Classify,), {"summary": lambda task, *found: summary(*found)})
        self.task = kind(self.task.model, self.config)

    def training(self, **callbacks):
        what = self.config, self.task, self.splits, self.arrays
        return train.Training(*what, self.state, self.progress, **callbacks)


def assert_same(a, b):
    def key_data(x):
        return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    jax.tree.map(lambda x, y: np.testing.assert_array_equal(key_data(x), key_data(y)), a, b)


def test_training_lowers_the_loss_and_learns(corpora):
    history = Loop(corpora, epochs=12).fit().history
    assert history[-1]["train"]["loss"] < 0.5 * history[0]["train"]["loss"]
    assert history[-1]["validation"]["accuracy"] > 0.9
    assert [row["step"] for row in history] == list(range(17, 12 * 17 + 1, 17))


def test_chunks_of_any_length_are_the_same_steps(corpora):
    one, four = Loop(corpora, chunk=1, epochs=2), Loop(corpora, chunk=4, epochs=2)
    one.fit()
    four.fit()
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        one.state.params,
        four.state.params,
    )


def test_a_step_is_the_gradient_step_written_out(corpora):
    loop = Loop(
        corpora, optimizer=dict(name="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    )
    batch = {"image": corpora["image"].x[:8], "label": corpora["image"].label[:8]}
    state = loop.state
    state = state.replace(plateau=state.plateau._replace(scale=jnp.float32(0.5)))
    moved, _ = jax.jit(train.make_train_step(loop.task, loop.config, 17))(state, batch)

    def loss(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        x = {"image": (batch["image"][..., None] / 255 - 0.5) / 0.5}
        rngs = {"dropout": jax.random.fold_in(state.key, 0)}
        outputs, _ = Small().apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])
        p = jax.nn.log_softmax(outputs["logits"])
        return -p[jnp.arange(8), batch["label"]].mean()

    gradient = jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(state.params))
    expected = jax.tree.map(lambda p, g: p - 0.05 * g, state.params, gradient)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), moved.params, expected
    )


def test_resuming_from_each_epoch_equals_the_unbroken_run(corpora, tmp_path):
    whole = Loop(corpora, epochs=4)
    whole.fit()
    for stop in (1, 3):
        first = Loop(corpora, epochs=stop)
        with Checkpoints(tmp_path / str(stop)) as checkpoints:
            first.fit(save=checkpoints.save)
        second = Loop(corpora, epochs=4, seed=0)
        with Checkpoints(tmp_path / str(stop)) as checkpoints:
            second.state, second.progress = checkpoints.latest(second.state)
            second.fit(save=checkpoints.save)
        assert json.dumps(second.progress.history) == json.dumps(whole.progress.history)
        assert_same(second.state, whole.state)


def staged(accuracies):
    values = iter(accuracies)
    return lambda outputs, label: {"loss": 0.0, "accuracy": next(values)}


def test_the_lowest_loss_can_choose(corpora, tmp_path):
    loop = Loop(corpora, epochs=20, early_stopping=2, monitor="loss")
    values = iter([(3.0, 0.1), (1.0, 0.2), (2.0, 0.9), (1.5, 0.9), (0.0, 1.0)])

    def summary(outputs, label):
        return dict(zip(("loss", "accuracy"), next(values), strict=True))

    with Checkpoints(tmp_path) as checkpoints:
        progress = loop.fit(summary, save=checkpoints.save)
        assert (progress.epoch, progress.best_epoch, progress.best) == (4, 2, -1.0)
        _, kept = checkpoints.restore(2, loop.state)
        assert kept.epoch == 2


def test_where_the_test_part_validates_the_last_weights_are_the_ones(corpora):
    falling = dict(factor=0.1, patience=1)
    loop = Loop(corpora, epochs=4, early_stopping=0, protocol="paper", plateau=falling)
    progress = loop.fit(staged([0.5, 0.9, 0.1, 0.3]))
    assert (progress.best_epoch, progress.best) == (4, 0.3)
    # Nor does the rate follow it, which would else have fallen.
    assert len({row["learning_rate"] for row in progress.history}) == 1


def test_early_stopping_waits_its_patience_and_the_best_epoch_is_kept(corpora, tmp_path):
    loop = Loop(corpora, epochs=20, early_stopping=3)
    states = {}
    with Checkpoints(tmp_path) as checkpoints:

        def save(state, progress):
            checkpoints.save(state, progress)
            states[progress.epoch] = jax.tree.map(np.array, state.params)

        progress = loop.fit(staged([0.1, 0.5, 0.4, 0.6, 0.6, 0.2, 0.6, 0.9]), save=save)
        assert (progress.epoch, progress.best_epoch, progress.best) == (7, 4, 0.6)
        best, _ = checkpoints.restore(4, loop.state)
        assert_same(best.params, states[4])


def test_best_epochs_stay_however_little_they_gained(tmp_path, corpora):
    loop = Loop(corpora)
    with Checkpoints(tmp_path) as checkpoints:
        for epoch, best in enumerate([1, 1, 3, 4, 4, 4, 4], start=1):
            score = -2.3 + 1e-9 * best
            progress = train.Progress(epoch=epoch, best_epoch=best, best=score)
            checkpoints.save(loop.state, progress)
        assert checkpoints.restore(4, loop.state)[1].best_epoch == 4
        kept = {int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()}
    assert kept == {3, 4, 6, 7}  # the two best of their times, and the latest two


def test_plateau_lowers_the_rate_after_patience(corpora):
    loop = Loop(corpora, epochs=6, early_stopping=0)
    loop.config.plateau.patience = 2
    history = loop.fit(staged([0.5] * 6)).history
    rates = [row["learning_rate"] for row in history]
    np.testing.assert_allclose(rates, [1e-3] * 4 + [1e-4] * 2, rtol=1e-5)
    assert history[0].keys() == {"epoch", "step", "learning_rate", "train", "validation"}


def test_the_rate_logged_is_the_players_own(corpora):
    loop = Loop(corpora, epochs=1)
    loop.config.players = {"model": {"learning_rate": 0.5}}
    assert loop.fit().history[0]["learning_rate"] == 0.5


def test_a_loss_that_is_not_finite_stops_with_step_and_checkpoint(corpora):
    loop = Loop(corpora, epochs=3, early_stopping=0)
    loss, calls = loop.task.loss, []

    class Breaks(Classify):
        def loss(self, params, batch_stats, batch, key):
            value, (stats, metrics) = loss(params, batch_stats, batch, key)
            # The label sum of a batch is data, so the NaN comes in one step, not at trace time.
            bad = jnp.where((batch["label"].sum() == worst), jnp.nan, 1.0)
            return value * bad, (stats, metrics | {"loss": value * bad})

    rows = pipeline.training_rows(loop.splits["train"], 0, 2)
    sums = [int(c["label"].sum()) for c in pipeline.chunk_rows(rows, 8, 1)]
    first = pipeline.training_rows(loop.splits["train"], 0, 1)
    earlier = {int(c["label"].sum()) for c in pipeline.chunk_rows(first, 8, 1)}
    position, worst = next((i, s) for i, s in enumerate(sums) if s not in earlier)
    loop.task = Breaks(Small(), loop.config)
    with pytest.raises(UserError) as told:
        loop.fit(save=lambda state, progress: calls.append(progress.epoch))
    assert f"step {loop.steps_per_epoch + position + 1} (epoch 2)" in str(told.value)
    assert "checkpoint of epoch 1 is good" in str(told.value) and calls == [1]


def test_a_validation_loss_that_is_not_finite_is_never_saved(corpora):
    loop, saved = Loop(corpora, epochs=2), []
    with pytest.raises(UserError, match=f"at step {loop.steps_per_epoch} "):
        loop.fit(
            lambda outputs, label: {"loss": np.nan, "accuracy": 0.1},
            save=lambda state, progress: saved.append(progress.epoch),
        )
    assert not saved


@pytest.mark.parametrize("size", [7, 250])  # in batches, the last one padded; in one
def test_evaluation_covers_the_split_in_order(corpora, monkeypatch, size):
    monkeypatch.setattr(train, "EVALUATION_BATCH", size)
    loop = Loop(corpora)
    test = loop.splits["test"]
    feeder = pipeline.make_feeder("device", loop.arrays)
    evaluate = train.make_evaluate_chunk(loop.task.evaluate, feeder.mesh)
    outputs = train.evaluate(evaluate, loop.state, test.examples(), feeder)
    batch = {"image": corpora["image"].x[test.examples()["image"]]}
    whole = jax.jit(loop.task.evaluate)
    expected = whole(loop.state.params, loop.state.batch_stats, batch)["logits"]
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-5)


def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_serves(corpora, tmp_path):
    loop = Loop(corpora, epochs=3)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        loop.fit(save=checkpoints.save)
    for file in (tmp_path / "checkpoints" / "3" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    said = []
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        _, progress = checkpoints.latest(loop.state, said.append)
        assert progress.epoch == 2
        again = Loop(corpora, epochs=3)
        again.state, again.progress = checkpoints.latest(again.state)
        again.fit(save=checkpoints.save)
    assert len(said) == 1 and "epoch 3" in said[0]
    assert (tmp_path / "damaged" / "3").is_dir()
    assert_same(again.state, loop.state)


def flip(file, offset):
    """Two bits, in two bytes."""
    held = bytearray(file.read_bytes())
    held[offset] ^= 4
    held[offset + 100] ^= 1
    file.write_bytes(held)


@contextlib.contextmanager
def small_files(size):
    """No file can grow beyond some bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_fills_up_leaves_the_epochs_before(corpora, tmp_path):
    loop = Loop(corpora, epochs=3)
    unbroken = Loop(corpora, epochs=3)
    unbroken.fit()

    def save(state, progress):
        with small_files(20_000 if progress.epoch == 2 else 10**9):
            checkpoints.save(state, progress)
            checkpoints.wait()

    with pytest.raises(OSError, match="File too large") as told:  # noqa: SIM117
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            loop.fit(save=save)
    assert told.value.filename == str(tmp_path / "checkpoints")
    assert kept(tmp_path / "checkpoints") == [1]
    # Elsewhere, as threads of this process may still be at work there.
    shutil.copytree(tmp_path / "checkpoints" / "1", tmp_path / "again" / "1")
    with Checkpoints(tmp_path / "again") as checkpoints:
        loop.state, loop.progress = checkpoints.latest(unbroken.state, pytest.fail)
        assert loop.progress.epoch == 1
        loop.fit(save=checkpoints.save)
    assert_same(loop.state, unbroken.state)


def test_two_flipped_bits_are_found(corpora, tmp_path):
    """In every large file of a checkpoint: they are restored without a word, were it not for the
    digests."""
    loop = Loop(corpora, epochs=2)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        loop.fit(save=checkpoints.save)
    files = [file for file in (tmp_path / "checkpoints" / "2" / "state").rglob("d/*")]
    large = [file for file in files if file.stat().st_size > 10_000]
    refused, checkpoints = 0, Checkpoints(tmp_path / "checkpoints")
    for file in large:
        whole = file.read_bytes()
        for offset in range(500, len(whole) - 200, len(whole) // 8):
            flip(file, offset)
            with pytest.raises(UserError, match=r"epoch 2 .* cannot be read"):
                checkpoints.restore(2, loop.state)
            try:
                assert_same(weights(tmp_path / "checkpoints", 2)[0], loop.state.params)
            except UserError:
                refused += 1
            file.write_bytes(whole)
    assert large and refused
    flip(max(large, key=lambda file: file.stat().st_size), 5_000)
    said = []
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest(loop.state, said.append)[1].epoch == 1
    assert "is not as it was written" in said[0] and (tmp_path / "damaged" / "2").is_dir()


def test_damaged_best_weights_are_trained_again(corpora, tmp_path):
    """Those after them are whole, but the best of their time would never be tested."""
    scores = [0.1, 0.5, 0.9, 0.2, 0.3]
    loop = Loop(corpora, epochs=5, early_stopping=0)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        loop.fit(staged(scores), save=checkpoints.save)
    assert kept(tmp_path / "checkpoints") == [2, 3, 4, 5]
    for file in (tmp_path / "checkpoints" / "3" / "state").rglob("d/*"):
        for offset in range(500, file.stat().st_size - 200, 1_000):
            flip(file, offset)  # somewhere in the weights, wherever Orbax lays them
    again, said = Loop(corpora, epochs=5, early_stopping=0), []
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        again.state, again.progress = checkpoints.latest(again.state, said.append)
        assert again.progress.epoch == 2 and len(said) == 3
        again.fit(staged(scores[2:]), save=checkpoints.save)
    assert again.progress.best_epoch == 3
    assert_same(again.state, loop.state)


def test_a_flipped_bit_of_the_progress_is_found(corpora, tmp_path):
    loop = Loop(corpora, epochs=1)
    with Checkpoints(tmp_path) as checkpoints:
        loop.fit(save=checkpoints.save)
        file = tmp_path / "1" / "progress" / "metadata"
        checkpoints.restore(1, loop.state)
        file.write_text(file.read_text().replace('"best_epoch": 1', '"best_epoch": 0'))
        with pytest.raises(UserError, match="progress is not as it was written"):
            checkpoints.restore(1, loop.state)


def test_a_checkpoint_without_digests_goes_on(corpora, tmp_path):
    """As earlier code wrote them."""
    loop = Loop(corpora, epochs=1)
    with Checkpoints(tmp_path) as checkpoints:
        loop.fit(save=checkpoints.save)
        checkpoints.wait()
        file = tmp_path / "1" / "progress" / "metadata"
        held = json.loads(file.read_text())
        assert held.pop("digests").keys() > {"progress", "step", "key"}
        file.write_text(json.dumps(held))
        assert_same(checkpoints.latest(loop.state)[0], loop.state)
    assert_same(weights(tmp_path, 1)[0], loop.state.params)


def test_a_checkpoint_of_earlier_code_goes_on(corpora, tmp_path):
    """It held the only player's optimizer, not a dict of players."""
    loop = Loop(corpora, epochs=1)
    loop.fit()
    old = loop.state.replace(opt_state=loop.state.opt_state["model"])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(old, loop.progress)
        state, progress = checkpoints.latest(Loop(corpora).state)
    assert_same(state, loop.state)
    assert progress == loop.progress


def test_no_readable_checkpoint_is_told(corpora, tmp_path):
    loop = Loop(corpora, epochs=1)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        loop.fit(save=checkpoints.save)
    for file in (tmp_path / "checkpoints" / "1" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        with pytest.raises(UserError, match="new --workdir"):
            checkpoints.latest(loop.state, lambda line: None)
        with pytest.raises(UserError, match=r"epoch 1 .* cannot be read"):
            checkpoints.restore(1, loop.state)
        with pytest.raises(UserError, match=r"epoch 7 .* cannot be read"):
            checkpoints.restore(7, loop.state)


def test_checkpoints_of_another_model_are_refused_and_left_alone(corpora, tmp_path):
    loop = Loop(corpora, epochs=1)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        loop.fit(save=checkpoints.save)
        other = loop.state.replace(params={"renamed": jnp.zeros(3)})
        with pytest.raises(UserError, match="of other code"):
            checkpoints.latest(other, lambda line: None)
        assert checkpoints.latest(loop.state)[1].epoch == 1
    assert not (tmp_path / "damaged").exists()


def test_an_epoch_is_balanced_where_the_config_says_so(corpora):
    loop = Loop(corpora)
    loop.config.data.balance = True
    wanted = pipeline.training_rows(loop.splits["train"], 0, 1, balance=True)["image"]
    np.testing.assert_array_equal(loop.training().rows()["image"], wanted)
