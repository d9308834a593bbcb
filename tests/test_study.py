"""Studies: their configs, what is trained, found again, left or refused, and what they tell."""

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from fdigits import cells, measured, provenance, study, tasks
from fdigits.cells import cell, claim, numbered
from fdigits.config import base
from fdigits.data.corpus import MODALITIES
from fdigits.errors import UserError
from fdigits.examples import check_size, resolved
from fdigits.files import Busy, held, write_arrays, write_json
from fdigits.report.verdicts import Items, contrast
from fdigits.run import _check
from fdigits.tasks.task import blank_batch

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "configs" / "studies").glob("*.py"))
REAL = {"r4_p1": "fsdd", "r4_table13": "fsdd"} | {
    name: "reduced_mnist" for name in ("r4_table3", "r4_table5", "r4_table6", "r4_table10")
}


def load(name: str, arg: str = "") -> ConfigDict:
    return cells.load(f"configs/studies/{name}.py:{arg}")


@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_of_every_study_is_a_config_that_may_run(name):
    for arg in ("", REAL.get(name, "mnist_fsdd")):
        config = load(name, arg)
        plan = study.cells(config)
        assert {one.seed for one in plan} == {*config.seeds}
        assert len({one.folder for one in plan}) == len(plan)
        for one in plan:
            assert one.config.seed == one.seed
            if one.seed == config.seeds[0]:
                _check(resolved(one.config))
        for cell_name, one in config.cells.items():
            found = cells.shown(config, cell_name, config.seeds[0])  # a stage that is not there
            speaks = one.group == cells.SPEAKERS
            assert cell_name.endswith("-speaker") == speaks
            if speaks and "image" not in cell_name and "tuned" not in cell_name:
                assert found.data.split == "speaker"


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "r4_table13"])
def test_the_embedded_data_are_enough_for_every_cell(name):
    """Spectrograms, which take a while to draw, are enough where other recordings are."""
    config = load(name)
    for cell_name in config.cells:
        found = resolved(cells.shown(config, cell_name, config.seeds[0]))
        task = tasks.make(found)
        check_size(found, task)
        if set(task.reads) <= MODALITIES.keys():
            jax.eval_shape(task.init, jax.random.key(0), blank_batch(task.reads))


def test_cells_and_claims_stand_in_the_order_of_the_table(tmp_path):
    found = measured.summary(load("r4_p1"), tmp_path)
    names = [one["name"] for one in found["cells"]]
    assert names[:3] == ["baseline", "autoencoder_50", "autoencoder_100"]
    assert names[11:13] == ["baseline-speaker", "autoencoder_50-speaker"]
    texts = [one["text"] for one in found["claims"]]
    assert texts[0] == "The baseline beats A's best (400)" and "unseen" in texts[-1]


def test_a_study_knows_what_its_paper_reports():
    def told(name: str, cell_name: str) -> dict:
        config = load(name, REAL.get(name, "mnist_fsdd"))
        return cells.reported(cells.shown(config, cell_name, 0))

    assert told("r0_table7", "hybrid_cnn") == {"accuracy": 0.9974, "macro_f1": 0.997}
    assert told("r1_table1", "weighted-speaker") == {"macro_f1": 0.992}
    assert told("r2", "tuned") == {"accuracy": 0.8229} and told("r2", "vae") == {}
    assert told("r3", "audio") == {"accuracy": 0.834}
    row = [told("r4_table5", f"own_300_{n}")["accuracy"] for n in (0, 1000, 2000, 3000)]
    assert row == [0.9785, 0.9485, 0.94, 0.911]
    assert told("r4_table5", "full_1000_2000") == {"accuracy": 0.9865}
    assert told("r4_table6", "pipeline_2000") == {"accuracy": 0.9875}
    assert told("r4_table3", "700_2000") == {"accuracy": 0.9890}


def test_cells_and_claims_stand_as_their_table_has_them():
    config = load("r0_table7")
    names = cells.in_order(config)
    assert (
        names[:3] == ["image_cnn", "audio_cnn", "audio_lstm"] and names[9] == f"{names[4]}-speaker"
    )
    assert [one.cell for one in study.cells(config)[:10]] == names
    told = [one.text for one in config.claims.values()]
    assert len(told) == 12 and all("(unseen speakers)" in text for text in told[6:])


