"""Training steps per second of fdigits and of its peers: same model, batch size and optimizer.

python -m benchmarks.steps [--systems=image_cnn,...] [--peers=torch,torch_compile] [--json=FILE]

All but Keras run in this process by turns (A B A B ...) after a warm-up, on random data that lies
on the device beforehand. A peer's ratio is fdigits' chunk against it in the same round; "best" is
the smallest of them, over the peer that was quickest in that round, of those in bfloat16 only where
fdigits is (--dtype=bfloat16). Cores taken by other processes are printed, as PyTorch's threads wait
for each other and suffer most from them.

--json=FILE: a system takes its earlier figure's place, others stay, each with its own machine,
versions and date.

--peers=all are PyTorch as it is, with a fused Adam, also channels_last, also compiled, and the last
two in bfloat16 (autocast), and of R0's systems Keras on JAX and on TensorFlow, each in a process of
its own; on a GPU also PyTorch compiled for CUDA graphs, and float32 is TF32 there on both sides.
--seeds=16 adds fdigits training so many seeds at once, by vmap, and counts all their steps.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from benchmarks import keras_peers, sitting
from benchmarks.sitting import busy_seconds, positive, spread
from benchmarks.systems import SYSTEMS, load_config
from fdigits import provenance, tasks, train
from fdigits.config import choose
from fdigits.data.corpus import CLASSES, FRAMES, MODALITIES
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of
from fdigits.tasks.task import DTYPES

# Training seconds of a variant over those of its base (R4 Tables 10 and 13).
PAPER_TIMES = {
    "attention_base": dict(spatial=1.17, self=1.95, cbam=1.53, se=1.08),
    "spectrogram_lenet": dict(cbam=2.45, hybrid=1.09),
}
PEERS = (  # of peers.SETTINGS, and of keras_peers
    "torch",
    "torch_fused",
    "torch_channels_last",
    "torch_compile",
    "torch_bfloat16",
    "torch_bfloat16_compile",
    *keras_peers.BACKENDS,
)
GPU_PEERS = ("torch_graphs", "torch_bfloat16_graphs")


def random_chunk(config: ConfigDict) -> dict[str, np.ndarray]:
    """`chunk` batches `[K, B, ...]` as the feeder gives them, of a fixed seed; any length is 39,
    all of it sound."""
    rng, shape = np.random.default_rng(0), (config.chunk, config.batch_size)
    made = {}
    for name in tasks.make(config).reads:
        size = (*shape, *(places or FRAMES for places in MODALITIES[name].read))
        if "int" in MODALITIES[name].dtype:
            limits = np.iinfo(MODALITIES[name].dtype)
            made[name] = rng.integers(limits.min, limits.max, size, limits.dtype, endpoint=True)
        else:
            made[name] = rng.standard_normal(size, dtype=np.float32)
        if name == "frames":
            made[name][..., -1] = 1
    return made | {"label": rng.integers(0, CLASSES, shape, dtype=np.int32)}


def read_batches(config: ConfigDict, chunk: dict) -> list[dict[str, np.ndarray]]:
    """The task's inputs of each batch, before noise, and labels: what peers are given, float32."""
    with (plain := config.copy_and_resolve_references()).unlocked():
        plain.dtype = "float32"
    inputs = jax.jit(tasks.make(plain).inputs)
    batches = [batch_at(chunk, i) for i in range(config.chunk)]
    return [jax.device_get(inputs(batch)) | {"label": batch["label"]} for batch in batches]


def batch_at(chunk: dict, i: int) -> dict:
    return {name: array[i] for name, array in chunk.items()}


def fdigits_runners(
    config: ConfigDict, chunk: dict, seeds: int = 1
) -> tuple[dict[str, Callable], int]:
    """Calls that take K steps, one by one or as a chunk, and return K; the parameter count.

    Of several seeds there is "seeds" too: a chunk of each, all at once.
    """
    task = tasks.make(config)
    step = train.make_train_step(task, config, steps_per_epoch=1000)
    one, many = train.compile_step(step), train.make_train_chunk(step)
    on_device = jax.device_put(chunk)
    batches = [batch_at(on_device, i) for i in range(config.chunk)]
    state = train.create_state(task, config, batches[0], steps_per_epoch=1000)
    states = {"step": state, "chunk": jax.tree.map(lambda x: x.copy(), state)}

    def run_step() -> int:
        for batch in batches:
            states["step"], metrics = one(states["step"], batch)
        jax.block_until_ready(metrics)
        return config.chunk

    def run_chunk() -> int:
        states["chunk"], metrics = many(states["chunk"], on_device, {})
        jax.block_until_ready(metrics)
        return config.chunk

    count = sum(x.size for x in jax.tree.leaves(state.params))
    runners = {"step": run_step, "chunk": run_chunk}
    if seeds > 1:
        runners["seeds"] = _seeds_runner(config, task, on_device, step, seeds)
    return runners, count


