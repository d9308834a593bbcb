"""The one loop that every training shares.

Steps are pure, `(state, batch) -> (state, metrics)`; a chunk is a `lax.scan` of them in one jitted,
donated call; the host only feeds, watches and saves. The loop knows no digits: a task says who
learns what, what it makes of each item, and which figures sum that up.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh, Sharding
from ml_collections import ConfigDict

from fdigits import devices, optim
from fdigits.config import choose, optimizer_of
from fdigits.data import pipeline
from fdigits.data.pairing import Split
from fdigits.errors import Diverged
from fdigits.noise import KEY_IMPL

EVALUATION_BATCH = 250

# XLA's own convolutions use every core; those of YNNPACK, its default on CPUs, use one. Vectors of
# 512 bits make a step up to 5 % quicker than XLA's 256 where a CPU has them.
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
    ),
    "xla_cpu_prefer_vector_width": 512,
}


class Player(NamedTuple):
    """Who learns in a step: its loss, and the modules whose parameters it moves.

    `loss` is `(params, batch_stats, batch, key) -> (loss, (batch_stats, metrics))` over the
    parameters of all players. Of its metrics, one is "loss".
    """

    loss: Callable
    # The parameters' names at the top; () = all, for an only player: an optimizer moves (by weight
    # decay, by momentum) what its loss does not depend on, too.
    modules: tuple[str, ...] = ()


class TrainState(struct.PyTreeNode):
    """All that a step reads and changes."""

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: dict  # of each player
    plateau: optax.OptState
    key: jax.Array


@dataclasses.dataclass
class Progress:
    """Where the host loop stands; saved with each checkpoint."""

    epoch: int = 0
    best_epoch: int = 0
    best: float = -np.inf  # validation score of `best_epoch`
    seconds: float = 0.0  # epochs, validation included
    step_seconds: float = 0.0  # training chunks alone, the first of a process (compiling) left out
    timed_steps: int = 0
    history: list[dict] = dataclasses.field(default_factory=list)  # a row per epoch
    commits: list[str] = dataclasses.field(default_factory=list)  # of the code that trained
    codes: list[str] = dataclasses.field(default_factory=list)  # its fingerprints

    def stopped(self, config: ConfigDict) -> bool:
        """All epochs are done, or early stopping waited long enough."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= config.epochs or 0 < config.early_stopping <= waited


def _nothing(*_) -> None: ...


@dataclasses.dataclass
class Training:
    """A training at work: what it is, and where it stands, which `fit` moves on."""

    config: ConfigDict
    task: object  # a `tasks.Task`
    splits: Mapping[str, Split]
    arrays: Mapping[str, np.ndarray]  # what the splits' rows point into
    state: TrainState
    progress: Progress
    save: Callable[[TrainState, Progress], None] = _nothing  # after each epoch, to come back to
    tick: Callable[[int, dict], None] = _nothing  # after each chunk: its steps, their mean metrics
    show: Callable[[dict], None] = _nothing  # after each epoch: its row of metrics
    error: Diverged | None = None  # what ended it, where others go on

    @property
    def steps_per_epoch(self) -> int:
        return len(self.splits["train"]) // self.config.batch_size

    @property
    def ended(self) -> bool:
        return self.error is not None or self.progress.stopped(self.config)

    @functools.cached_property
    def held_out(self) -> dict[str, np.ndarray]:
        """The rows `[N]` of the validation part."""
        return self.splits["validation"].examples()

    def rows(self) -> dict[str, np.ndarray]:
        """Those of the next epoch, `[N]`, in its order."""
        config, epoch = self.config, self.progress.epoch + 1
        return pipeline.training_rows(self.splits["train"], config.seed, epoch, config.data.balance)


def create_state(task, config: ConfigDict, batch: Mapping, steps_per_epoch: int) -> TrainState:
    """Initial state; parameters and all later randomness follow from `config.seed`."""
    init_key, key = jax.random.split(jax.random.key(config.seed, impl=KEY_IMPL))
    variables = jax.jit(task.init)(init_key, batch)
    params = variables["params"]
    optimizers = optim.of_players(config, task.players, steps_per_epoch)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state={
            name: jax.jit(optimizers[name].init)(parted(params, player.modules, config.frozen)[0])
            for name, player in task.players.items()
        },
        plateau=optim.make_plateau(config.plateau).init({}),
        key=key,
    )


def parted(params: Mapping, modules: Sequence[str], frozen: Sequence[str]) -> tuple[dict, dict]:
    """The parameters that are learnt, those of `modules` (() = all) but not `frozen`; the rest."""
    learnt = [name for name in params if (not modules or name in modules) and name not in frozen]
    rest = {name: x for name, x in params.items() if name not in learnt}
    return {name: params[name] for name in learnt}, rest


