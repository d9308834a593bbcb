import json

import jax
import numpy as np
import pytest

from fdigits import checkpoint, evaluate, predict, tasks, trained
from fdigits.config import stage_config
from fdigits.data.corpora import bundled
from fdigits.errors import UserError
from fdigits.run import run
from tests.tasks import killed
from tests.tasks.short import short

STAGES = ("pairs", "merger", ".")


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr("fdigits.report.write", lambda runs, out: out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr("fdigits.report.write", lambda runs, out: out)
    workdir = tmp_path_factory.mktemp("merger")
    run(short("audio_merger"), workdir)
    patch.undo()
    return workdir


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_few_steps_lower_the_loss(finished, stage):
    losses = [row["train"]["loss"] for row in rows(finished / stage)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_the_merger_starts_from_the_pairs_encoder_and_leaves_it(finished):
    pairs, merger = (trained.load(finished / stage) for stage in ("pairs", "merger"))
    jax.tree.map(np.testing.assert_array_equal, pairs.params["encoder"], merger.params["encoder"])
    first, _ = checkpoint.weights(finished / "merger/checkpoints", 8)
    jax.tree.map(np.testing.assert_array_equal, pairs.params["encoder"], first["encoder"])


@pytest.mark.slow
def test_the_code_is_of_the_frames_alone_and_of_width_32(finished):
    merger, classifier = trained.load(finished / "merger"), trained.load(finished)
    examples = evaluate.again(classifier)
    x = examples.splits["test"].corpora["code"].x
    longer = np.pad(x, ((0, 0), (0, 30), (0, 0)))  # as of a set with longer recordings
    made, padded = (merger.encode({"frames": frames})["code"] for frames in (x, longer))
    assert made.shape == (len(x), 32)
    np.testing.assert_array_equal(examples.arrays["code"], made)
    np.testing.assert_array_equal(padded, made)


@pytest.mark.slow
def test_a_step_draws_its_pairs_by_its_key(finished):
    merger = trained.load(finished / "merger")
    batch, loss = evaluate.again(merger).sample(), jax.jit(merger.task.loss)
    draws = [float(loss(merger.params, {}, batch, jax.random.key(k))[0]) for k in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.slow
def test_killed_in_each_stage_and_started_again_equals_the_unbroken_run(finished, tmp_path):
    killed.run("audio_merger", tmp_path, ["-pairs:", "-merger:", "_merger-espeak:"])
    for stage in STAGES:
        killed.assert_same(tmp_path / stage, finished / stage)


@pytest.mark.slow
def test_a_recording_is_named_by_all_stages(finished, monkeypatch, capsys):
    recording = str(bundled.FOLDER / bundled.SAMPLES / "7.wav")
    monkeypatch.setattr("sys.argv", ["predict", str(finished), "--recording", recording])
    predict.main()
    lines = capsys.readouterr().out.strip().splitlines()[-3:]
    assert [len(line.split()) for line in lines] == [2, 2, 2]
    assert 0 < sum(float(line.split()[1]) for line in lines) <= 1.001


@pytest.mark.slow
def test_a_stage_is_read_and_compiled_once_for_many_recordings(finished, monkeypatch):
    run, heard = trained.load(finished), {"frames": np.ones((1, 39, 14), np.float32)}
    first = run.arrays(heard)
    monkeypatch.setattr(trained, "load", pytest.fail)
    monkeypatch.setattr(trained.train, "make_evaluate_chunk", pytest.fail)
    again = run.arrays(heard)
    np.testing.assert_array_equal(first["code"], again["code"])
    monkeypatch.undo()
    (finished / "merger" / "result.json").touch()  # as if it were trained again
    monkeypatch.setattr(trained, "load", lambda folder: pytest.fail("read anew"))
    with pytest.raises(pytest.fail.Exception, match="read anew"):
        run.arrays(heard)


def test_an_unknown_pool_is_told_the_nearest():
    config = stage_config(short("audio_merger", stages__merger__model__pool="men"), "merger")
    with pytest.raises(UserError, match=r"model.pool 'men' .*did you mean 'mean'"):
        tasks.make(config)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"stages__pairs__model__bottleneck": 0}, "model.bottleneck is 0: it must be at least 1"),
        ({"stages__pairs__batch_size": 121}, "120 training examples are fewer than one batch"),
    ],
)
def test_what_no_run_can_have_is_one_line_and_leaves_nothing(tmp_path, fields, told):
    with pytest.raises(UserError, match=told) as raised:
        run(short("audio_merger", **fields), tmp_path)
    assert len(str(raised.value).splitlines()) == 1 and not list(tmp_path.rglob("*.npz"))