def test_the_command_of_a_run_says_all_that_differs():
    config = load("r0_table7", "mnist_fsdd")
    with config.unlocked():
        config.overrides = "epochs=2"
    (one,) = [c for c in study.cells(config) if c.folder == "hybrid_lstm-speaker/seed_3"]
    assert one.command == (
        "python launch.py --config=configs/hybrid.py:mnist_fsdd,audio=lstm --config.epochs=2 "
        "--config.data.split=speaker --config.seed=3 "
        "--workdir=runs/r0_table7-mnist_fsdd/hybrid_lstm-speaker/seed_3"
    )


def test_only_some_are_trained():
    config = load("r4_table10")
    with config.unlocked():
        config.only = "se,base/seed_2"
    assert [one.folder for one in study.cells(config)] == [
        *("se/seed_0", "se/seed_1", "base/seed_2", "se/seed_2", "se/seed_3", "se/seed_4")
    ]
    for wrong, told in {"cbma": "did you mean 'cbam'", "se/seed_9": "did you mean 'seed_"}.items():
        with config.unlocked():
            config.only = wrong
        with pytest.raises(UserError, match=told):
            study.cells(config)
    config = load("r2")
    with config.unlocked():
        config.only = "judge/seed_1"
    assert [one.folder for one in study.cells(config)] == ["tuned/seed_1"]


def test_overrides_are_of_their_fields_types():
    config = base("any", "bundled")
    for field in ("epochs=3", "optimizer.learning_rate=1e-4", "model.filters=(8,16)"):
        cells.override(config, field, "here")
    cells.override(config, "data.split=speaker", "here")
    assert (config.epochs, config.optimizer.learning_rate) == (3, 1e-4)
    assert config.model.filters == (8, 16) and config.data.split == "speaker"
    for field, told in {
        "epochs=many": "value of type int",
        "epochs=": "value of type int",
        "epoch=3": "did you mean 'epochs'",
        "data.splits=paper": "did you mean 'split'",
        "name.x=1": "name is no group",
    }.items():
        with pytest.raises(UserError, match=told):
            cells.override(config, field, "here")
    assert cells._split("a=1,model.filters=(2,3),b=(4)") == ["a=1", "model.filters=(2,3)", "b=(4)"]


def test_fields_that_no_study_can_have_are_refused():
    for fields, told in [
        (dict(seeds=(0, 0)), "seeds is"),
        (dict(seeds=()), "seeds is"),
        (dict(changed="agian"), "did you mean 'again'"),
        (dict(claims=numbered([claim("", "beats", "a", "z")])), "claims.claim_01: cell 'z'"),
        (dict(claims=numbered([claim("", "betas", "a", "b")])), "did you mean 'beats'"),
        (dict(cells={"a": cell("", "configs/audio.py", of="c/stage")}), "cells.a.of"),
        (dict(cells={"a": cell("", "configs/audio.py", of="a/imag")}), "cells.a.of: stage 'imag'"),
        (dict(cells={"a": cell("", "configs/adio.py")}), "configs/adio.py is not there"),
    ]:
        config = tiny()
        config.update(fields)
        with pytest.raises(UserError, match=told):
            study.cells(config)


# From here on no one is trained: `run` is a stand-in that leaves what a run leaves.


def tiny() -> ConfigDict:
    made = {name: cell(name.upper(), "configs/audio.py", "epochs=2") for name in "ab"}
    told = [claim("A beats B", "beats", "a", "b")]
    fields = dict(cells=made, claims=numbered(told), seeds=(0, 1), test_items=9000)
    config = cells.study("tiny", "bundled", title="Tiny", paper="R0", **fields)
    return config.unlock()


class Runs:
    """A stand-in for `run`: what it was asked for, and what fails."""

    def __init__(self):
        self.done: list[str] = []
        self.fails: dict[str, BaseException] = {}

    def __call__(self, config, folder, page):
        assert not page
        name = f"{folder.parent.name}/{folder.name}"
        with held(folder):
            self.done.append(name)
            if name in self.fails:
                raise self.fails[name]
            leave(resolved(config), folder, wrong=5 if folder.parent.name == "a" else 40)


