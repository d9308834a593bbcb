"""Trains a small model over several devices; `tests/test_devices.py` runs this in processes of
their own, as JAX is told how many devices to simulate before it starts.

python -m tests.many_devices OUT [PORT PROCESS]
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from fdigits import devices, together, train
from fdigits.checkpoint import Checkpoints
from fdigits.config import base
from fdigits.data import pipeline
from fdigits.examples import prepared, resolved
from fdigits.tasks.classify import Classify
from tests.test_train import Small


class Loop:
    """Two epochs over bundled pictures."""

    def __init__(self, out: Path, mesh: Mesh, feeder: str = "device", seed: int = 0):
        self.config = base("small", "bundled")
        self.config.model.name = "image"
        self.config.update(dict(epochs=2, batch_size=16, chunk=4, seed=seed))
        # Adam makes whole steps of the rounding in gradients that BatchNorm cancels.
        self.config.optimizer.update(dict(name="sgd", learning_rate=0.03, momentum=0.9))
        self.config.data.update(dict(limit=164, cache=str(out / "cache")))
        self.config = resolved(self.config)
        task = self.task = Classify(Small(), self.config)
        self.examples = prepared(self.config, task, out)
        self.feeder = pipeline.make_feeder(feeder, self.examples.arrays, mesh)
        self.config.data.feeder = feeder
        state = train.create_state(task, self.config, self.examples.sample(), 10)
        self.state, self.progress = devices.replicate(state, mesh), train.Progress()

    def fit(self, folder: Path) -> None:
        """Goes on from the latest of a folder's checkpoints, and adds to them."""
        with Checkpoints(folder) as checkpoints:
            if found := checkpoints.latest(self.state):
                self.state, self.progress = found
            training = self.training()
            training.save = checkpoints.save
            train.fit(training, self.feeder.mesh)
            self.state = training.state

    def training(self) -> train.Training:
        what = self.config, self.task, self.examples.splits, self.examples.arrays
        return train.Training(*what, self.state, self.progress)

    def told(self) -> dict:
        """The history, what the trained model makes of the test part, and its parameters."""
        chunk = train.make_evaluate_chunk(self.task.evaluate, self.feeder.mesh)
        test = self.examples.splits["test"].examples()
        logits = train.evaluate(chunk, self.state, test, self.feeder)["logits"]
        leaves = jax.tree.leaves((self.state.params, self.state.batch_stats))
        weights = np.concatenate([np.ravel(x) for x in leaves])
        return {
            "history": self.progress.history,
            "logits": logits.tolist(),
            "weights": weights.tolist(),
        }


def over(n: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:n]), (devices.AXIS,))


def seeds_at_once(out: Path) -> list[Loop]:
    """Two, on a device each."""
    loops = [Loop(out, over(1), seed=seed) for seed in (0, 1)]
    trainings = [loop.training() for loop in loops]
    together.fit(trainings, over(2))
    for loop, training in zip(loops, trainings, strict=True):
        loop.state = training.state
    return loops


def several_devices(out: Path) -> dict:
    """1, 2 and 8 of them; 8 that go on where 1 stopped, and 1 where 8 did; a seed beside another,
    each on a device of its own."""
    found = {}
    for n in (1, 2, 8):
        loop = Loop(out, over(n))
        loop.fit(out / str(n))
        found[f"{n}"] = loop.told()
    for before, after in ((1, 8), (8, 1)):
        loop, folder = Loop(out, over(before)), out / f"{before} then {after}"
        loop.config.unlock()
        loop.config.epochs = 1
        loop.fit(folder)
        loop = Loop(out, over(after))
        loop.fit(folder)
        found[f"{before} then {after}"] = loop.told()
    return found | {"beside another": seeds_at_once(out)[0].told()}


def several_processes(out: Path, port: str, process: int) -> dict:
    devices.join(f"localhost:{port}", 2, process)
    found = {}
    for feeder in ("device", "host"):
        loop = Loop(out, devices.over(16), feeder)
        loop.fit(out / feeder)
        found[feeder] = loop.told()
    return found


if __name__ == "__main__":
    out, *joined = sys.argv[1:]
    out = Path(out)
    found = several_processes(out, joined[0], int(joined[1])) if joined else several_devices(out)
    if devices.is_first():
        (out / "told.json").write_text(json.dumps(found))
