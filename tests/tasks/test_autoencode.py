import json

import jax
import numpy as np
import pytest

from fdigits import evaluate, trained
from fdigits.errors import UserError
from fdigits.run import run
from tests.tasks.short import short

WHOLE = "audio_autoencoder:dim=20"


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr("fdigits.report.write", lambda runs, out: out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr("fdigits.report.write", lambda runs, out: out)
    workdir = tmp_path_factory.mktemp("whole")
    run(short(WHOLE), workdir)
    patch.undo()
    return workdir


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def test_a_few_steps_lower_both_losses(finished):
    for stage in (".", "autoencoder"):
        losses = [row["train"]["loss"] for row in rows(finished / stage)]
        assert losses[-1] < 0.95 * losses[0]


def test_it_leaves_errors_reconstructions_and_codes(finished):
    result = json.loads((finished / "autoencoder/result.json").read_text())
    coder = trained.load(finished / "autoencoder")
    examples = evaluate.again(coder)
    split = examples.splits["test"]
    frames = examples.arrays["frames"][split.examples()["frames"]]
    with np.load(finished / "autoencoder/predictions.npz") as held:
        assert held["reconstruction"].shape == frames[..., :-1].shape
        error = np.square(held["reconstruction"] - frames[..., :-1]).mean((1, 2))
        np.testing.assert_allclose(held["error"], error, rtol=1e-4)
    assert result["metrics"]["test"] == {"loss": pytest.approx(error.mean(), rel=1e-4), "n": 120}
    with np.load(finished / "autoencoder/embeddings.npz") as held:
        assert held.files == ["code"] and held["code"].shape == (120, 20)


def test_the_classifier_reads_the_codes_of_the_chosen_weights(finished):
    coder, classifier = trained.load(finished / "autoencoder"), trained.load(finished)
    examples = evaluate.again(classifier)
    x = examples.splits["test"].corpora["code"].x  # frames, by the name of what is made of them
    made = coder.encode({"frames": x})
    assert made.keys() == {"code"} and classifier.task.reads == ("code",)
    np.testing.assert_array_equal(examples.arrays["code"], made["code"])


def test_the_penalty_is_learnt_from_and_not_in_the_figure(finished):
    coder = trained.load(finished / "autoencoder")
    batch = evaluate.again(coder).sample()
    loss, (_, told) = jax.jit(coder.task.loss)(coder.params, {}, batch, jax.random.key(0))
    layers = [*coder.params["encoder"].values(), coder.params["decoder"]["Dense_0"]]
    penalty = 1e-3 * sum(float(np.square(layer["kernel"]).sum()) for layer in layers)
    assert float(loss - told["loss"]) == pytest.approx(penalty, rel=1e-4) and penalty > 0.1


@pytest.mark.parametrize(
    ("argument", "fields", "told"),
    [
        ("dim=0", {}, "model.bottleneck is 0: it must be at least 1"),
        ("dim=6000", {}, "model.bottleneck is 6000, but the longest recording has"),
        ("dim=20", {"batch_size": 121}, "120 training examples are fewer than one batch of 121"),
        ("dim=20", {"stages__autoencoder__model__name": "hole"}, "did you mean 'whole'"),
    ],
)
def test_what_no_run_can_have_is_one_line_and_leaves_nothing(tmp_path, argument, fields, told):
    with pytest.raises(UserError, match=told) as raised:
        run(short(f"audio_autoencoder:{argument}", **fields), tmp_path)
    assert len(str(raised.value).splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_loss_that_is_lost_leaves_no_result(tmp_path):
    with pytest.raises(
        UserError, match=r"^the loss is (nan|inf) at step .*: lower optimizer"
    ) as told:
        run(short(WHOLE, optimizer__learning_rate=1e30), tmp_path)
    assert len(str(told.value).splitlines()) == 1
    assert not list(tmp_path.rglob("result.json")) and not list(tmp_path.rglob("*.npz"))