def leave(config: ConfigDict, folder: Path, wrong: int) -> None:
    """What a run of 400 test items leaves that gets so many wrong."""
    label = np.arange(400) % 10
    logits = np.eye(10)[(label + (np.arange(400) < wrong)) % 10]
    ids = np.array([f"{n:04}" for n in range(400)])
    write_arrays(folder / "predictions.npz", id=ids, label=label, logits=logits)
    write_json(folder / "config.json", cells.plain(config))
    row = dict(epoch=1, train={"loss": 1.0}, validation={"loss": 1.0})
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    test = dict(accuracy=1 - wrong / 400, macro_f1=1 - wrong / 400, n=400)
    fields = dict(name=config.name, system="S", dataset="bundled", protocol="official", seed=0)
    fields |= dict(
        modalities=["audio"],
        parameters=1,
        epochs=1,
        train_seconds=1.0,
        artifacts=["predictions.npz"],
    )
    prints = dict(data=measured.data_now(config, folder), code=provenance.code())
    told = dict(metrics=dict(validation=test, test=test), fingerprints=prints)
    write_json(folder / "result.json", fields | told)


@pytest.fixture
def runs(monkeypatch) -> Runs:
    made = Runs()
    monkeypatch.setattr(study, "run", made)
    monkeypatch.setattr(study, "WAIT", 0.01)
    # The page has tests of its own: tests/report/test_study_page.py.
    monkeypatch.setattr("fdigits.report.study.write", lambda folder: folder)
    return made


ALL = ["a/seed_0", "b/seed_0", "a/seed_1", "b/seed_1"]


def test_a_study_trains_each_once_and_tells_what_it_found(runs, tmp_path):
    found = study.run_study(tiny(), tmp_path)
    assert runs.done == ALL
    a, b = found["cells"]
    assert a["mean"]["accuracy"] == pytest.approx(0.9875) and a["done"] == 2
    assert a["runs"][1]["intervals"]["accuracy"] == pytest.approx([0.9710, 0.9946], abs=1e-3)
    assert a["reported"]["accuracy"]["interval"] == pytest.approx([0.9743, 0.9804], abs=1e-4)
    assert b["command"].endswith("--config.seed=0 --workdir=runs/tiny-bundled/b/seed_0")
    (compared,) = found["comparisons"]
    assert compared["difference"] == pytest.approx(35 / 400) and compared["p_holm"] < 0.001
    assert [one["only_a"] for one in compared["mcnemar"]] == [35, 35]
    assert found["claims"][0]["reason"].startswith("+8.75 points of accuracy (95 % ")
    assert json.loads((tmp_path / "study.json").read_text()) == json.loads(json.dumps(found))
    study.run_study(tiny(), tmp_path)
    assert runs.done == ALL  # all were found again


def test_items_that_share_a_recording_are_known_by_their_pairs(tmp_path):
    """400 pairs of 40 recordings: whose 4 are wrong, ten pairs each. Nothing but predictions."""
    config = cells.training(tiny(), "a", 0).config
    for reads, low in ((["audio"], 0.80), (["image"], 0.866)):
        leave(resolved(config), tmp_path, wrong=40)
        held = dict(np.load(tmp_path / "predictions.npz"))
        held["id"] = np.array([f"{n:04}|{n // 10}" for n in range(400)])
        write_arrays(tmp_path / "predictions.npz", **held)
        result = json.loads((tmp_path / "result.json").read_text()) | {"modalities": reads}
        write_json(tmp_path / "result.json", result)
        items, reason = measured._read(tmp_path, measured._stamp(tmp_path))
        found = measured._intervals(items)["accuracy"]
        assert not reason and found.low == pytest.approx(low, abs=0.02)
        assert ("audio" in found.method) == (reads == ["audio"])


def test_a_run_whose_predictions_are_lost_has_its_figures_and_says_so(runs, tmp_path):
    study.run_study(tiny(), tmp_path)
    (tmp_path / "a/seed_1/predictions.npz").unlink()
    found = measured.summary(tiny(), tmp_path)
    (_, run), (claimed,) = found["cells"][0]["runs"], found["claims"]
    assert run["metrics"]["accuracy"] and run["intervals"] == {}
    assert "no interval over test items" in run["reason"] and "1 seed" in claimed["reason"]


def test_damaged_inputs_leave_the_predictions(tmp_path):
    leave(resolved(cells.training(tiny(), "a", 0).config), tmp_path, wrong=40)
    (tmp_path / "inputs.npz").write_text("no arrays")
    items, reason = measured._read(tmp_path, measured._stamp(tmp_path))
    assert items.correct_N.sum() == 360 and items.sources.keys() == {"item"}
    assert "inputs.npz" in reason and "predictions.npz" not in reason


