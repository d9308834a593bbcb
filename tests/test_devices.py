"""However many devices or processes share a batch, the numbers are those of one, but for the order
in which float32 adds up."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from fdigits import devices
from fdigits.errors import Diverged, UserError

ROOT = Path(__file__).parents[1]
LOSSES, OTHERS = 1e-5, 1e-4  # tolerance, relative and absolute, of losses; of scores and weights


def start(out: Path, *arguments: str, count: int = 1) -> subprocess.Popen:
    """`tests/many_devices.py` on so many simulated devices."""
    flags = f"--xla_force_host_platform_device_count={count}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.many_devices", str(out), *arguments],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def finish(*processes: subprocess.Popen) -> None:
    for process in processes:
        _, told = process.communicate(timeout=500)
        assert process.returncode == 0, told


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("devices")
    finish(start(out, count=8))
    return json.loads((out / "told.json").read_text())


def assert_close(ours: dict, theirs: dict) -> None:
    for name in ("logits", "weights"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=OTHERS, atol=OTHERS)
    assert len(ours["history"]) == len(theirs["history"]) == 2
    for row, other in zip(ours["history"], theirs["history"], strict=True):
        for part in ("train", "validation"):
            assert row[part] == pytest.approx(other[part], rel=LOSSES, abs=LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("other", ["2", "8", "1 then 8", "8 then 1", "beside another"])
def test_several_devices_and_changes_of_their_number_train_the_same(told, other):
    assert_close(told[other], told["1"])
    loss = [row["train"]["loss"] for row in told[other]["history"]]
    assert loss[1] < 0.8 * loss[0]  # something was learnt


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_goes_on_from_their_checkpoint(told, tmp_path):
    from tests.many_devices import Loop

    port = free_port()
    finish(*(start(tmp_path, port, str(process)) for process in range(2)))
    theirs = json.loads((tmp_path / "told.json").read_text())
    for feeder in ("device", "host"):
        assert_close(theirs[feeder], told["1"])
    loop = Loop(tmp_path, devices.one())
    loop.fit(tmp_path / "device")  # nothing is left to do
    assert loop.progress.epoch == 2
    assert_close(loop.told(), theirs["device"])


def launched(port: str, *flags: str) -> list[subprocess.CompletedProcess]:
    """A run by two processes, as a person starts them."""
    small = ["--config=configs/audio.py", "--config.data.limit=100", "--config.epochs=2"]
    small += ["--config.batch_size=20", "--config.chunk=5", *flags]
    joined = [f"--coordinator=localhost:{port}", "--processes=2"] if port else []
    started = [
        subprocess.Popen(
            [sys.executable, "launch.py", *small, *joined, *([f"--process={i}"] if port else [])],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2 if port else 1)
    ]
    told = [process.communicate(timeout=500) for process in started]
    return [
        subprocess.CompletedProcess([], process.returncode, *both)
        for process, both in zip(started, told, strict=True)
    ]


@pytest.mark.slow
def test_two_processes_leave_the_run_of_one_and_tell_once(tmp_path):
    """Whether they train, find it finished, or are refused."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert launched("", f"--workdir={one}")[0].returncode == 0
    for words in ("are tested", "is finished"):
        first, second = launched(free_port(), f"--workdir={two}")
        assert first.returncode == second.returncode == 0, first.stderr + second.stderr
        assert words in first.stdout and "AudioNet_CNN" in first.stdout
        assert not [line for line in second.stdout.splitlines() if "Gloo" not in line]
    names = [{str(x.relative_to(at)) for x in at.glob("*.*")} for at in (one, two)]
    assert names[0] == names[1] and "report.html" in names[0]
    ours, theirs = (np.load(at / "predictions.npz") for at in (two, one))
    np.testing.assert_array_equal(ours["id"], theirs["id"])
    np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=OTHERS, atol=OTHERS)
    first, second = launched(free_port(), f"--workdir={two}", "--config.seed=4")
    assert first.returncode == second.returncode == 2
    assert "seed: 0 there, 4 here" in first.stderr and "error" not in second.stderr


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return str(free.getsockname()[1])


def test_as_many_devices_share_a_batch_as_divide_it(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: list(range(8)))
    monkeypatch.setattr(devices, "Mesh", lambda found, names: len(found))
    assert [devices.over(size) for size in (32, 20, 7, 1, 0)] == [8, 5, 7, 1, 8]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert devices.over(32) == 8
    with pytest.raises(UserError, match="batch_size 20 cannot be shared evenly by 8 devices"):
        devices.over(20)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "error, other",
    [
        (Diverged("the loss is nan"), (Diverged, Diverged)),
        (UserError("no such file"), (UserError, SystemExit)),
        (OSError("no room"), (UserError, SystemExit)),
    ],
)
def test_what_one_of_two_processes_meets_ends_it_in_both(error, other, place, monkeypatch):
    """Process `place` meets it; each is asked what it makes of what both have sent."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    def agree_as(process, gathered):
        def fails():
            if process == place:
                raise error
            return "fine"

        monkeypatch.setattr(jax, "process_index", lambda: process)
        monkeypatch.setattr(devices.multihost_utils, "process_allgather", gathered)
        return devices.agree(fails)

    def said(process):
        heard, nothing = [], np.zeros((1, devices.TOLD), np.uint8)
        with contextlib.suppress(BaseException):
            agree_as(process, lambda line: heard.append(line) or nothing)
        return heard[0]

    lines = np.stack([said(0), said(1)])
    for process in (0, 1):
        kind = type(error) if process == place else other[process]
        if process == place == 1 and isinstance(error, UserError):
            kind = other[1]
        with pytest.raises(kind) as caught:
            agree_as(process, lambda line: lines)
        assert type(caught.value) is kind
        if process == 0:
            assert str(caught.value) == ("process 1: " if place else "") + str(error)


def test_processes_join_when_a_launcher_started_several(monkeypatch):
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given: calls.append(given))
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    devices.join()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    devices.join()
    assert not calls
    devices.join("auto")
    devices.join("node:1234", 2, 0)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    devices.join()
    assert calls == [(), ("node:1234", 2, 0), ()]
    for given in (("node:1234",), ("node:1234", 2), ("", 2, 1), ("auto", 2, 1)):
        with pytest.raises(UserError, match="belong together"):
            devices.join(*given)
