"""Runs that are killed in the middle of an epoch, and started again."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from fdigits import checkpoint

ROOT = Path(__file__).parents[2]


def kill(command: list[str], stage: str) -> str:
    """Runs until three epochs of a stage are done, kills it, and returns what it said."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    told, there = "", False
    for line in process.stdout:
        told += line
        there |= stage in line
        if there and line.startswith("epoch   3/"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert there
    return told


def run(spec: str, workdir: Path, stages: list[str], fields: Sequence[str] = ()) -> None:
    """Runs a short config, killed once in each stage (told by what its first line holds), and then
    to its end."""
    command = [sys.executable, "-m", "tests.tasks.short", str(workdir), spec, *fields]
    told = [kill(command, stage) for stage in stages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for later in (*told[1:], done.stdout):
        assert "going on after epoch" in later


def assert_same(workdir: Path, other: Path) -> None:
    """Both runs left the same weights and figures, bit for bit."""
    assert (workdir / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    ours, theirs = (json.loads((at / "result.json").read_text()) for at in (workdir, other))
    assert ours["metrics"] == theirs["metrics"] and ours["epochs"] == theirs["epochs"]
    weights = [checkpoint.weights(at / "checkpoints", ours["epochs"]) for at in (workdir, other)]
    jax.tree.map(np.testing.assert_array_equal, *weights)
