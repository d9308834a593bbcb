"""Steps a second and peak memory against batch, width, devices and seeds at once; the ceiling.

python -m benchmarks.scale [--system=hybrid_cnn] [--axes=batch,width,devices,seeds] [--json=FILE]

Each point is a fresh process, as memory once taken is not given back: its peak is the most that the
process held (on accelerators, that the device held). `width` is that of every layer that
the config gives, times the config's. Devices are simulated: on a CPU they share its cores, so
they show what sharing a batch costs, not what more devices give. The ceiling is a 2048 x 2048
matrix times another in float32, by turns with the training; a step's floating-point operations are
what XLA counts in the model as it is written, and their rate is told as a share of the ceiling.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from rich.console import Console

from benchmarks import sitting
from benchmarks.sitting import positive, spread
from benchmarks.steps import batch_at, fdigits_runners, measure, random_chunk
from benchmarks.systems import SYSTEMS, load_config
from fdigits import devices, tasks, train
from fdigits.config import choose
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of
from fdigits.models import classifiers

ROOT = Path(__file__).parents[1]
AXES = {
    "batch": (8, 32, 128, 512),
    "width": (0.5, 1, 2),  # times the config's
    "devices": (1, 2, 4, 8),
    "seeds": (1, 2, 4, 8),
}
WIDTHS = {"width", "filters", "hidden"}  # fields of models
SIDE = 2048  # of the matrices of the ceiling


def config_at(system: str, point: dict) -> ConfigDict:
    """A system's config at a point, `{"batch": 8}` say."""
    config, times = load_config(system), point.get("width", 1)
    with config.unlocked():
        config.batch_size = point.get("batch", config.batch_size)
        config.chunk = point.get("chunk", config.chunk)
        if times != 1:
            for field in WIDTHS & classifiers.fields(config.model):
                config.model[field] = _times(config.model[field], times)
    return config


def _times(widths: int | tuple[int, ...], times: float) -> int | tuple[int, ...]:
    return int(widths * times) if isinstance(widths, int) else tuple(int(n * times) for n in widths)


def shared_runner(config: ConfigDict, chunk: dict) -> Callable[[], int]:
    """A call that trains a chunk whose batches lie over as many devices as share them evenly."""
    task, mesh = tasks.make(config), devices.over(config.batch_size)
    step = train.make_train_step(task, config, steps_per_epoch=1000)
    state = train.create_state(task, config, batch_at(chunk, 0), steps_per_epoch=1000)
    held = {"state": devices.replicate(state, mesh)}
    placed, many = devices.place(chunk, mesh), train.make_train_chunk(step, mesh)

    def run() -> int:
        held["state"], metrics = many(held["state"], placed, {})
        jax.block_until_ready(metrics)
        return config.chunk

    return run


def operations(config: ConfigDict, chunk: dict) -> float:
    """Floating-point operations of a training step, as XLA counts them before it optimises."""
    task, batch = tasks.make(config), batch_at(chunk, 0)
    step = train.make_train_step(task, config, steps_per_epoch=1000)
    state = jax.eval_shape(lambda: train.create_state(task, config, batch, steps_per_epoch=1000))
    return jax.jit(step).lower(state, batch).cost_analysis()["flops"]


def matmul_runner() -> Callable[[], int]:
    """A call that multiplies once and returns 1."""
    a, b = jax.random.normal(jax.random.key(0), (2, SIDE, SIDE))
    multiply = jax.jit(jnp.matmul, compiler_options=train.compiler_options())

    def run() -> int:
        jax.block_until_ready(multiply(a, b))
        return 1

    return run