def make_train_step(task, config: ConfigDict, steps_per_epoch: int) -> Callable:
    """`(state, batch) -> (state, metrics)`; its randomness is the key folded with the step.

    The task's players learn in turn. Of several, each has a key of its own, and its name stands
    before its metrics: "generator_loss".
    """
    players, frozen = task.players, config.frozen
    optimizers = optim.of_players(config, players, steps_per_epoch)

    def turn(state: TrainState, batch: Mapping, name: str, key) -> tuple[TrainState, dict]:
        player: Player = players[name]
        learnt, rest = parted(state.params, player.modules, frozen)

        def loss(learnt):
            return player.loss(rest | learnt, state.batch_stats, batch, key)

        (_, (batch_stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(learnt)
        updates, own = optimizers[name].update(grads, state.opt_state[name], learnt)
        updates = optax.tree.scale(state.plateau.scale, updates)
        kept = {module: state.batch_stats[module] for module in frozen if module in batch_stats}
        state = state.replace(
            params=rest | optax.apply_updates(learnt, updates),
            batch_stats={**batch_stats, **kept},
            opt_state=state.opt_state | {name: own},
        )
        return state, metrics

    def train_step(state: TrainState, batch: Mapping) -> tuple[TrainState, dict]:
        key = jax.random.fold_in(state.key, state.step)
        if len(players) == 1:
            state, metrics = turn(state, batch, *players, key)
        else:
            metrics = {}
            for number, name in enumerate(players):
                state, told = turn(state, batch, name, jax.random.fold_in(key, number))
                metrics |= {f"{name}_{figure}": value for figure, value in told.items()}
        return state.replace(step=state.step + 1), metrics

    return train_step


def compile_step(function: Callable, where: Sharding | None = None) -> Callable:
    """`function(state, ...)` jitted; the state is donated. What it gives lies as `where` says."""
    placed = {"out_shardings": where} if where else {}
    return jax.jit(function, donate_argnums=0, compiler_options=compiler_options(), **placed)


def compiler_options() -> dict | None:
    return CPU_OPTIONS if jax.default_backend() == "cpu" else None


def make_train_chunk(train_step: Callable, mesh: Mesh | None = None) -> Callable:
    """Jitted `(state, chunk, resident) -> (state, metrics [K])`; the state is donated.

    `chunk` holds batches `[K, B, ...]`, or rows `[K, B]` into the `resident` arrays of its name.
    """
    return compile_step(train_chunk_of(train_step), devices.everywhere(mesh) if mesh else None)


def train_chunk_of(train_step: Callable) -> Callable:
    """`make_train_chunk`'s function, before it is compiled."""

    def train_chunk(state: TrainState, chunk: Mapping, resident: Mapping):
        return jax.lax.scan(lambda s, x: train_step(s, gather(x, resident)), state, chunk)

    return train_chunk


def make_evaluate_chunk(evaluate: Callable, mesh: Mesh) -> Callable:
    """Jitted `(params, batch_stats, chunk, resident) -> outputs [K, B, ...]` of a task's function
    `(params, batch_stats, batch) -> outputs`; they lie by B over the mesh."""
    return jax.jit(
        evaluate_chunk_of(evaluate),
        compiler_options=compiler_options(),
        out_shardings=devices.by_batch(mesh),
    )


def evaluate_chunk_of(evaluate: Callable) -> Callable:
    """`make_evaluate_chunk`'s function, before it is compiled."""

    def evaluate_chunk(params, batch_stats, chunk, resident):
        def one(x):
            return evaluate(params, batch_stats, gather(x, resident))

        return jax.lax.map(one, chunk)

    return evaluate_chunk


def gather(batch: Mapping, resident: Mapping) -> dict:
    """Rows of resident arrays become their items; the rest stays."""
    return {k: resident[k][v] if k in resident else v for k, v in batch.items()}


def evaluate(evaluate_chunk: Callable, state, rows: Mapping[str, np.ndarray], feeder) -> dict:
    """The outputs for every example `[N, ...]`, in the order of `rows`, in every process.

    Args:
      state: what has `params` and `batch_stats`.
      rows: as `Split.examples` gives them, `[N]`.
    """
    params, batch_stats = devices.replicate((state.params, state.batch_stats), feeder.mesh)
    batch_size = -(-EVALUATION_BATCH // feeder.mesh.size) * feeder.mesh.size
    rows, collected = pipeline.padded(rows, batch_size), []
    for chunk in feeder(rows, batch_size, chunk=8):
        outputs = devices.fetch(evaluate_chunk(params, batch_stats, chunk, feeder.resident))
        collected.append({k: v.reshape(-1, *v.shape[2:]) for k, v in outputs.items()})
    real = rows["mask"] > 0
    return {k: np.concatenate([c[k] for c in collected])[real] for k in collected[0]}


def fit(training: Training, mesh: Mesh | None = None) -> None:
    """Trains from where it stands until the epochs or the patience end.

    Args:
      mesh: the devices that share each batch; None = this process's first.

    Raises:
      Diverged: a loss is no longer finite (names whose, the step and the last good epoch).
    """
    config, task = training.config, training.task
    feeder = pipeline.make_feeder(config.data.feeder, training.arrays, mesh)
    mesh, state = feeder.mesh, devices.replicate(training.state, feeder.mesh)
    train_chunk = make_train_chunk(make_train_step(task, config, training.steps_per_epoch), mesh)
    evaluate_chunk = make_evaluate_chunk(task.evaluate, mesh)
    compiled: set[int] = set()

    while not training.ended:
        began, collected = time.monotonic(), []
        for chunk in feeder(training.rows(), config.batch_size, config.chunk):
            chunk_began = time.monotonic()
            state, metrics = train_chunk(state, chunk, feeder.resident)
            metrics = jax.device_get(metrics)
            collected.append(metrics)
            seconds = time.monotonic() - chunk_began
            counted = steps_of(metrics) in compiled
            compiled.add(steps_of(metrics))
            note(training, metrics, int(state.step), seconds if counted else None)
        outputs = evaluate(evaluate_chunk, state, training.held_out, feeder)
        state = close(training, state, collected, outputs, time.monotonic() - began)
        state = state.replace(plateau=devices.replicate(state.plateau, mesh))


def note(training: Training, metrics: Mapping, step: int, seconds: float | None) -> None:
    """Looks at a chunk's metrics `[K]` after `step`.

    Args:
      seconds: that the chunk took; None = they are not counted.

    Raises:
      Diverged: a loss is no longer finite.
    """
    progress, steps = training.progress, steps_of(metrics)
    if seconds is not None:
        progress.step_seconds += seconds
        progress.timed_steps += steps
    _check_finite(metrics, step - steps, progress.epoch + 1)
    training.tick(steps, {name: float(values.mean()) for name, values in metrics.items()})


def steps_of(metrics: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(metrics.values())))


def close(
    training: Training, state: TrainState, collected: list[dict], outputs: dict, seconds: float
) -> TrainState:
    """Ends an epoch by what the model makes of the validation part, and saves.

    Args:
      collected: the metrics of its chunks, `[K]` each.
      outputs: the task's, for each item of the validation part.
      seconds: that the epoch took.

    Raises:
      Diverged: the validation loss is not finite; nothing is saved.
    """
    config, task, progress = training.config, training.task, training.progress
    epoch, step, scale = progress.epoch + 1, int(state.step), float(state.plateau.scale)
    validation = scalars(task.summary(outputs, training.held_out["label"]))
    # The last step's gradient shows in no training loss.
    last = {name: np.array([value]) for name, value in validation.items()}
    _check_finite(last, step - 1, epoch, config.monitor)
    # What early stopping, the plateau and the choice of weights want high.
    score = choose(config.monitor, task.SCORES, "monitor") * validation[config.monitor]
    # Where the test part validates, it must not choose: neither the rate nor the weights.
    watched = config.protocol == "paper"
    if not watched:
        plateau = optim.make_plateau(config.plateau)
        _, plateau_state = plateau.update({}, state.plateau, value=1.0 - score)
        training.state = state = state.replace(plateau=plateau_state)

    progress.epoch = epoch
    if score > progress.best or watched:
        progress.best, progress.best_epoch = score, epoch
    figures = {name: np.concatenate([one[name] for one in collected]) for name in collected[0]}
    row = {
        "epoch": epoch,
        "step": step,
        **_learning_rates(config, task.players, step - 1, training.steps_per_epoch, scale),
        "train": {name: float(x.mean(dtype=np.float64)) for name, x in figures.items()},
        "validation": validation,
    }
    progress.history.append(row)
    progress.seconds += seconds
    training.save(state, progress)
    training.show(row)
    return state


def _learning_rates(
    config: ConfigDict, players: Iterable[str], step: int, steps_per_epoch: int, scale: float
) -> dict[str, float]:
    """`learning_rate`, the first player's; of several players, `<player>_learning_rate` too."""
    found = {
        f"{name}_learning_rate": scale
        * float(optim.schedule(optimizer_of(config, name), steps_per_epoch)(step))
        for name in players
    }
    first = {"learning_rate": next(iter(found.values()))}
    return first | (found if len(found) > 1 else {})


def scalars(summary: Mapping) -> dict[str, float]:
    """The plain figures of a summary."""
    return {name: value for name, value in summary.items() if isinstance(value, float)}


def _check_finite(
    metrics: Mapping[str, np.ndarray], first_step: int, epoch: int, monitor: str = "loss"
) -> None:
    """Looks at what is called "loss" or "<player>_loss", and at the figure that chooses weights."""
    for name, values in metrics.items():
        finite = np.isfinite(values)
        if not name.endswith(("loss", monitor)) or finite.all():
            continue
        at = int(np.argmin(finite))
        whose = f"the {name.replace('_', ' ')}" if name != "loss" else "the loss"
        good = f"the checkpoint of epoch {epoch - 1} is good" if epoch > 1 else "no epoch was done"
        where = "in a new workdir" if epoch > 1 else "and start again"
        raise Diverged(
            f"{whose} is {values[at]} at step {first_step + at + 1} (epoch {epoch}), {good}: "
            f"lower optimizer.learning_rate or set optimizer.clip_norm, {where}"
        )
