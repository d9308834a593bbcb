"""Whole runs through the door, as a person starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--config=configs/image.py", "--config.data.limit=96", "--config.epochs=6"]


def command(*flags: str) -> list[str]:
    return [sys.executable, "launch.py", *flags]


def launch(*flags: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*flags), cwd=ROOT, capture_output=True, text=True, env=os.environ | env
    )


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """All parameters of the latest checkpoint, by path."""
    import jax
    import orbax.checkpoint as ocp

    epoch = max(int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit())
    tree = ocp.StandardCheckpointer().restore(folder / "checkpoints" / str(epoch) / "state")
    leaves = jax.tree_util.tree_leaves_with_path({k: tree[k] for k in ("params", "opt_state")})
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("whole")
    done = launch(*SMALL, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    return workdir


def test_a_run_leaves_what_the_readme_says(finished):
    result = json.loads((finished / "result.json").read_text())
    assert result["system"] == "ImageNet_CNN" and result["dataset"] == "bundled"
    assert result["parameters"] == 421_834 and result["epochs"] == 6 and result["steps"] == 18
    assert result["steps_per_second"] > 0 and result["train_seconds"] > 0
    test = result["metrics"]["test"]
    assert test["n"] == 96 and np.sum(test["confusion"]) == 96 and len(test["per_class"]) == 10
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    best = max(rows, key=lambda row: row["validation"]["accuracy"])
    assert result["best_epoch"] == best["epoch"]
    predictions = np.load(finished / "predictions.npz")
    assert predictions["logits"].shape == (96, 10) and len(set(predictions["id"])) == 96
    accuracy = (predictions["logits"].argmax(1) == predictions["label"]).mean()
    assert accuracy == pytest.approx(test["accuracy"])
    assert (finished / "report.html").exists() and list((finished / "figures").glob("*.png"))
    assert list((finished / "events").iterdir())


def test_a_finished_run_says_so_and_changes_nothing(finished):
    before = {p: p.stat().st_mtime_ns for p in (finished / "checkpoints").rglob("*")}
    done = launch(*SMALL, f"--workdir={finished}")
    assert done.returncode == 0 and "is finished" in done.stdout and "ImageNet_CNN" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (finished / "checkpoints").rglob("*")}


def test_a_workdir_of_another_config_is_refused_with_the_fields(finished):
    done = launch(*SMALL, f"--workdir={finished}", "--config.seed=1")
    assert done.returncode == 2
    assert "seed: 0 there, 1 here" in done.stderr and len(done.stderr.splitlines()) == 1


def test_killed_in_mid_epoch_and_started_again_equals_the_unbroken_run(finished, tmp_path):
    flags = [*SMALL, f"--workdir={tmp_path}"]
    process = subprocess.Popen(command(*flags), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch   3/"):
            break
    time.sleep(0.05)  # into the fourth epoch
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "result.json").exists()
    done = launch(*flags)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch" in done.stdout
    for name in ("metrics.jsonl", "statistics.json"):
        if (finished / name).exists():
            assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    ours, theirs = arrays(tmp_path), arrays(finished)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    for name in ("predictions.npz", "embeddings.npz"):
        a, b = np.load(tmp_path / name), np.load(finished / name)
        assert all((a[k] == b[k]).all() for k in a.files)


def test_an_unknown_data_set_names_the_nearest(tmp_path):
    done = launch("--config=configs/image.py:mnst", f"--workdir={tmp_path}")
    assert done.returncode == 2 and "mnist" in done.stderr and len(done.stderr.splitlines()) == 1


HIDE = """
import sys
for name in ("tensorflow", "tensorflow_datasets", "librosa", "soundfile", "sklearn", "scipy.signal",
             "matplotlib", "tensorboard", "pandas", "joblib"):
    sys.modules[name] = None
sys.argv = ["launch.py", *sys.argv[1:]]
import runpy
runpy.run_path("launch.py", run_name="__main__")
"""


def test_the_prepared_cache_alone_trains_and_tests_the_same(tmp_path):
    """Without the sources, TensorFlow, librosa or scikit-learn: same numbers to rounding."""
    rng = np.random.default_rng(0)
    source = tmp_path / "data" / "written_spoken"
    source.mkdir(parents=True)
    for part, n in (("train", 400), ("test", 100)):
        label = np.arange(n) % 10
        np.save(source / f"labels_{part}.npy", label)
        wr = np.clip(label[:, None] * 20 + rng.integers(0, 60, (n, 784)), 0, 255)
        np.save(source / f"data_wr_{part}.npy", wr.astype(np.uint8))
        sp = rng.normal(size=(10, 507))[label] + rng.normal(size=(n, 507))
        np.save(source / f"data_sp_{part}.npy", sp.astype(np.float32))
    flags = [
        "--config=configs/audio.py:written_spoken",
        "--config.epochs=2",
        f"--config.data.cache={tmp_path / 'cache'}",
    ]
    first = launch(
        *flags, f"--config.data.dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'with'}"
    )
    assert first.returncode == 0, first.stderr
    absent = [*flags, f"--config.data.dir={tmp_path / 'none'}", f"--workdir={tmp_path / 'without'}"]
    second = subprocess.run(
        [sys.executable, "-c", HIDE, *absent], cwd=ROOT, capture_output=True, text=True
    )
    assert second.returncode == 0, second.stderr
    a, b = (np.load(tmp_path / w / "predictions.npz") for w in ("with", "without"))
    np.testing.assert_array_equal(a["id"], b["id"])
    np.testing.assert_allclose(a["logits"], b["logits"], rtol=1e-4, atol=1e-5)