def peak_bytes() -> int:
    """The most memory that this process has held, or, on an accelerator, its first device."""
    stats = jax.local_devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats:
        return stats["peak_bytes_in_use"]
    try:  # `getrusage` counts the process that started this one, too
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def measured(system: str, point: dict, rounds: int, seconds: float) -> dict:
    """In this process: steps a second (of all seeds), peak memory, share of the ceiling."""
    config, seeds = config_at(system, point), point.get("seeds", 1)
    chunk = random_chunk(config)
    if seeds > 1:
        run = fdigits_runners(config, chunk, seeds)[0]["seeds"]
    else:
        run = shared_runner(config, chunk)
    run()
    peak, multiply = peak_bytes(), matmul_runner()
    multiply()
    flops, rates, ceilings, busy = operations(config, chunk), [], [], []
    for _ in range(rounds):
        for runner, told in ((run, rates), (multiply, ceilings)):
            rate, others = measure(runner, seconds)
            told.append(rate)
            busy.append(others)
    ceilings = [rate * 2 * SIDE**3 for rate in ceilings]
    shares = [rate * flops / most for rate, most in zip(rates, ceilings, strict=True)]
    return {
        "batch_size": config.batch_size,
        "steps_per_second": [round(rate, 2) for rate in rates],
        "peak_bytes": peak,
        "operations_of_a_step": flops,
        "ceiling_gflops": [round(most / 1e9, 1) for most in ceilings],
        "share_of_ceiling": [round(share, 3) for share in shares],
        sitting.BUSY: busy,
    }


def in_fresh_process(system: str, point: dict, rounds: int, seconds: float) -> dict:
    """`measured` in a process of its own, of so many simulated devices.

    Raises:
      UserError: it failed, of too little memory say.
    """
    given = json.dumps([system, point, rounds, seconds])
    devices = f" --xla_force_host_platform_device_count={point.get('devices', 1)}"
    environment = os.environ | {"XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + devices}
    code = f"from benchmarks.scale import *; print(json.dumps(measured(*json.loads('{given}'))))"
    return fresh(code, f"{system} at {point}", environment)


def fresh(code: str, what: str, environment: dict[str, str] | None = None) -> dict:
    """What Python code prints as JSON in its last line, in a process of its own.

    Raises:
      UserError: it failed; the message says `what`, and why.
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        why = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1]
        raise UserError(f"{what}: {why}")
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, figure: dict) -> tuple:
    rates, batch = figure["steps_per_second"], figure["batch_size"]
    busy = figure[sitting.BUSY]
    return (
        name,
        spread(rates, 1),
        f"{statistics.median(rates) * batch:,.0f}",
        f"{figure['peak_bytes'] / 2**20:,.0f}",
        f"{statistics.median(figure['ceiling_gflops']):,.0f}",
        spread([100 * share for share in figure["share_of_ceiling"]], 0),
        "?" if None in busy else spread(busy, 1),
    )


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--system", default="hybrid_cnn")
    parser.add_argument("--axes", default=",".join(AXES), help="some of these")
    parser.add_argument("--rounds", type=positive(int), default=5)
    each = "of training and ceiling in each round"
    parser.add_argument("--seconds", type=positive(float), default=1.0, help=each)
    parser.add_argument("--json", type=path_of, help="file that the figures join")
    args = parser.parse_args()
    choose(args.system, SYSTEMS, "system")
    axes = {axis: choose(axis, AXES, "axis") for axis in args.axes.split(",")}
    found = {}
    with Console(stderr=True).status("") as status:
        for axis, points in axes.items():
            for value in points:
                name = f"{args.system}: {axis} {value:g}"
                status.update(f"{name} ...")
                point = {axis: value}
                found[name] = in_fresh_process(args.system, point, args.rounds, args.seconds)
                if args.json:
                    here = sitting.here(seconds=args.seconds)
                    sitting.join(args.json, {name: found[name]}, here)
    columns = ("point", "steps / s", "items / s", "MiB", "ceiling, GFLOP/s", "% of it", "busy")
    lines = [row(name, figure) for name, figure in found.items()]
    Console().print(sitting.table("scale: median (min–max)", columns, lines))


if __name__ == "__main__":
    main()