def test_a_stage_of_a_seed_of_its_own_is_one_training():
    config = load("r2")
    assert list(measured.own_seeds(config, "judge")) == [0]
    assert list(measured.own_seeds(config, "vae")) == list(config.seeds)


def test_what_a_finished_run_lost_is_made_again(runs, tmp_path, monkeypatch):
    study.run_study(tiny(), tmp_path)
    seen = []
    monkeypatch.setattr(study, "remake", lambda folder, *_: seen.append(folder) or [])
    study.run_study(tiny(), tmp_path)
    assert seen == [tmp_path / folder for folder in ALL] and runs.done == ALL


def test_a_folder_that_cannot_be_written_into_leaves_the_others(runs, tmp_path):
    (tmp_path / "b").write_text("no folder")
    with pytest.raises(UserError, match="2 of 4 runs"):
        study.run_study(tiny(), tmp_path)
    assert runs.done == ["a/seed_0", "a/seed_1"]
    assert (tmp_path / "b").read_text() == "no folder"


def test_items_are_compared_by_what_is_known_of_them_with_every_seed():
    """A run may have lost its inputs, which tell which items are one recording."""

    def items(**sources):
        ids, label = np.array(["a", "b", "c", "d"]), np.array([0, 1, 2, 3])
        return Items.of(ids, label, np.array([0, 1, 2, 0]), sources)

    told, lost = items(audio=np.array([0, 0, 1, 1])), items()
    for pair in ([{0: told, 1: lost}] * 2, [{0: lost, 1: told}, {0: told, 1: told}]):
        assert contrast(pair, (1, -1)).difference == 0
    assert contrast([{0: told, 1: lost}], (1,)) == contrast([{0: lost, 1: lost}], (1,))


def test_a_run_that_fails_leaves_the_others_and_is_tried_again(runs, tmp_path, capsys):
    runs.fails = {"b/seed_0": MemoryError("out of memory\nmore"), "a/seed_1": UserError("no data")}
    with pytest.raises(UserError, match=r"2 of 4 runs .* failed: b/seed_0: MemoryError: out of me"):
        study.run_study(tiny(), tmp_path)
    assert runs.done == ALL
    found = json.loads((tmp_path / "study.json").read_text())
    b = found["cells"][1]["runs"]
    assert [one["status"] for one in b] == ["failed", "done"]
    assert b[0]["reason"] == "MemoryError: out of memory"
    assert found["claims"][0] == found["claims"][0] | dict(verdict="undecided")
    runs.fails = {}
    study.run_study(tiny(), tmp_path)
    assert runs.done == [*ALL, "b/seed_0", "a/seed_1"]
    assert not list(tmp_path.rglob("failed.json"))


def test_a_full_disk_ends_it_and_so_does_the_person(runs, tmp_path):
    for error in (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()):
        runs.fails, runs.done = {"b/seed_0": error}, []
        with pytest.raises(type(error)):
            study.run_study(tiny(), tmp_path)
        assert runs.done[-1] == "b/seed_0" and not list(tmp_path.rglob("failed.json"))
    found = json.loads((tmp_path / "study.json").read_text())
    assert [run["status"] for run in found["cells"][1]["runs"]] == ["missing", "missing"]


def test_a_run_in_another_process_is_waited_for(runs, tmp_path, monkeypatch):
    at_work = held(tmp_path / "a/seed_0")
    at_work.__enter__()
    plain = time.sleep

    def sleep(seconds):
        """Meanwhile the other process ends."""
        if seconds != study.WAIT:  # the lock's own
            return plain(seconds)
        assert runs.done == ALL[1:]
        found = json.loads((tmp_path / "study.json").read_text())
        assert found["cells"][0]["runs"][0]["status"] == "running"
        config = cells.training(tiny(), "a", 0).config
        leave(resolved(config), tmp_path / "a/seed_0", wrong=5)
        at_work.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", sleep)
    found = study.run_study(tiny(), tmp_path)
    assert runs.done == ALL[1:] and found["cells"][0]["done"] == 2


def test_a_run_that_began_elsewhere_meanwhile_is_left_to_it(runs, tmp_path):
    runs.fails = {"a/seed_0": Busy("another run is at work")}
    study._train([cells.training(tiny(), "a", 0)], tmp_path)
    assert not list(tmp_path.rglob("failed.json"))


