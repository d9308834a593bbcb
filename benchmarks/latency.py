"""How long one prediction takes: a batch of one, beside PyTorch's twin.

python -m benchmarks.latency [--systems=image_cnn,word,...] [--peers=torch,...] [--json=FILE]

`picture` and `word` are the two experts of the weights that ship. A call takes one item from the
host and gives its ten probabilities back to it. PyTorch is set as a careful user sets it: eval,
inference_mode, weights packed once; also channels_last, and compiled. All are called by turns; a
round's figure is the median of its calls, as the processor's other work only ever adds to one.
The model of fdigits normalises pictures itself, the twin is given normalised ones. Random weights,
but for those that ship.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from benchmarks import sitting
from benchmarks.sitting import positive, spread
from benchmarks.steps import batch_at, import_peers, random_chunk
from benchmarks.systems import load_config
from fdigits import provenance, tasks, trained
from fdigits.config import choose
from fdigits.errors import exit_cleanly
from fdigits.files import path_of

R0 = ("image_cnn", "audio_cnn", "audio_lstm", "hybrid_cnn", "hybrid_lstm")
EXPERTS = {"picture": "image", "word": "word"}  # of the weights that ship -> what each reads
PEERS = ("torch", "torch_channels_last", "torch_compile")

Call = Callable[[], np.ndarray]  # gives probabilities `[1, 10]`


def single(config: ConfigDict, reads: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """One random item as a batch, of what a model reads."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.chunk, config.batch_size = 1, 1
    batch = batch_at(random_chunk(config), 0)
    return {name: batch[name] for name in reads or tasks.make(config).reads}


def own_call(task: tasks.Task, params, batch_stats, batch: dict) -> Call:
    """A prediction by fdigits, compiled as `Recogniser` does it."""
    predict = jax.jit(lambda *given: task.probabilities(task.evaluate(*given)))
    params, batch_stats = jax.device_put((params, batch_stats))
    return lambda: np.asarray(predict(params, batch_stats, batch))


def calls(system: str, peers, names: list[str]) -> dict[str, Call]:
    """fdigits' call and each peer's."""
    if system in EXPERTS:
        shipped, reads = trained.shipped(), (EXPERTS[system],)
        config, task = shipped.config, shipped.task
        params, batch_stats = shipped.params, shipped.batch_stats
        batch = single(config, reads)
    else:
        config = load_config(system)
        task, batch = tasks.make(config), single(config)
        variables = jax.jit(task.init)(jax.random.key(0), batch)
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
    made = {"fdigits": own_call(task, params, batch_stats, batch)}
    if names:
        inputs = jax.device_get(jax.jit(task.inputs)(batch))
        inputs = {name: inputs[name] for name in batch}
        for name in names:
            setting = peers.SETTINGS[name]
            made[name] = peers.predictor(config.model, inputs, setting)
    return made


def timed(call: Call, count: int) -> float:
    """Median milliseconds of `count` calls."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)


def compared(system: str, peers, names: list[str], rounds: int, count: int) -> dict:
    """Milliseconds of every round of everyone, and of the best peer over fdigits'."""
    made = calls(system, peers, names)
    for call in [*made.values()] * 3:
        call()
    taken = {name: [] for name in made}
    with sitting.watched() as told:
        for _ in range(rounds):
            for name, call in made.items():
                taken[name].append(round(timed(call, count), 4))
    each = list(zip(*(taken[name] for name in names), strict=True))
    ratios = [round(min(a) / b, 3) for a, b in zip(each, taken["fdigits"], strict=True)]
    return {"milliseconds": taken, "best_peer_takes": ratios if names else []} | told


def rows(found: dict[str, dict]) -> list[tuple]:
    """One for each system."""
    lines = []
    for system, figure in found.items():
        peers = [
            f"{name} {statistics.median(taken):.2f}"
            for name, taken in figure["milliseconds"].items()
            if name != "fdigits"
        ]
        ratios = figure["best_peer_takes"]
        ratio = spread(ratios, 2) if ratios else ""
        own = spread(figure["milliseconds"]["fdigits"], 2)
        lines.append((system, own, "\n".join(peers), ratio, figure[sitting.BUSY]))
    return lines


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--systems", default=",".join((*R0, *EXPERTS)))
    parser.add_argument("--peers", default=",".join(PEERS), help="some of these, or ''")
    parser.add_argument("--rounds", type=positive(int), default=7)
    parser.add_argument("--calls", type=positive(int), default=100, help="of each in each round")
    parser.add_argument("--json", type=path_of, help="file that the figures join")
    args = parser.parse_args()
    systems, names = args.systems.split(","), [x for x in args.peers.split(",") if x]
    for system in systems:
        choose(system, dict.fromkeys((*R0, *EXPERTS)), "system")
    for name in names:
        choose(name, dict.fromkeys(PEERS), "peer")
    peers = import_peers() if names else None
    with Console(stderr=True).status("predictions by turns ..."):
        found = {
            system: compared(system, peers, names, args.rounds, args.calls) for system in systems
        }
    columns = ("system", "fdigits, ms", "peers, ms", "best peer takes, times", "cores busy")
    Console().print(sitting.table("one prediction: median (min–max)", columns, rows(found)))
    if args.json:
        versions = provenance.versions() | (peers.versions() if peers else {})
        sitting.join(args.json, found, sitting.here(versions=versions, calls=args.calls))


if __name__ == "__main__":
    main()
