import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.steps import (
    CONFIGS,
    batch_at,
    floats,
    load_config,
    random_chunk,
    relative_table,
    relative_times,
)
from fdigits.stages import classify

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


@pytest.mark.parametrize("model", CONFIGS)
def test_peers_read_what_fdigits_reads(model):
    config = load_config(model)
    with config.unlocked():
        config.chunk, config.batch_size = 2, 3
    chunk = random_chunk(config)
    ours = classify.make(config).inputs(batch_at(chunk, 1))
    theirs = batch_at(floats(config, chunk), 1)
    assert theirs.keys() == ours.keys() | {"label"}
    for name, array in ours.items():
        assert theirs[name].dtype == np.float32
        np.testing.assert_allclose(theirs[name], array, atol=1e-6)


@pytest.mark.parametrize("model", CONFIGS)
def test_peers_have_the_same_parameters_and_take_a_step(model, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import peers

    config = load_config(model)
    with config.unlocked():
        config.chunk, config.batch_size = 1, 2
    chunk = random_chunk(config)
    stage = classify.make(config)
    shapes = jax.eval_shape(stage.init, jax.random.key(0), batch_at(chunk, 0))
    own = sum(x.size for x in jax.tree.leaves(shapes["params"]))
    second_bias = 2 * 256 if "lstm" in model else 0
    assert peers.parameters(config.model) == own + second_bias
    run = peers.runner(config, [batch_at(floats(config, chunk), 0)])
    assert run() == 1


def rates(chunk, torch):
    return {"steps_per_second": {"step": [1.0], "chunk": chunk, "torch": torch}}


def test_times_are_relative_to_the_model_without_attention():
    results = {
        "attention_base": rates([100.0, 60.0, 80.0], [40.0, 40.0, 41.0]),
        "attention_se": rates([50.0, 40.0, 10.0], [20.0, 32.0, 40.0]),
        "spectrogram_cbam": rates([1.0], [1.0]),
    }
    relative = relative_times(results)
    assert relative == {"attention_se": {"chunk": 2.0, "torch": 1.25, "reported": 1.08}}
    assert relative_table(relative, ["torch"]).row_count == 1
