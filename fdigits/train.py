"""The one loop that every stage shares.

Steps are pure, `(state, batch) -> (state, metrics)`; a chunk is a `lax.scan` of them in one jitted,
donated call; the host only feeds, watches and saves. The loop knows no digits: a stage gives it
`init`, `loss` and `evaluate`.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from ml_collections import ConfigDict

from fdigits import optim
from fdigits.config import choose
from fdigits.data import pipeline
from fdigits.data.pairing import Split
from fdigits.errors import UserError

KEY_IMPL = "rbg"  # random bits at memory speed; threefry takes a tenth of a step on CPUs
EVALUATION_BATCH = 250

# XLA's own convolutions use every core; those of YNNPACK, its default on CPUs, use one.
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
    )
}


class TrainState(struct.PyTreeNode):
    """All that a step reads and changes."""

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState
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

    def stopped(self, config: ConfigDict) -> bool:
        """All epochs are done, or early stopping waited long enough."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= config.epochs or 0 < config.early_stopping <= waited


def create_state(stage, config: ConfigDict, batch: Mapping, steps_per_epoch: int) -> TrainState:
    """Initial state; parameters and all later randomness follow from `config.seed`."""
    init_key, key = jax.random.split(jax.random.key(config.seed, impl=KEY_IMPL))
    variables = jax.jit(stage.init)(init_key, batch)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optim.make(config.optimizer, steps_per_epoch).init(params),
        plateau=optim.make_plateau(config.plateau).init({}),
        key=key,
    )


def make_train_step(stage, tx: optax.GradientTransformation) -> Callable:
    """`(state, batch) -> (state, metrics)`; its randomness is the key folded with the step."""

    def train_step(state: TrainState, batch: Mapping) -> tuple[TrainState, dict]:
        key = jax.random.fold_in(state.key, state.step)
        grad = jax.value_and_grad(stage.loss, has_aux=True)
        (_, (batch_stats, metrics)), grads = grad(state.params, state.batch_stats, batch, key)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        updates = optax.tree.scale(state.plateau.scale, updates)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        return state, metrics

    return train_step


def compile_step(function: Callable) -> Callable:
    """`function(state, ...)` jitted; the state is donated."""
    return jax.jit(function, donate_argnums=0, compiler_options=_compiler_options())


def _compiler_options() -> dict | None:
    return CPU_OPTIONS if jax.default_backend() == "cpu" else None


def make_train_chunk(train_step: Callable) -> Callable:
    """Jitted `(state, chunk, resident) -> (state, metrics [K])`; the state is donated.

    `chunk` holds batches `[K, B, ...]`, or rows `[K, B]` into the `resident` arrays of its name.
    """

    def train_chunk(state: TrainState, chunk: Mapping, resident: Mapping):
        return jax.lax.scan(lambda s, x: train_step(s, gather(x, resident)), state, chunk)

    return compile_step(train_chunk)


def make_evaluate_chunk(stage) -> Callable:
    """Jitted `(params, batch_stats, chunk, resident) -> outputs [K, B, ...]`."""

    def evaluate_chunk(params, batch_stats, chunk, resident):
        def one(x):
            return stage.evaluate(params, batch_stats, gather(x, resident))

        return jax.lax.map(one, chunk)

    return jax.jit(evaluate_chunk, compiler_options=_compiler_options())


def gather(batch: Mapping, resident: Mapping) -> dict:
    """Rows of resident arrays become their items; the rest stays."""
    return {k: resident[k][v] if k in resident else v for k, v in batch.items()}


def evaluate(evaluate_chunk: Callable, state: TrainState, split: Split, feeder) -> dict:
    """The stage's outputs for every example of a split, `[N, ...]`, in the split's order."""
    rows = pipeline.evaluation_rows(split, EVALUATION_BATCH)
    collected = []
    for chunk in feeder(rows, EVALUATION_BATCH, chunk=8):
        outputs = evaluate_chunk(state.params, state.batch_stats, chunk, feeder.resident)
        real = chunk["mask"].reshape(-1) > 0
        collected.append(
            {k: np.asarray(v).reshape(-1, *v.shape[2:])[real] for k, v in outputs.items()}
        )
    return {k: np.concatenate([c[k] for c in collected]) for k in collected[0]}


