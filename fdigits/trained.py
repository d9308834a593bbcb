"""A training's config, task and chosen weights, for all that comes after it."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from fdigits import tasks, train
from fdigits.config import CLASSIFYING, choose, modern
from fdigits.data import features, pipeline
from fdigits.data.corpus import MODALITIES, STANDARDISED
from fdigits.errors import UserError
from fdigits.files import digest
from fdigits.models import classifiers
from fdigits.tasks.task import blank_batch

STATISTICS = "statistics.json"
SHIPPED = Path(__file__).parent / "pretrained"
THRESHOLDS = "thresholds.json"
DIGESTS = "digests.json"  # sha256 of the other files that ship
WEIGHTS = "weights.msgpack"  # `params` and `batch_stats`, float16
Arrays = dict[str, np.ndarray]


class Trained(NamedTuple):
    """A task with weights, as validation chose them or after some epoch."""

    config: ConfigDict
    task: tasks.Task
    params: dict
    batch_stats: dict
    statistics: dict | None  # of the training part's MFCC, where the model hears
    workdir: Path

    def arrays(self, x: Mapping[str, np.ndarray]) -> Arrays:
        """What the model reads of each item, from modalities as a corpus holds them.

        MFCC are standardised as in training, spectrograms coloured, and what an earlier stage
        makes of items is made.

        Raises:
          UserError: a modality that every item must have is not given.
        """
        made = {}
        for name in self.task.reads:
            if stage := self.config.data.encoded.get(name):
                folder = earlier(self.workdir, stage)
                file = folder / "result.json"
                written = file.stat().st_mtime_ns if file.is_file() else 0
                codes = _stage(folder.absolute(), written).encode(x)
                made[name] = choose(name, codes, f"data.encoded: of stage {stage}, the array")
            elif name not in x:
                if name in self.task.given:
                    raise UserError(f"{self.config.name} reads {name}, which is not given")
            elif name == "spectrogram":
                made[name] = features.colour(x[name])
            else:
                hears = name in STANDARDISED
                made[name] = pipeline.standardise(x[name], self.statistics) if hears else x[name]
        return made

    def encode(self, x: Mapping[str, np.ndarray]) -> Arrays:
        """What later stages may read of each item, `[N, ...]` each."""
        return self.outputs(self.arrays(x), self.task.encode)

    def outputs(self, arrays: Arrays, function: Callable | None = None) -> Arrays:
        """The task's outputs (or `encode`'s) for every item of `arrays`, `[N, ...]` each."""
        n = len(next(iter(arrays.values())))
        rows = {name: np.arange(n, dtype=np.int32) for name in arrays}
        rows["label"] = np.zeros(n, np.int32)  # none is known
        feeder = pipeline.make_feeder("device", arrays)
        evaluate = _compiled(function or self.task.evaluate, feeder.mesh)
        return train.evaluate(evaluate, self, rows, feeder)


# What a recording, a level of noise or an answer of the page needs once more.
@functools.lru_cache(maxsize=4)
def _stage(folder: Path, written: int) -> Trained:
    """An earlier stage, read anew if it was trained again."""
    return load(folder)


_compiled = functools.lru_cache(maxsize=8)(train.make_evaluate_chunk)


def sources(config: ConfigDict, task: tasks.Task, workdir: Path) -> dict[str, str]:
    """Each array that the task reads -> the modality that it is made of, at last.

    Raises:
      UserError: a stage reads two, so that what it makes belongs to no single item.
    """
    found = {}
    for name in task.reads:
        found[name] = name
        if stage := config.data.encoded.get(name):
            folder = earlier(workdir, stage)
            before = _config(folder)
            below = _given(before, tasks.make(before), folder)
            if len(below) != 1:
                raise UserError(f"data.encoded: stage {stage} reads {', '.join(sorted(below))}")
            found[name] = below.pop()
        elif name not in MODALITIES:
            raise UserError(f"{config.name} reads {name}: data.encoded must say of which stage")
    return found


def _given(config: ConfigDict, task: tasks.Task, workdir: Path) -> set[str]:
    """The modalities of which a stage makes something, without its targets."""
    found = sources(config, task, workdir)
    return {found[name] for name in task.given}


def earlier(workdir: Path, stage: str) -> Path:
    """The folder of an earlier stage: below the run's, or beside another stage's.

    Raises:
      UserError: there is none.
    """
    for folder in (workdir / stage, workdir.parent / stage):
        if (folder / "config.json").is_file():
            return folder
    raise UserError(f"{workdir} has no earlier stage {stage}: run the whole config")


def load(workdir: Path, epoch: int = 0) -> Trained:
    """Reads config, weights and training statistics: the chosen weights, or those after `epoch`.

    Raises:
      UserError: there is no finished run, none of this code, or no checkpoint of that epoch.
    """
    from fdigits import checkpoint  # Orbax takes a second, which shipped weights do without

    try:
        config = _config(workdir)
        if not epoch:
            epoch = json.loads((workdir / "result.json").read_text())["best_epoch"]
        task = tasks.make(config)
        hears = set(STANDARDISED) & set(task.reads)
        statistics = json.loads((workdir / STATISTICS).read_text()) if hears else None
        _ = hears and (statistics["mean"], statistics["std"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        raise UserError(
            f"{workdir} holds no finished run of this code ({error}): run the command that "
            "trains it"
        ) from None
    epochs = checkpoint.kept(workdir / "checkpoints")
    if epoch not in epochs:
        raise UserError(
            f"{workdir} keeps no checkpoint of epoch {epoch}; it has "
            + (", ".join(map(str, epochs)) or "none: train it again in a new --workdir")
        )
    try:
        params, batch_stats = checkpoint.weights(workdir / "checkpoints", epoch)
    except UserError as error:
        raise UserError(
            f"{error}: delete {workdir / 'result.json'} and run the command that trained it, which "
            "goes on from a checkpoint before it"
        ) from error
    trained = Trained(config, task, params, batch_stats, statistics, workdir)
    _check_shapes(trained)
    return trained


def shipped() -> Trained:
    """The weights that come with fdigits, of `configs/strangers.py:both`.

    Raises:
      UserError: they are not there, or damaged.
    """
    from flax import serialization

    try:
        for name, wanted in json.loads((SHIPPED / DIGESTS).read_text()).items():
            if digest(SHIPPED / name) != wanted:
                raise ValueError(f"{SHIPPED / name} is damaged")
        config = ConfigDict(modern_config(json.loads((SHIPPED / "config.json").read_text())))
        weights = serialization.msgpack_restore((SHIPPED / WEIGHTS).read_bytes())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(
            f"the weights that ship cannot be read ({error}): install fdigits again"
        ) from None
    weights = jax.tree.map(lambda x: x.astype(np.float32), weights)
    task = tasks.make(config)
    return Trained(config, task, weights["params"], weights["batch_stats"], None, SHIPPED)


def thresholds(workdir: Path) -> dict[str, float]:
    """The least probability of a digit in a "picture" and in a "recording": below it there is none.

    Only the shipped weights have some; a run always names a digit.
    """
    file = workdir / THRESHOLDS
    return json.loads(file.read_text()) if file.is_file() else {}


def modern_config(held: Mapping) -> dict:
    """A run's `config.json` as this code writes it, without what its model never read."""
    found = modern(held)
    if found["task"] in CLASSIFYING:
        read = classifiers.fields(ConfigDict(found["model"]))
        unread = {name: x for name, x in classifiers.DEFAULTS.items() if name not in read}
        found["model"] |= json.loads(json.dumps(unread))
    return found


def _config(workdir: Path) -> ConfigDict:
    return ConfigDict(modern_config(json.loads((workdir / "config.json").read_text())))


def _check_shapes(trained: Trained) -> None:
    """Refuses weights that are not those of today's model, where data do not decide its shapes."""
    reads = trained.task.reads
    if not all(name in MODALITIES and None not in MODALITIES[name].read for name in reads):
        return
    wanted = jax.eval_shape(trained.task.init, jax.random.key(0), blank_batch(reads))["params"]
    shapes = [jax.tree.map(lambda x: x.shape, tree) for tree in (wanted, trained.params)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{trained.workdir} holds no finished run of this code (its weights are of another "
            "model): train it again, in a new workdir"
        )
