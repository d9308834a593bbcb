"""Whole runs through the door, as a person starts them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from fdigits.files import LOCK, held
from fdigits.workdir import refuse_other

ROOT = Path(__file__).parents[1]
SMALL = ["--config=configs/audio.py", "--config.data.limit=1000", "--config.epochs=6"]
SMALL += ["--config.batch_size=20", "--config.chunk=10"]


def command(*flags: str) -> list[str]:
    return [sys.executable, "launch.py", *flags]


def without_page(*flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.no_page", *flags], cwd=ROOT, capture_output=True, text=True
    )


def launch(*flags: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*flags), cwd=ROOT, capture_output=True, text=True, env=os.environ | env
    )


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """The whole state in the latest checkpoint, by path."""
    import jax
    import orbax.checkpoint as ocp

    epoch = max(int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit())
    tree = ocp.StandardCheckpointer().restore(folder / "checkpoints" / str(epoch) / "state")
    tree["key"] = jax.random.key_data(tree["key"])
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    held = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    for part in ("params", "batch_stats", "opt_state", "plateau", "key", "step"):
        assert any(path.startswith(f"['{part}']") for path in held), part
    return held


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("whole")
    done = launch(*SMALL, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    return workdir


def test_a_run_leaves_what_the_readme_says(finished):
    result = json.loads((finished / "result.json").read_text())
    assert result["system"] == "AudioNet_CNN" and result["dataset"] == "bundled"
    assert result["parameters"] == 241_610 and result["epochs"] == 6 and result["steps"] == 300
    assert result["steps_per_second"] > 0 and result["train_seconds"] > 0
    validation, test = result["metrics"]["validation"], result["metrics"]["test"]
    for part in (validation, test):
        assert np.sum(part["confusion"]) == part["n"] and len(part["per_class"]) == 10
    assert test["n"] == 400
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    best = max(rows, key=lambda row: row["validation"]["accuracy"])
    assert result["best_epoch"] == best["epoch"]
    for name, value in best["validation"].items():
        assert validation[name] == pytest.approx(value)
    predictions = np.load(finished / "predictions.npz")
    assert predictions["logits"].shape == (400, 10) and len(set(predictions["id"])) == 400
    accuracy = (predictions["logits"].argmax(1) == predictions["label"]).mean()
    assert accuracy == pytest.approx(test["accuracy"])
    assert (finished / "report.html").exists() and list((finished / "figures").glob("*.png"))
    assert list((finished / "events").iterdir())


def test_a_finished_run_says_so_and_changes_nothing(finished):
    before = {p: p.stat().st_mtime_ns for p in (finished / "checkpoints").rglob("*")}
    done = without_page(*SMALL, f"--workdir={finished}")
    assert done.returncode == 0 and "is finished" in done.stdout and "AudioNet_CNN" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (finished / "checkpoints").rglob("*")}


def test_a_workdir_of_another_config_is_refused_with_the_fields(finished):
    config = json.loads((finished / "config.json").read_text())
    moved = config | {"chunk": 7, "data": config["data"] | {"feeder": "host", "dir": "elsewhere"}}
    refuse_other(finished, ConfigDict(moved))  # they change no number
    done = launch(*SMALL, f"--workdir={finished}", "--config.seed=1")
    assert done.returncode == 2
    assert "seed: 0 there, 1 here" in done.stderr and len(done.stderr.splitlines()) == 1


MOMENTS = ("audio_cnn-bundled:", "epoch   1/", "epoch   4/", "6 of 6 epochs", "test results")


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_equals_the_unbroken_run(finished, tmp_path):
    """While it starts, trains, writes a checkpoint, is tested or draws its page."""
    flags, told = [*SMALL, f"--workdir={tmp_path}"], []
    for moment, later in zip(MOMENTS, np.random.default_rng(0).uniform(0, 0.4, 5), strict=True):
        process = subprocess.Popen(command(*flags), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            told.append(line)
            if line.strip().startswith(moment):
                break
        time.sleep(later)
        assert process.poll() is None, moment
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any("going on after epoch" in line for line in told)
    done = without_page(*flags)
    assert done.returncode == 0 and "is finished" in done.stdout, done.stderr
    assert_equal(tmp_path, finished)


def assert_equal(ours: Path, theirs: Path) -> None:
    """Two runs left the same state, history and figures, bit for bit."""
    for name in ("metrics.jsonl", "statistics.json"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    state, other = arrays(ours), arrays(theirs)
    assert state.keys() == other.keys()
    for name in state:
        np.testing.assert_array_equal(state[name], other[name])
    for name in ("predictions.npz", "embeddings.npz"):
        a, b = np.load(ours / name), np.load(theirs / name)
        assert all((a[k] == b[k]).all() for k in a.files)


def test_an_unknown_data_set_names_the_nearest(tmp_path):
    done = launch("--config=configs/image.py:mnst", f"--workdir={tmp_path}")
    assert done.returncode == 2 and "mnist" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "config.json").exists()  # the corrected command may have the workdir


def test_broken_sources_are_one_line(tmp_path):
    """The reasons are tested where they arise; here, that they reach a person as they should."""
    fsdd, npy = tmp_path / "fsdd", tmp_path / "written_spoken"
    for folder in (fsdd, npy, tmp_path / "mnist"):
        folder.mkdir()
    (fsdd / "3_theo_0.wav").write_text("<html>not found</html>")
    for name in ("t10k-images-idx3", "t10k-labels-idx1", "train-images-idx3", "train-labels-idx1"):
        (tmp_path / "mnist" / f"{name}-ubyte").write_bytes(b"\0\0\x08\x03\0")
    for part in ("train", "test"):
        np.save(npy / f"data_wr_{part}.npy", np.zeros((10, 784)))
        np.save(npy / f"data_sp_{part}.npy", np.full((10, 507), np.nan))
        np.save(npy / f"labels_{part}.npy", np.arange(10))
    here = [f"--config.data.{name}={tmp_path}" for name in ("dir", "cache")]
    for config, told in [
        ("audio.py:fsdd", "3_theo_0.wav: not a readable wav"),
        ("image.py:mnist", "train-images-idx3-ubyte: cut"),
        ("hybrid.py:written_spoken", "NaN"),
        ("audio.py:audio_mnist", f"into {tmp_path}"),
    ]:
        done = launch(f"--config=configs/{config}", *here, f"--workdir={tmp_path / 'w'}")
        assert done.returncode == 2 and told in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "w").exists()


def test_the_home_folder_is_no_folder_called_tilde(tmp_path):
    """No shell puts it into `--workdir=~/x`."""
    (tmp_path / "mine.py").write_text((ROOT / "configs" / "audio.py").read_text())
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "config.json").write_text("[")
    done = launch("--config=~/mine.py", "--workdir=~/runs", HOME=str(tmp_path))
    assert done.returncode == 2 and str(tmp_path / "runs" / "config.json") in done.stderr


def test_another_run_at_work_is_one_line_and_unharmed(finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*") if p.is_file()}
    with held(workdir):
        done = launch(*SMALL, f"--workdir={workdir}")
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
        assert f"another run is at work in {workdir}" in done.stderr
        after = {p: p.stat().st_mtime_ns for p in before}
    assert after == before and not (workdir / LOCK).exists()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_was_there_stays(tmp_path):
    """Files can grow to 200 kB, which a checkpoint's do not do with."""
    limit = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000,) * 2); "
    limit += "os.execv(sys.argv[1], sys.argv[1:])"
    flags = [*SMALL, "--config.data.limit=100", f"--workdir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", limit, *command(*flags)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert f"no room to write: {tmp_path / 'checkpoints'}" in done.stderr
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 6


def test_a_workdir_that_is_none_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("[")
    for workdir in ("file", "other"):
        done = launch(*SMALL, f"--workdir={tmp_path / workdir}")
        assert done.returncode == 2 and str(tmp_path / workdir) in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


HIDE = """
import sys
for name in ("tensorflow", "tensorflow_datasets", "librosa", "soundfile", "sklearn", "scipy.signal",
             "matplotlib", "tensorboard", "pandas", "joblib", "PIL"):
    sys.modules[name] = None
sys.argv = ["launch.py", *sys.argv[1:]]
import runpy
runpy.run_path("launch.py", run_name="__main__")
"""


@pytest.mark.slow
def test_the_prepared_cache_alone_trains_and_tests_the_same(tmp_path):
    """Without the sources, TensorFlow, librosa or scikit-learn: same numbers to rounding."""
    rng = np.random.default_rng(0)
    source = tmp_path / "data" / "written_spoken"
    source.mkdir(parents=True)
    for part, n in (("train", 200), ("test", 50)):
        label = np.arange(n) % 10
        np.save(source / f"labels_{part}.npy", label)
        wr = np.clip(label[:, None] * 20 + rng.integers(0, 60, (n, 784)), 0, 255)
        np.save(source / f"data_wr_{part}.npy", wr.astype(np.uint8))
        sp = rng.normal(size=(10, 507))[label] + rng.normal(size=(n, 507))
        np.save(source / f"data_sp_{part}.npy", sp.astype(np.float32))
    flags = [
        "--config=configs/hybrid.py:written_spoken",
        "--config.epochs=2",
        f"--config.data.cache={tmp_path / 'cache'}",
    ]
    given = [f"--config.data.dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'with'}"]
    first = without_page(*flags, *given)
    assert first.returncode == 0, first.stderr
    absent = [*flags, f"--config.data.dir={tmp_path / 'none'}", f"--workdir={tmp_path / 'without'}"]
    second = subprocess.run(
        [sys.executable, "-c", HIDE, *absent], cwd=ROOT, capture_output=True, text=True
    )
    assert second.returncode == 0, second.stderr
    a, b = (np.load(tmp_path / w / "predictions.npz") for w in ("with", "without"))
    np.testing.assert_array_equal(a["id"], b["id"])
    np.testing.assert_allclose(a["logits"], b["logits"], rtol=1e-4, atol=1e-5)
