import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def steps(*flags):
    command = [sys.executable, ROOT / "benchmarks" / "steps.py", *flags]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=env)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--models=image_cn", "image_cnn"),
        ("--peers=torhc", "torch"),
        ("--rounds=0", "rounds"),
        ("--seconds=-1", "seconds"),
    ],
)
def test_wrong_flags_are_one_line(flag, message):
    done = steps(flag)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_rates_of_every_round_are_written(tmp_path):
    file = tmp_path / "steps.json"
    done = steps(
        "--models=audio_lstm", "--peers=", "--rounds=2", "--seconds=0.01", f"--json={file}"
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(file.read_text())
    model = written["models"]["audio_lstm"]
    assert all(len(rates) == 2 and min(rates) > 0 for rates in model["steps_per_second"].values())
    assert model["parameters"] == {"fdigits": 57_802}
    assert written["hardware"] and written["versions"]["jax"]
