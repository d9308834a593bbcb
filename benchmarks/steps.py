"""Training steps per second of fdigits and of its peers: same model, batch size and optimizer.

python benchmarks/steps.py [--models=image_cnn,...] [--peers=torch,torch_compile] [--json=FILE]

All run in this process by turns (A B A B ...) after a warm-up, on random data that lies on the
device beforehand. A peer's ratio is fdigits' chunk against it in the same round. Cores taken by
other processes are printed, as PyTorch's threads wait for each other and suffer most from them.
"""

import argparse
import importlib.util
import itertools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from fdigits import optim, provenance, train
from fdigits.config import choose
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import write_json
from fdigits.models import classifiers
from fdigits.stages.classify import Classify

CONFIGS = {
    "image_cnn": ("image", ""),
    "audio_cnn": ("audio", ""),
    "audio_lstm": ("audio", "net=lstm"),
    "hybrid_cnn": ("hybrid", ""),
    "hybrid_lstm": ("hybrid", "audio=lstm"),
}
PEERS = {"torch": False, "torch_compile": True}  # compiled?


def load_config(model: str) -> ConfigDict:
    name, arg = choose(model, CONFIGS, "model")
    file = Path(__file__).parents[1] / "configs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)


def random_chunk(config: ConfigDict) -> dict[str, np.ndarray]:
    """`chunk` batches as the feeder gives them, image uint8 `[K, B, 28, 28]`, of a fixed seed."""
    rng, shape = np.random.default_rng(0), (config.chunk, config.batch_size)
    arrays = {
        "image": rng.integers(0, 256, (*shape, 28, 28), dtype=np.uint8),
        "audio": rng.standard_normal((*shape, 39, 13), dtype=np.float32),
        "label": rng.integers(0, 10, shape, dtype=np.int32),
    }
    return {name: arrays[name] for name in (*classifiers.modalities(config.model), "label")}


def batch_at(chunk: dict, i: int) -> dict:
    return {name: array[i] for name, array in chunk.items()}


def fdigits_runners(config: ConfigDict, chunk: dict) -> tuple[dict[str, Callable], int]:
    """Calls that take K steps, one by one or as a chunk, and return K; the parameter count."""
    stage = Classify(classifiers.make(config.model))
    step = train.make_train_step(stage, optim.make(config.optimizer, steps_per_epoch=1000))
    one, many = train.compile_step(step), train.make_train_chunk(step)
    on_device = jax.device_put(chunk)
    batches = [batch_at(on_device, i) for i in range(config.chunk)]
    state = train.create_state(stage, config, batches[0], steps_per_epoch=1000)
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
    return {"step": run_step, "chunk": run_chunk}, count


def peer_runners(
    peers, names: list[str], model: str, config: ConfigDict, chunk: dict
) -> dict[str, Callable]:
    floats = dict(chunk)
    if "image" in floats:  # as `classify.inputs`, but before the clock starts
        floats["image"] = ((floats["image"] / np.float32(255) - 0.5) / 0.5)[..., None]
    batches = [batch_at(floats, i) for i in range(config.chunk)]
    rule = config.optimizer.learning_rate, config.optimizer.weight_decay
    return {name: peers.runner(model, batches, *rule, compiled=PEERS[name]) for name in names}


def busy_seconds() -> float | None:
    """Processor seconds of the whole machine so far; None where /proc/stat is missing."""
    try:
        ticks = Path("/proc/stat").read_text().split("\n")[0].split()[1:4]  # user nice system
    except OSError:
        return None
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measure(run: Callable[[], int], seconds: float) -> tuple[float, float | None]:
    """Steps per second, and the cores that other processes kept busy meanwhile."""
    busy, own, began, steps = busy_seconds(), time.process_time(), time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        steps += run()
    if busy is None:
        return steps / elapsed, None
    others = busy_seconds() - busy - (time.process_time() - own)
    return steps / elapsed, round(max(0.0, others / elapsed), 2)


def spread(values: list[float], digits: int) -> str:
    """Median (minimum–maximum)."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def benchmark(model: str, peers, names: list[str], rounds: int, seconds: float) -> dict:
    """Rates of every runner in every round, after a warm-up of two calls each."""
    config = load_config(model)
    chunk = random_chunk(config)
    runners, count = fdigits_runners(config, chunk)
    runners |= peer_runners(peers, names, model, config, chunk) if names else {}
    for run in [*runners.values()] * 2:
        run()
    rates, others = {name: [] for name in runners}, {name: [] for name in runners}
    for _, name in itertools.product(range(rounds), runners):
        rate, busy = measure(runners[name], seconds)
        rates[name].append(round(rate, 2))
        others[name].append(busy)
    parameters = {"fdigits": count} | ({"torch": peers.parameters(model)} if names else {})
    ratios = {
        name: [round(a / b, 3) for a, b in zip(rates["chunk"], rates[name], strict=True)]
        for name in names
    }
    return {
        "batch_size": config.batch_size,
        "chunk": config.chunk,
        "parameters": parameters,  # torch's LSTM has a second bias of 4·H a layer
        "steps_per_second": rates,
        "ratio_of_chunk": ratios,
        "cores_busy_elsewhere": others,
    }


def table(results: dict[str, dict], names: list[str]) -> Table:
    shown = Table(title="training steps per second: median (min–max)")
    columns = ["model", "batch", "step", "chunk", *names, *(f"chunk / {n}" for n in names)]
    for column in [*columns, "cores busy elsewhere"]:
        shown.add_column(column, justify="left" if column == "model" else "right")
    for model, result in results.items():
        rates = (spread(result["steps_per_second"][n], 1) for n in ("step", "chunk", *names))
        ratios = (spread(result["ratio_of_chunk"][n], 2) for n in names)
        busy = [b for values in result["cores_busy_elsewhere"].values() for b in values]
        busy = "?" if None in busy else spread(busy, 1)
        shown.add_row(model, str(result["batch_size"]), *rates, *ratios, busy)
    return shown


def positive(kind: type) -> Callable[[str], float]:
    def number(text: str):
        if not (value := kind(text)) > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    return number


def import_peers():
    try:
        import peers
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            "--peers needs PyTorch, which is not installed: `pip install torch`, or --peers=''"
        ) from error
    return peers


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(CONFIGS))
    parser.add_argument("--peers", default="torch", help="torch, torch_compile, both, or ''")
    parser.add_argument("--rounds", type=positive(int), default=5)
    each = "of each runner in each round"
    parser.add_argument("--seconds", type=positive(float), default=2.0, help=each)
    parser.add_argument("--json", type=Path, help="file for the raw rounds")
    args = parser.parse_args()
    names = [name for name in args.peers.split(",") if name]
    for name in names:
        choose(name, PEERS, "peer")
    models = args.models.split(",")
    for model in models:
        choose(model, CONFIGS, "model")
    peers = import_peers() if names else None

    results = {}
    with Console(stderr=True).status("") as status:
        for model in models:
            status.update(f"{model} ...")
            results[model] = benchmark(model, peers, names, args.rounds, args.seconds)
    Console().print(table(results, names))
    if args.json:
        about = {
            "hardware": provenance.hardware(),
            "versions": provenance.versions() | (peers.versions() if peers else {}),
            "commit": provenance.commit(),
            "seconds": args.seconds,
        }
        write_json(args.json, about | {"models": results})


if __name__ == "__main__":
    main()
