"""Batches a second that the feeders give, beside what training takes of them.

python -m benchmarks.input [--systems=image_cnn,...] [--json=FILE]

Random items, as many as a data set of 60,000 has, come in shuffled order. `host` gathers whole
batches by tf.data, `device` sends their rows and gathers in the jitted chunk. Training is a chunk
on the device, which waits for no feeder. A feeder that gives at least three times as many
batches as training takes will not hold it up, though both share the processor on a CPU.
"""

import argparse
import os
import time
from collections.abc import Callable

import jax
import numpy as np
from rich.console import Console

from benchmarks import sitting
from benchmarks.sitting import positive, spread
from benchmarks.steps import batch_at, fdigits_runners, measure, random_chunk
from benchmarks.systems import SYSTEMS, load_config
from fdigits import train
from fdigits.config import choose
from fdigits.data import pipeline
from fdigits.errors import exit_cleanly
from fdigits.files import path_of

R0 = ("image_cnn", "audio_cnn", "audio_lstm", "hybrid_cnn", "hybrid_lstm")
FEEDERS = ("host", "device")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as launch.py
GOAL = 3.0  # times what training takes
ITEMS = 60_000
DISTINCT = 6_000  # items of different content, as memory is dear


def feeder_runner(kind: str, config, arrays: dict[str, np.ndarray]) -> Callable[[], int]:
    """A call that takes chunks off a feeder for an epoch, or for a second, and returns batches."""
    rng, n = np.random.default_rng(0), len(next(iter(arrays.values())))
    rows = {name: rng.integers(0, n, ITEMS).astype(np.int32) for name in arrays}
    rows["label"] = np.zeros(ITEMS, np.int32)
    feeder = pipeline.make_feeder(kind, arrays)
    gather = jax.jit(
        lambda chunk, resident: jax.lax.map(lambda x: train.gather(x, resident), chunk)
    )

    def run() -> int:
        batches, ends = 0, time.perf_counter() + 1
        for chunk in feeder(rows, config.batch_size, config.chunk):
            jax.block_until_ready(gather(chunk, feeder.resident))
            batches += len(chunk["label"])
            if time.perf_counter() > ends:
                break
        return batches

    return run


def compared(system: str, rounds: int, seconds: float) -> dict:
    """Batches a second of each feeder and of training in every round, by turns."""
    config = load_config(system)
    chunk = random_chunk(config)
    arrays = {
        name: np.resize(array.reshape(-1, *array.shape[2:]), (DISTINCT, *array.shape[2:]))
        for name, array in chunk.items()
        if name != "label"
    }
    runners = {"training": fdigits_runners(config, chunk)[0]["chunk"]}
    runners |= {kind: feeder_runner(kind, config, arrays) for kind in FEEDERS}
    for run in runners.values():
        run()
    rates, busy = {name: [] for name in runners}, []
    for _ in range(rounds):
        for name, run in runners.items():
            rate, others = measure(run, seconds)
            rates[name].append(round(rate, 2))
            busy.append(others)
    ratios = {
        kind: [round(a / b, 2) for a, b in zip(rates[kind], rates["training"], strict=True)]
        for kind in FEEDERS
    }
    shapes = {name: list(array.shape) for name, array in batch_at(chunk, 0).items()}
    return {
        "batch": shapes,
        "batches_per_second": rates,
        "times_training": ratios,
        sitting.BUSY: busy,
    }


def rows(found: dict[str, dict]) -> list[tuple]:
    """One for each feeder of each system."""
    return [
        (
            f"{system}: {kind}",
            spread(figure["batches_per_second"][kind], 0),
            spread(figure["batches_per_second"]["training"], 0),
            spread(ratios, 1),
            f"{GOAL:g}",
            "?" if None in figure[sitting.BUSY] else spread(figure[sitting.BUSY], 1),
        )
        for system, figure in found.items()
        for kind, ratios in figure["times_training"].items()
    ]


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--systems", default=",".join(R0))
    parser.add_argument("--rounds", type=positive(int), default=5)
    each = "of each in each round"
    parser.add_argument("--seconds", type=positive(float), default=1.0, help=each)
    parser.add_argument("--json", type=path_of, help="file that the figures join")
    args = parser.parse_args()
    systems = args.systems.split(",")
    for system in systems:
        choose(system, SYSTEMS, "system")
    with Console(stderr=True).status("feeders and trainings by turns ..."):
        found = {system: compared(system, args.rounds, args.seconds) for system in systems}
    columns = ("system: feeder", "batches / s", "training takes", "times", "goal", "cores busy")
    Console().print(sitting.table("input: median (min–max)", columns, rows(found)))
    if args.json:
        sitting.join(args.json, found, sitting.here(seconds=args.seconds))


if __name__ == "__main__":
    main()