def _seeds_runner(
    config: ConfigDict, task: tasks.Task, chunk: dict, step: Callable, seeds: int
) -> Callable[[], int]:
    def state_of(seed: int) -> train.TrainState:
        with (own := config.copy_and_resolve_references()).unlocked():
            own.seed = seed
        return train.create_state(task, own, batch_at(chunk, 0), steps_per_epoch=1000)

    def stacked(*trees):
        return jax.tree.map(lambda *x: jnp.stack(x), *trees)

    held = {"states": stacked(*map(state_of, range(seeds)))}
    chunks = stacked(*[chunk] * seeds)
    together = train.compile_step(jax.vmap(lambda state, chunk: jax.lax.scan(step, state, chunk)))

    def run_seeds() -> int:
        held["states"], metrics = together(held["states"], chunks)
        jax.block_until_ready(metrics)
        return seeds * config.chunk

    return run_seeds


def peer_runners(peers, names: list[str], config: ConfigDict, chunk: dict) -> dict[str, Callable]:
    """Of the peers that know the system."""
    batches, runners = read_batches(config, chunk), {}
    for name in names:
        if name not in keras_peers.BACKENDS:
            runners[name] = peers.runner(config, batches, peers.SETTINGS[name])
        elif keras_peers.knows(config):
            runners[name] = keras_peers.Peer(name, config, batches)
    return runners


def measure(run: Callable[[], int], seconds: float) -> tuple[float, float | None]:
    """Steps per second, and the cores that other processes kept busy meanwhile."""
    cpu_seconds = getattr(run, "cpu_seconds", time.process_time)  # with those of Keras' process
    busy, own, began, steps = busy_seconds(), cpu_seconds(), time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        steps += run()
    if busy is None:
        return steps / elapsed, None
    others = busy_seconds() - busy - (cpu_seconds() - own)
    return steps / elapsed, round(max(0.0, others / elapsed), 2)


class Prepared(NamedTuple):
    """A system's runners, warm, and what is told of it beside their rates."""

    runners: dict[str, Callable]
    peers: list[str]
    about: dict


def prepare(
    system: str, peers, names: list[str], seeds: int = 1, dtype: str = "float32"
) -> Prepared:
    """Compiles every runner and calls it twice."""
    config = load_config(system)
    with config.unlocked():
        config.dtype = dtype
    chunk = random_chunk(config)
    runners, count = fdigits_runners(config, chunk, seeds)
    theirs = peer_runners(peers, names, config, chunk) if names else {}
    runners |= theirs
    for run in [*runners.values()] * 2:
        run()
    about = {
        "batch_size": config.batch_size,
        "chunk": config.chunk,
        "dtype": dtype,
        "seeds": seeds,
        # torch's LSTM has a second bias of 4·H a layer
        "parameters": {"fdigits": count} | ({"torch": peers.parameters(config)} if names else {}),
    }
    return Prepared(runners, [*theirs], about)


def benchmark(prepared: Prepared, rounds: int, seconds: float) -> dict:
    """Rates of every runner in every round."""
    runners, names, about = prepared
    rates, others = {name: [] for name in runners}, {name: [] for name in runners}
    for _, name in itertools.product(range(rounds), runners):
        rate, busy = measure(runners[name], seconds)
        rates[name].append(round(rate, 2))
        others[name].append(busy)
    ratios = {
        name: [round(a / b, 3) for a, b in zip(rates["chunk"], rates[name], strict=True)]
        for name in names
    }
    alike = [r for n, r in ratios.items() if "bfloat16" not in n or about["dtype"] == "bfloat16"]
    ratios |= {"best": [min(each) for each in zip(*alike, strict=True)]} if alike else {}
    return about | {
        "steps_per_second": rates,
        "ratio_of_chunk": ratios,
        "cores_busy_elsewhere": others,
    }


