"""Searches: whole ones on a made-up objective, in processes that are killed, and real runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from fdigits.cells import load
from fdigits.config import CLASSIFIER, base
from fdigits.config import search as searching
from fdigits.errors import UserError
from fdigits.report import searched

pytest.importorskip("optuna")
from fdigits.search import planned, search, spanned

ROOT = Path(__file__).parents[1]
SPACE = dict(model=dict(filters=((8,), (8, 16))), optimizer=dict(learning_rate=(1e-3, 1e-2)))
SPACE |= dict(epochs=(2, 3))
RANGES = dict(
    optimizer=dict(learning_rate=dict(low=1e-5, high=1e-1, log=True)),
    batch_size=dict(low=16, high=64),
)


def config(space=SPACE, sampler="grid", **fields):
    return searching("made_up", base("made_up", "bundled"), space, sampler, **fields)


def score(config, folder, report) -> float:
    """Made up: more filters and a smaller rate are better, and it says who asked."""
    with (folder / "asked").open("a") as file:
        file.write(f"{config.optimizer.learning_rate} {config.model.filters} {config.epochs}\n")
    value = 0.5 + len(config.model.filters) / 10 - config.optimizer.learning_rate
    for epoch in range(1, config.epochs + 1):
        report(epoch, value - 0.1 / epoch)
    return value


def asked(workdir: Path) -> Counter:
    files = sorted(workdir.glob("trials/*/asked"))
    return Counter(line for file in files for line in file.read_text().splitlines())


def test_a_grid_is_done_once_and_its_best_is_told(tmp_path, capsys):
    summary = search(config(), tmp_path, score)
    assert len(asked(tmp_path)) == 8 and set(asked(tmp_path).values()) == {1}
    assert {trial["state"] for trial in summary["trials"]} == {"complete"}
    best = max(summary["trials"], key=lambda trial: trial["score"])
    assert best["fields"]["model.filters"] == "[8, 16]"
    assert best["fields"]["optimizer.learning_rate"] == 1e-3 and best["score"] == 0.699
    assert summary["importances"]["model.filters"] > summary["importances"]["epochs"]
    assert json.loads((tmp_path / "search.json").read_text()) == summary
    assert "--config.model.filters='[8, 16]'" in capsys.readouterr().out.replace("\n", " ")
    page = (tmp_path / "report.html").read_text()
    assert "8 trials, 8 done" in page and "Scores by field" in page
    assert search(config(), tmp_path, score) == summary  # finds it finished
    assert sum(asked(tmp_path).values()) == 8


WORKER = """
import os, sys, time
from pathlib import Path
from tests import test_search
from fdigits.search import search
def slow(config, folder, report):
    found = test_search.score(config, folder, report)
    time.sleep(float(sys.argv[2]))
    return found
workdir, count = Path(sys.argv[1]), int(sys.argv[3])
(workdir / f"ready{os.getpid()}").touch()
while len(list(workdir.glob("ready*"))) < count:
    time.sleep(0.01)