def test_an_accelerator_has_all_seeds_of_a_cell_at_once(runs, tmp_path, monkeypatch):
    """And each by itself where that fails."""
    together = []

    def run_seeds(config, folder, seeds, page):
        together.append((folder.name, list(seeds)))
        if folder.name == "b":
            raise MemoryError("too much at once")
        for seed in seeds:
            one = cells.training(tiny(), folder.name, seed)
            runs(one.config, folder / f"seed_{seed}", page)

    monkeypatch.setattr(study, "at_once", lambda: True)
    monkeypatch.setattr(study, "run_seeds", run_seeds)
    found = study.run_study(tiny(), tmp_path)
    assert together == [("a", [0, 1]), ("b", [0, 1])]
    assert runs.done == ["a/seed_0", "a/seed_1", "b/seed_0", "b/seed_1"]
    assert [one["done"] for one in found["cells"]] == [2, 2]


def test_a_folder_of_another_config_is_named_and_left(runs, tmp_path):
    study.run_study(tiny(), tmp_path)
    config = tiny()
    config.cells.b.overrides = "epochs=3"
    before = (tmp_path / "b/seed_0/result.json").read_bytes()
    with pytest.raises(UserError, match=r"b/seed_0 belongs to another config \(epochs: 2 there, 3"):
        study.run_study(config, tmp_path)
    assert (tmp_path / "b/seed_0/result.json").read_bytes() == before and runs.done == ALL


@pytest.mark.parametrize("what", ["code", "data"])
def test_runs_of_other_code_or_data_are_told_kept_or_trained_again(runs, tmp_path, what):
    study.run_study(tiny(), tmp_path)
    file = tmp_path / "a/seed_1/result.json"
    result = json.loads(file.read_text())
    result["fingerprints"][what] = "0" * 64
    write_json(file, result)
    with pytest.raises(UserError, match=f"a/seed_1: the {what} .*00000000 there, .*changed=keep"):
        study.run_study(tiny(), tmp_path)
    config = tiny()
    config.changed = "keep"
    kept = study.run_study(config, tmp_path)["cells"][0]
    assert kept["done"] == 2 and "00000000 there" in kept["runs"][1]["reason"]
    assert runs.done == ALL
    config.changed = "again"
    assert study.run_study(config, tmp_path)["cells"][0]["runs"][1]["reason"] == ""
    assert runs.done == [*ALL, "a/seed_1"]
    aside = json.loads((tmp_path / "a/seed_1.before/result.json").read_text())
    assert aside["fingerprints"][what] == "0" * 64


def test_a_stage_is_a_cell_of_its_own(runs, tmp_path):
    config = tiny()
    fusion = cell("F", "configs/conv1d_fusion.py", "epochs=1")
    made = {"fusion": fusion} | {"image": cells.stage_of({"fusion": fusion}, "I", "fusion/image")}
    with config.unlocked():
        config.cells, config.claims = ConfigDict(made), ConfigDict()
    plan = study.cells(config)
    assert [one.folder for one in plan] == ["fusion/seed_0", "fusion/seed_1"]
    whole = resolved(plan[0].config)
    leave(resolved(cells.shown(config, "image", 0)), tmp_path / "fusion/seed_0/image", wrong=7)
    rows = {one["name"]: one for one in measured.summary(config, tmp_path)["cells"]}
    assert rows["image"]["runs"][0]["workdir"] == "fusion/seed_0/image" and rows["image"]["done"]
    assert rows["fusion"]["runs"][0]["status"] == "missing" and not rows["fusion"]["done"]
    leave(whole, tmp_path / "fusion/seed_0", wrong=3)
    rows = {one["name"]: one for one in measured.summary(config, tmp_path)["cells"]}
    assert rows["fusion"]["mean"]["accuracy"] == pytest.approx(397 / 400)


def test_other_code_of_an_earlier_stage_is_told(runs, tmp_path):
    config = tiny()
    with config.unlocked():
        made = {"fusion": cell("F", "configs/conv1d_fusion.py", "epochs=1")}
        config.cells, config.claims = ConfigDict(made), ConfigDict()
    one = cells.training(config, "fusion", 0)
    folder = tmp_path / one.folder
    leave(resolved(one.config), folder, wrong=3)
    leave(resolved(cells.stage_config(one.config, "image")), folder / "image", wrong=3)
    assert measured.state(one, config, tmp_path).status == "done"
    result = json.loads((folder / "image/result.json").read_text())
    result["fingerprints"]["code"] = "0" * 64
    write_json(folder / "image/result.json", result)
    found = measured.state(one, config, tmp_path)
    assert found.changed and "stage image: the code" in found.reason