def table(results: dict[str, dict]) -> Table:
    """A row for each runner of each system."""
    shown = Table(title="training steps per second: median (min–max)")
    for column in ("system", "batch", "who", "steps / s", "chunk is quicker by", "cores busy"):
        shown.add_column(column, justify="left" if column in ("system", "who") else "right")
    for system, result in results.items():
        rates, ratios = result["steps_per_second"], result["ratio_of_chunk"]
        busy = [b for values in result["cores_busy_elsewhere"].values() for b in values]
        name = (system, str(result["batch_size"]), "?" if None in busy else spread(busy, 1))
        for who in dict.fromkeys([*rates, *ratios]):
            rate = spread(rates[who], 1) if who in rates else ""
            ratio = spread(ratios[who], 2) if who in ratios else ""
            shown.add_row(name[0], name[1], who, rate, ratio, name[2])
            name = ("", "", "")
        shown.add_section()
    return shown


def relative_times(results: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Time of a step of each variant over its base's, by medians; chunk is fdigits'.

    Both are of one sitting, in different rounds. `reported` is the paper's ratio.
    """
    relative = {}
    for base, reported in PAPER_TIMES.items():
        for variant, ratio in reported.items():
            system = f"{base.partition('_')[0]}_{variant}"
            if base not in results or system not in results:
                continue
            if results[base].get("sitting") != results[system].get("sitting"):
                continue
            ours, theirs = (results[name]["steps_per_second"] for name in (system, base))
            times = {
                name: round(statistics.median(theirs[name]) / statistics.median(rates), 3)
                for name, rates in ours.items()
                if name != "step" and name in theirs
            }
            relative[system] = times | {"reported": ratio}
    return relative


def relative_table(relative: dict[str, dict[str, float]]) -> Table:
    names = dict.fromkeys(name for times in relative.values() for name in times)
    columns = [name for name in names if name != "reported"] + ["reported"]
    lines = [(system, *map(times.get, columns)) for system, times in relative.items()]
    title = "time of a step, relative to the model without attention"
    return sitting.table(title, ("system", *columns), lines)


def import_peers():
    try:
        from benchmarks import peers
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            "--peers needs PyTorch: pip install -c constraints.txt -e '.[bench]', or --peers=''"
        ) from error
    return peers


def peer_names(given: str) -> list[str]:
    """`--peers` as a list.

    Raises:
      UserError: no such peer.
    """
    usable = (*PEERS, *GPU_PEERS) if jax.default_backend() != "cpu" else PEERS
    names = usable if given == "all" else [name for name in given.split(",") if name]
    for name in names:
        choose(name, dict.fromkeys(usable), "peer")
    return list(names)


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    known = "some of " + ", ".join((*PEERS, *GPU_PEERS)) + "; all; or ''"
    parser.add_argument("--peers", default="torch", help=known)
    parser.add_argument("--seeds", type=positive(int), default=1, help="trained at once by vmap")
    parser.add_argument("--dtype", default="float32", help="of fdigits' activations")
    parser.add_argument("--rounds", type=positive(int), default=5)
    each = "of each runner in each round"
    parser.add_argument("--seconds", type=positive(float), default=2.0, help=each)
    parser.add_argument("--json", type=path_of, help="file that the raw rounds join")
    args = parser.parse_args()
    choose(args.dtype, DTYPES, "dtype")
    names = peer_names(args.peers)
    systems = args.systems.split(",")
    for system in systems:
        choose(system, SYSTEMS, "system")
    peers = import_peers() if names else None

    results = {}
    with Console(stderr=True).status("") as status:
        for system in systems:
            status.update(f"{system} ...")
            prepared = prepare(system, peers, names, args.seeds, args.dtype)
            results[system] = benchmark(prepared, args.rounds, args.seconds)
            for run in prepared.runners.values():
                getattr(run, "close", int)()
    Console().print(table(results))
    if args.json:
        versions = provenance.versions() | (peers.versions() if peers else {})
        if set(names) & {*keras_peers.BACKENDS}:
            versions |= keras_peers.versions()
        here = sitting.here(versions=versions, seconds=args.seconds)
        results = sitting.join(args.json, results, here)
    if relative := relative_times(results):
        Console().print(relative_table(relative))


if __name__ == "__main__":
    main()