search(test_search.config(), workdir, slow)
"""


def worker(workdir: Path, seconds: float, starting: int) -> subprocess.Popen:
    """A process of the search, which begins when so many have started."""
    command = [sys.executable, "-c", WORKER, str(workdir), str(seconds), str(starting)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_do_each_trial_once_and_a_killed_ones_again(tmp_path):
    victim = worker(tmp_path, seconds=600, starting=1)
    while not asked(tmp_path):
        time.sleep(0.05)
        assert victim.poll() is None
    others = [worker(tmp_path, seconds=0.5, starting=3) for _ in range(2)]
    outputs = [other.communicate(timeout=120)[0] for other in others]
    assert [other.returncode for other in others] == [0, 0]
    assert sum(asked(tmp_path).values()) == 8 and set(asked(tmp_path).values()) == {1}
    for told in outputs:  # both did some
        assert re.search(r"^trial \d+ of 8", told, re.MULTILINE), told
    states = [t["state"] for t in json.loads((tmp_path / "search.json").read_text())["trials"]]
    assert Counter(states) == {"complete": 7, "running": 1}
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    summary = search(config(), tmp_path, score)
    assert {trial["state"] for trial in summary["trials"]} == {"complete"}
    assert len(summary["trials"]) == 8  # the same trial was gone on with
    assert sorted(asked(tmp_path).values()) == [1] * 7 + [2]


def test_samplers_keep_to_their_ranges_and_do_not_repeat_each_other(tmp_path):
    for sampler in ("random", "tpe"):
        made = config(RANGES, sampler, trials=12)
        rows = search(made, tmp_path / sampler, score)["trials"]
        rates = [row["fields"]["optimizer.learning_rate"] for row in rows]
        assert len(set(rates)) == 12 and all(1e-5 <= rate <= 1e-1 for rate in rates)
        assert all(type(row["fields"]["batch_size"]) is int for row in rows)
    assert len(search(config(RANGES, "tpe", trials=14), tmp_path / "tpe", score)["trials"]) == 14


def test_a_search_whose_trials_all_fail_fails(tmp_path):
    def lost(*_):
        raise UserError("the loss is nan")

    with pytest.raises(UserError, match=r"no trial .* is done: the loss is nan"):
        search(config(), tmp_path, lost)
    assert (tmp_path / "search.json").exists()


def test_what_lags_behind_is_pruned_and_what_fails_is_told_and_tried_again(tmp_path):
    space = dict(seed=tuple(range(12)), epochs=(4,))

    def later_is_worse(config, folder, report):
        if config.seed == 3:
            raise UserError("the loss is nan")
        for epoch in range(1, 5):
            report(epoch, -config.seed - epoch / 10)
        return -float(config.seed)

    rows = search(config(space, pruner="median"), tmp_path, later_is_worse)["trials"]
    states = {row["fields"]["seed"]: row["state"] for row in rows}
    assert states[0] == "complete" and states[3] == "fail" and states[11] == "pruned"
    (failed,) = [row for row in rows if row["state"] == "fail"]
    assert failed["reason"] == "the loss is nan"
    assert "failed: the loss is nan" in (tmp_path / "report.md").read_text()
    again = search(config(space, pruner="median"), tmp_path, lambda *_: -3.0)["trials"]
    assert len(again) == 12 and "fail" not in {row["state"] for row in again}


def test_a_database_is_shared_by_machines_that_share_no_folder(tmp_path):
    made = config()
    with made.unlocked():
        made.storage = f"sqlite:///{tmp_path}/trials.db"

    def interrupted(config, folder, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(made, tmp_path / "here", interrupted)
    there = search(made, tmp_path / "there", score)["trials"]
    assert Counter(row["state"] for row in there) == {"complete": 7, "running": 1}
    here = search(made, tmp_path / "here", score)["trials"]
    assert Counter(row["state"] for row in here) == {"complete": 8}
    assert len(asked(tmp_path / "here")) == 1 and len(asked(tmp_path / "there")) == 7


@pytest.mark.slow
def test_a_real_trial_is_an_ordinary_run_scored_by_its_validation_part(tmp_path):
    model = dict(CLASSIFIER, name="image", filters=(2,), width=8)
    small = base("small", "digits", model=model)
    small.update(
        data=dict(limit=60), epochs=2, batch_size=20, chunk=3, optimizer=dict(learning_rate=0.01)
    )
    grid = searching("small", small, dict(epochs=(2,)), "grid", pruner="hyperband")
    (trial,) = search(grid, tmp_path)["trials"]
    rows = (tmp_path / trial["run"] / "metrics.jsonl").read_text().splitlines()
    validation = [json.loads(row)["validation"]["accuracy"] for row in rows]
    assert trial["epochs"] == 2 and trial["score"] == pytest.approx(max(validation))
    assert json.loads((tmp_path / trial["run"] / "result.json").read_text())["epochs"] == 2
    assert not (tmp_path / trial["run"] / "report.html").exists()


@pytest.mark.parametrize("place", ["r0_grid.py", "r0_grid.py:model=audio", "tune.py:image"])
def test_searches_of_configs_are_sound(place):
    made = load(f"configs/searches/{place}")
    points = planned(made, spanned(made.base, made.space))
    assert len(points) == (54 if made.sampler == "grid" else 30)


@pytest.mark.parametrize(
    ("space", "sampler", "fields", "told"),
    [
        (dict(optimizer=dict(learning_rat=(1,))), "grid", {}, "did you mean 'learning_rate'"),
        (dict(epoch=(1,)), "grid", {}, "did you mean 'epochs'"),
        (dict(epochs=3), "grid", {}, "space.epochs is 3: it must be a tuple"),
        (dict(epochs=(3, 0)), "grid", {}, "epochs is 0: it must be at least 1"),
        (dict(epochs=("many",)), "grid", {}, "space.epochs holds 'many'"),
        (dict(epochs=dict(low=5, high=2)), "tpe", dict(trials=3), "space.epochs is"),
        (dict(epochs=dict(low=1, high=2)), "grid", {}, "a grid needs a tuple of values"),
        (dict(protocol=("held_out", "paper")), "grid", {}, "space.protocol: trials with another"),
        (dict(monitor=("accuracy", "loss")), "grid", {}, "space.monitor: trials with another"),
        (dict(data=dict(split=("paper", "random"))), "grid", {}, "space.data.split: trials with"),
        (SPACE, "grd", {}, "sampler 'grd' is unknown (did you mean 'grid'?)"),
        (SPACE, "tpe", {}, "trials is 0"),
        (SPACE, "grid", dict(trials=5), "this grid has 8"),
        (SPACE, "grid", dict(pruner="mean"), "pruner 'mean' is unknown"),
    ],
)
def test_what_is_no_search_is_told_in_a_line(tmp_path, space, sampler, fields, told):
    with pytest.raises(UserError) as error:
        search(config(space, sampler, **fields), tmp_path, score)
    assert told in str(error.value) and not list(tmp_path.iterdir())


def test_another_search_and_the_test_part_are_refused(tmp_path):
    search(config(), tmp_path, score)
    with pytest.raises(UserError, match=r"another config \(space\.epochs"):
        search(config(SPACE | dict(epochs=(1, 2))), tmp_path, score)
    paper = config()
    with paper.unlocked():
        paper.base.protocol = "paper"
    with pytest.raises(UserError, match="a search must not see it"):
        search(paper, tmp_path / "other", score)
    loss = config(dict(loss=("cross_entropy", "mse")))
    with loss.unlocked():
        loss.base.monitor = "loss"
    with pytest.raises(UserError, match=r"space\.loss: trials with another loss"):
        search(loss, tmp_path / "other", score)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "trials.log").write_text("no\njournal\n")
    with pytest.raises(UserError, match="cannot be opened"):
        search(config(), tmp_path / "broken", score)


def test_a_loss_is_minimised(tmp_path):
    made = config(dict(epochs=(2, 3)))
    with made.unlocked():
        made.base.monitor = "loss"
    found = search(made, tmp_path, lambda config, *_: float(config.epochs))
    assert found["direction"] == "minimize" and searched.ranked(found)[0]["score"] == 2.0


def test_a_journal_whose_last_line_a_full_disk_cut_goes_on(tmp_path):
    def few(config, folder, report):
        if len(asked(tmp_path)) > 2:
            raise KeyboardInterrupt
        return score(config, folder, report)

    with pytest.raises(KeyboardInterrupt):
        search(config(), tmp_path, few)
    with (tmp_path / "trials.log").open("a") as journal:
        journal.write('{"op_code": 6, "worker_id": "a')
    found = search(config(), tmp_path, score)
    assert {trial["state"] for trial in found["trials"]} == {"complete"}
