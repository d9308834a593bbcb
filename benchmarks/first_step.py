"""launch.py as far as its first chunk of steps; prints what each phase took, as JSON.

python -m benchmarks.first_step STARTED --config=FILE --workdir=DIR [--config.field=value ...]

STARTED is `time.time()` when this process was started. `startup.py` calls this.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Callable

HEAVY = (  # what takes long to import
    *("tensorflow", "tensorboard", "matplotlib", "sklearn", "librosa", "skimage", "optuna"),
    *("scipy.stats", "scipy.signal", "scipy.optimize", "scipy.spatial", "scipy.linalg"),
    *("numba", "orbax.checkpoint", "torch", "keras"),
)

MARKS: list[tuple[str, float, float]] = []  # phase, when it ended, processor seconds by then


def mark(phase: str) -> None:
    MARKS.append((phase, time.time(), time.process_time()))


def marked(function: Callable, before: str = "", after: str = "") -> Callable:
    """`function` that marks the end of a phase where it begins, or where it returns."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if before:
            mark(before)
        result = function(*args, **kwargs)
        if after:
            mark(after)
        return result

    return call


def stopping(make_train_chunk: Callable) -> Callable:
    """`train.make_train_chunk` whose function compiles, trains one chunk and ends the process."""

    def make(*args) -> Callable:
        function = make_train_chunk(*args)

        def train_chunk(*inputs):
            import jax

            compiled = function.lower(*inputs).compile()
            mark("compile")
            _, metrics = jax.block_until_ready(compiled(*inputs))
            mark("first chunk")
            tell(len(next(iter(metrics.values()))))

        return train_chunk

    return make


def tell(steps: int) -> None:
    loaded = [name for name in HEAVY if name in sys.modules]
    phases, wall, cpu = {}, STARTED, 0.0
    for phase, ended, used in MARKS:
        phases[phase] = {"seconds": round(ended - wall, 3), "cpu": round(used - cpu, 3)}
        wall, cpu = ended, used
    print(json.dumps({"phases": phases, "steps": steps, "loaded": loaded}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    STARTED = float(sys.argv.pop(1))
    from absl import app

    import launch
    from fdigits import run, train
    from fdigits.config import parse_flags
    from fdigits.data import pipeline

    run.run = marked(run.run, before="imports")
    run.prepared = marked(run.prepared, after="data")
    run.train.create_state = marked(run.train.create_state, after="state")
    pipeline.make_feeder = marked(pipeline.make_feeder, after="feeder")
    train.make_train_chunk = stopping(train.make_train_chunk)
    app.run(launch.main, flags_parser=parse_flags)
