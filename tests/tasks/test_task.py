"""A task that no file of fdigits knows runs through the whole house."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from fdigits import checkpoint, evaluate, predict, report, tasks, trained
from fdigits.config import base
from fdigits.errors import UserError
from fdigits.explain import __main__ as explain
from fdigits.report import artifacts
from fdigits.run import run, stage_order
from tests.tasks import made_up

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setattr(tasks, "KINDS", tasks.KINDS | made_up.KINDS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Both stages, the second on the codes of the first."""
    patch = pytest.MonkeyPatch()
    patch.setattr(tasks, "KINDS", tasks.KINDS | made_up.KINDS)
    workdir = tmp_path_factory.mktemp("made_up")
    result = run(made_up.config(), workdir)
    patch.undo()
    return workdir, result


def weights(workdir):
    result = json.loads((workdir / "result.json").read_text())
    found = checkpoint.weights(workdir / "checkpoints", result["epochs"])
    return jax.tree.map(np.asarray, found)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_it_trains_and_leaves_a_result_and_a_page(finished):
    workdir, result = finished
    coder = json.loads((workdir / "coder" / "result.json").read_text())
    assert coder["task"] == "autoencode" and coder["metrics"]["test"].keys() == {
        "loss",
        "right",
        "n",
    }
    rows = [json.loads(line) for line in (workdir / "coder" / "metrics.jsonl").open()]
    assert rows[0]["train"].keys() == {"coder_loss", "probe_loss"}
    rates = {name: rate for name, rate in rows[-1].items() if name.endswith("learning_rate")}
    expected = {"coder_learning_rate": 0.003, "probe_learning_rate": 0.02, "learning_rate": 0.003}
    assert rates == pytest.approx(expected)
    for name in ("coder_loss", "probe_loss"):
        assert rows[-1]["train"][name] < 0.95 * rows[0]["train"][name]
    assert coder["best_epoch"] == min(rows, key=lambda r: r["validation"]["loss"])["epoch"]
    with np.load(workdir / "coder" / "predictions.npz") as held:
        assert held["error"].shape == (400,) and held["guess"].shape == (400, 10)
    run = artifacts.load(workdir / "coder")
    assert run.further["three.npz"]["audio"].shape == (3, 39, 13)
    assert list(run.samples) == [1, 2, 3, 4, 5, 6] and run.samples[6].shape == (10, 2, 28, 28)
    page = (workdir / "coder" / "report.html").read_text()
    assert "right" in page and "Learning curves" in page
    assert result["metrics"]["test"]["accuracy"] > 0.3  # by 8 numbers, one dense layer
    assert result["modalities"] == ["code"] and (workdir / "report.html").is_file()


def test_the_codes_are_what_the_first_stage_makes(finished):
    workdir, _ = finished
    coder, classifier = trained.load(workdir / "coder"), trained.load(workdir)
    examples = evaluate.again(classifier)
    audio = examples.splits["test"].corpora["code"].x
    codes = coder.outputs(coder.arrays({"audio": audio}))["code"]
    np.testing.assert_allclose(examples.arrays["code"], codes, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_killed_and_started_again_equals_the_unbroken_run(finished, tmp_path):
    command = [sys.executable, "-m", "tests.tasks.made_up", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch   3/"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "coder" / "result.json").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "going on after epoch" in done.stdout, done.stderr
    for stage in (".", "coder"):
        assert_same(weights(tmp_path / stage), weights(finished[0] / stage))
        for name in ("metrics.jsonl", "report.md"):
            there = finished[0] / stage / name
            assert (tmp_path / stage / name).read_bytes() == there.read_bytes()


def test_a_frozen_encoder_stays_as_it_was_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write", lambda *args: "none")
    run(made_up.config("frozen"), tmp_path)
    (params, stats), (coder, coder_stats) = weights(tmp_path), weights(tmp_path / "coder")
    best = json.loads((tmp_path / "coder" / "result.json").read_text())
    assert best["best_epoch"] == best["epochs"]
    assert_same(params["encoder"], coder["encoder"])
    assert_same(stats["encoder"], coder_stats["encoder"])
    assert np.abs(params["head"]["Dense_0"]["kernel"]).sum() > 0
    state = trained.load(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert rows[-1]["train"]["loss"] < rows[0]["train"]["loss"] and state.config.frozen


@pytest.mark.parametrize("command", [predict, explain])
def test_commands_for_classifiers_answer_in_one_line(finished, command, monkeypatch, capsys):
    recording = ROOT / "fdigits" / "data" / "bundled" / "samples" / "7.wav"
    given = ["--recording", str(recording)] if command is predict else []
    monkeypatch.setattr(sys, "argv", ["x", str(finished[0] / "coder"), *given])
    with pytest.raises(SystemExit) as ended:
        command.main()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and len(told.strip().splitlines()) == 1
    assert ("names no digit" if command is predict else "nothing to explain") in told


def test_a_recording_goes_through_both_stages(finished, monkeypatch, capsys):
    recording = ROOT / "fdigits" / "data" / "bundled" / "samples" / "7.wav"
    monkeypatch.setattr(sys, "argv", ["x", str(finished[0]), "--recording", str(recording)])
    predict.main()
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_loss_that_is_lost_names_its_player(tmp_path):
    config = made_up.config()
    config.stages.coder.players.coder.learning_rate = 3e38
    with pytest.raises(
        UserError, match=r"the coder loss is (nan|inf) at step 2 .*no epoch was done"
    ):
        run(config, tmp_path)


def test_what_players_and_stages_do_not_have_is_told(tmp_path):
    config = made_up.config()
    with config.unlocked():
        config.stages.coder.players = {"prob": {"learning_rate": 0.1}}
    with pytest.raises(UserError, match=r"player 'prob' .*did you mean 'probe'"):
        run(config, tmp_path)
    config = made_up.config()
    with config.unlocked():
        config.data.encoded["code"] = "codre"
    with pytest.raises(UserError, match="did you mean 'coder'"):
        run(config, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("task", "field"),
    [("gan", "noise"), ("cvae", "noise"), ("merge", "bottleneck"), ("sound_to_image", "sound")],
)
def test_a_task_whose_fields_the_model_lacks_is_one_line(task, field):
    config = base("made", "digits")
    config.task = task
    with pytest.raises(UserError, match=rf"task={task} needs model\.{field}, which made-digits"):
        tasks.make(config)


def test_stages_come_after_those_that_they_need():
    config = made_up.config()
    with config.unlocked():
        config.stages["a_later"] = {"data": {"encoded": {"code": "coder"}}}
    assert stage_order(config) == ["coder", "a_later"]
    with config.unlocked():
        config.stages.coder.data = {"encoded": {"code": "a_later"}}
    with pytest.raises(UserError, match="need each other"):
        stage_order(config)