# Whole studies, trained.

MADE_UP = """
from fdigits.cells import cell, claim, numbered, study

def get_config(arg=""):
    small = "epochs=3,data.limit=200,batch_size=20,chunk=10"
    cells = {
        "cnn": cell("CNN", "configs/audio.py", small),
        "lstm": cell("LSTM", "configs/audio.py:net=lstm", small),
    }
    claims = numbered([claim("CNN beats LSTM", "beats", "cnn", "lstm")])
    return study("made_up", "bundled", seeds=(0, 1), cells=cells, claims=claims)
"""
SAME = ("seed", "workdir", "status", "metrics", "validation", "intervals", "fingerprints")


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    file = tmp_path_factory.mktemp("study") / "made_up.py"
    file.write_text(MADE_UP)
    return [sys.executable, "-m", "tests.no_page", f"--config={file}"]


def figures(workdir: Path) -> dict:
    """`study.json` without times and where it ran."""
    found = json.loads((workdir / "study.json").read_text())
    for one in found["cells"]:
        one["runs"] = [{name: run[name] for name in SAME} for run in one["runs"]]
    return found


def start(command: list[str], workdir: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(command: list[str], workdir: Path) -> dict:
    process = start(command, workdir)
    _, told = process.communicate()
    assert process.returncode == 0, told
    return figures(workdir)


@pytest.fixture(scope="module")
def unbroken(command, tmp_path_factory) -> dict:
    workdir = tmp_path_factory.mktemp("unbroken")
    found = finish([command[0], "launch.py", *command[3:]], workdir)
    assert (workdir / "report.html").stat().st_size > 10_000
    return found


@pytest.mark.slow
def test_killed_in_three_runs_the_table_equals_the_unbroken_one(command, unbroken, tmp_path):
    assert [one["done"] for one in unbroken["cells"]] == [2, 2]
    for moment in ("epoch   2/", "lstm/seed_0", "cnn/seed_1"):
        whole = [*command, f"--workdir={tmp_path}"]
        process = subprocess.Popen(whole, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert any(line.startswith(moment) for line in process.stdout), moment
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "cnn/seed_0/result.json").exists()
    assert not (tmp_path / "lstm/seed_1").exists()
    assert finish(command, tmp_path) == unbroken


@pytest.mark.slow
def test_two_processes_do_no_run_twice(command, unbroken, tmp_path):
    both = [start(command, tmp_path) for _ in range(2)]
    for process in both:
        _, told = process.communicate()
        assert process.returncode == 0, told
    assert figures(tmp_path) == unbroken
    for folder in tmp_path.glob("*/seed_*"):
        assert len(list((folder / "events").iterdir())) == 1, folder  # a file for each start


@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        (claim("A beats nothing", "beats", "a"), "beats needs cells in a, and b"),
        (claim("A rises by itself", "rises", "a"), "rises needs two cells"),
        (claim("They fall nowhere", "falls", ("a", "b")), "each at its own x"),
    ],
)
def test_a_claim_that_compares_nothing_is_refused(claimed, told):
    config = tiny()
    config.claims = numbered([claimed])
    with pytest.raises(UserError, match=told):
        cells.check(config)


def test_another_studys_folder_keeps_its_tables(runs, tmp_path):
    study.run_study(tiny(), tmp_path)
    before = (tmp_path / "study.json").read_bytes()
    other = tiny()
    other.name = "other-bundled"
    with pytest.raises(UserError, match=r"holds the study tiny-bundled, this is other-bundled"):
        study.run_study(other, tmp_path)
    assert (tmp_path / "study.json").read_bytes() == before


def test_a_result_without_a_config_is_not_taken(runs, tmp_path):
    study.run_study(tiny(), tmp_path)
    (tmp_path / "a/seed_0/config.json").unlink()
    found = measured.state(cells.training(tiny(), "a", 0), tiny(), tmp_path)
    assert found.status == "failed" and "no config.json" in found.reason


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--seeds=0,00"], "--seeds=0,00: give different"),
        (["--config.epoch=1"], "unknown config field 'epoch'"),
        (["--workdir=/proc/nope"], "cannot write into /proc/nope"),
        (["--process=1"], "start the same command as often"),
    ],
)
def test_wrong_flags_of_a_study_are_one_line(flags, told):
    command = [sys.executable, "launch.py", "--config=configs/studies/r3.py", *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