def fit(
    config: ConfigDict,
    stage,
    summarise: Callable[[dict, np.ndarray], dict],
    splits: Mapping[str, Split],
    feeder,
    state: TrainState,
    progress: Progress,
    *,
    save: Callable[[TrainState, Progress], None] = lambda state, progress: None,
    tick: Callable[[int, float, float], None] = lambda steps, loss, accuracy: None,
    report: Callable[[dict], None] = lambda row: None,
) -> TrainState:
    """Trains from where `progress` stands until the epochs or the patience end.

    Args:
      summarise: outputs and labels of the validation split -> scalars, `accuracy` and `loss` among
        them.
      save: called after each epoch with the state and the progress to come back to.
      tick: called after each chunk with its steps, mean loss and accuracy.
      report: called with each epoch's row of metrics.

    Raises:
      UserError: the loss is no longer finite (names the step and the last good epoch).
    """
    steps_per_epoch = len(splits["train"]) // config.batch_size
    learning_rate = optim.schedule(config.optimizer, steps_per_epoch)
    plateau = optim.make_plateau(config.plateau)
    train_chunk = make_train_chunk(
        make_train_step(stage, optim.make(config.optimizer, steps_per_epoch))
    )
    evaluate_chunk = make_evaluate_chunk(stage)
    compiled: set[int] = set()

    while not progress.stopped(config):
        began = time.monotonic()
        epoch = progress.epoch + 1
        scale = float(state.plateau.scale)
        rows = pipeline.training_rows(splits["train"], config.seed, epoch)
        collected = []
        for chunk in feeder(rows, config.batch_size, config.chunk):
            chunk_began = time.monotonic()
            state, metrics = train_chunk(state, chunk, feeder.resident)
            metrics = jax.device_get(metrics)
            steps = len(metrics["loss"])
            if steps in compiled:
                progress.step_seconds += time.monotonic() - chunk_began
                progress.timed_steps += steps
            compiled.add(steps)
            _check_finite(metrics["loss"], int(state.step) - steps, epoch)
            collected.append(metrics)
            tick(steps, float(metrics["loss"].mean()), float(metrics["accuracy"].mean()))
        training = {k: np.concatenate([c[k] for c in collected]) for k in collected[0]}

        outputs = evaluate(evaluate_chunk, state, splits["validation"], feeder)
        validation = summarise(outputs, splits["validation"].examples()["label"])
        # The last step's gradient shows in no training loss.
        _check_finite(np.array([validation["loss"]]), int(state.step) - 1, epoch)
        score = _score(config, validation)
        _, plateau_state = plateau.update({}, state.plateau, value=1.0 - score)
        state = state.replace(plateau=plateau_state)

        progress.epoch = epoch
        # Where the test part validates, it must not choose: the last weights are the ones.
        if score > progress.best or config.protocol == "report":
            progress.best, progress.best_epoch = score, epoch
        row = {
            "epoch": epoch,
            "step": int(state.step),
            "learning_rate": scale * float(learning_rate(int(state.step) - 1)),
            "train": {k: float(v.mean(dtype=np.float64)) for k, v in training.items()},
            "validation": validation,
        }
        progress.history.append(row)
        progress.seconds += time.monotonic() - began
        save(state, progress)
        report(row)
    return state


def _score(config: ConfigDict, validation: Mapping[str, float]) -> float:
    """What early stopping, the plateau and the choice of weights want high."""
    scores = {"accuracy": validation["accuracy"], "loss": -validation["loss"]}
    return choose(config.monitor, scores, "monitor")


def _check_finite(losses: np.ndarray, first_step: int, epoch: int) -> None:
    if not np.isfinite(losses).all():
        step = first_step + int(np.argmin(np.isfinite(losses))) + 1
        good = f"the checkpoint of epoch {epoch - 1} is good" if epoch > 1 else "no epoch was done"
        raise UserError(
            f"the loss is {losses[step - first_step - 1]} at step {step} (epoch {epoch}), {good}: "
            "lower optimizer.learning_rate or set optimizer.clip_norm, in a new workdir"
        )
