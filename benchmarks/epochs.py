"""Seconds to 99 % on MNIST's test part, by the recipe of configs/quick.py.

python -m benchmarks.epochs --data-dir=DATA [--seeds=3] [--config=configs/quick.py] [--json=FILE]

The recipe was chosen on the validation part. Each seed trains the recipe's epochs and then looks
at the test part once, with the last weights. Its seconds are those of steps and validations;
compiling, which a second start finds done, is told apart, and reading the data is left out.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.console import Console

from benchmarks import sitting
from benchmarks.sitting import positive, spread
from benchmarks.systems import config_of
from fdigits import tasks, train
from fdigits.config import DATA
from fdigits.data import pipeline
from fdigits.errors import exit_cleanly
from fdigits.examples import prepared, resolved
from fdigits.files import path_of

GOAL = 0.99
COMPILING = "/jax/core/compile/"  # JAX's own measurements: tracing, lowering, compiling


@contextlib.contextmanager
def compiling() -> Iterator[list[float]]:
    """Yields a list that gets the seconds of each piece of compiling while the body runs."""
    seconds, inside = [], True

    def note(event: str, duration: float, **_) -> None:
        if inside and event.startswith(COMPILING):
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield seconds
    finally:
        inside = False  # JAX keeps its listeners


def trained_once(config: ConfigDict, workdir: Path = Path()) -> dict:
    """Trains, and looks at the test part once: its accuracy, and what that took."""
    config, task = resolved(config), tasks.make(config)
    examples = prepared(config, task, workdir)
    steps = len(examples.splits["train"]) // config.batch_size
    state = train.create_state(task, config, examples.sample(), steps)
    training = train.Training(
        config, task, examples.splits, examples.arrays, state, train.Progress()
    )
    began, used = time.perf_counter(), time.process_time()
    with compiling() as pieces:
        train.fit(training)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    test = examples.splits["test"].examples()
    feeder = pipeline.make_feeder("device", examples.arrays)
    evaluate = train.make_evaluate_chunk(task.evaluate, feeder.mesh)
    outputs = train.evaluate(evaluate, training.state, test, feeder)
    return {
        "accuracy": float(task.summary(outputs, test["label"])["accuracy"]),
        "validation": [row["validation"]["accuracy"] for row in training.progress.history],
        "seconds": round(seconds - sum(pieces), 2),
        "compiling": round(sum(pieces), 2),
        "cpu": round(cpu, 2),  # processor seconds of both
        "steps": training.progress.epoch * steps,
    }


def several(config: ConfigDict, seeds: int) -> dict:
    """Each figure of each seed, and how many reached the goal."""
    runs = []
    with sitting.watched() as told:
        for seed in range(seeds):
            with (own := config.copy_and_resolve_references()).unlocked():
                own.seed = seed
            runs.append(trained_once(own))
    figures = {name: [run[name] for run in runs] for name in runs[0]}
    reached = sum(accuracy >= GOAL for accuracy in figures["accuracy"])
    return figures | {"epochs": config.epochs, "reached": reached} | told


def row(figure: dict) -> tuple:
    return (
        f"{figure['reached']} of {len(figure['accuracy'])}",
        spread([100 * accuracy for accuracy in figure["accuracy"]], 2),
        *(spread(figure[name], 1) for name in ("seconds", "compiling", "cpu")),
        figure[sitting.BUSY],
    )


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="configs/quick.py")
    parser.add_argument("--seeds", type=positive(int), default=3, help="how many, from 0 up")
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--json", type=path_of, help="file that the figure joins")
    args = parser.parse_args()
    config = config_of(Path(args.config))
    with config.unlocked():
        config.data.dir = str(args.data_dir)
    with Console(stderr=True).status(f"{args.seeds} trainings ..."):
        figure = several(config, args.seeds)
    columns = ("reached", "test accuracy, %", "seconds", "compiling", "processor s", "cores busy")
    title = f"{config.name}, {config.epochs} epochs: median (min–max)"
    Console().print(sitting.table(title, columns, [row(figure)]))
    if args.json:
        sitting.join(args.json, {config.name: figure}, sitting.here())


if __name__ == "__main__":
    main()
