"""What each ingredient of `configs/strangers.py` gives: short trainings of several seeds.

python -m benchmarks.ingredients --data-dir data --json results/strangers/ingredients.jsonl

Every row is trained for about `STEPS` steps with each seed and tried on the files of strangers and,
of words, on the Speech Commands digits too, which no row trains on. Rows that the JSON file holds
already are not trained again. The shipped weights learnt for longer and are better than any row.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.strangers import Item, listed, spoken
from configs.strangers import get_config
from fdigits import trained
from fdigits.config import DATA, XLA_CACHE
from fdigits.console import console
from fdigits.errors import exit_cleanly
from fdigits.examples import load_splits, resolved
from fdigits.files import path_of
from fdigits.models import ears
from fdigits.recogniser import hear, see
from fdigits.run import run
from fdigits.trained import Trained

STEPS = 1000
DECAYS = 4  # the learning rate falls after each such part of a training
WORDS = "fsdd+gsc_partial+other_voices+voices"
PICTURES = "mnist+digits+printed+sketched"


class Row(NamedTuple):
    """One training: a name for people, and what differs from the whole recipe."""

    name: str
    kind: str  # picture | sound
    data: str
    fields: Mapping[str, object] = {}
    patches: Mapping[str, Callable] = {}  # of `models/ears.py`


def _with_mean(word_BxT: jax.Array) -> jax.Array:
    """As `ears.cepstra`, with each coefficient's mean over the word left in."""
    cepstrum, loud = ears.coloured_cepstra(word_BxT)
    return cepstrum * loud


PLAIN = {"augment.strength": 0.0}
ROWS = (
    Row("FSDD, no alterations", "sound", "fsdd", PLAIN),
    Row("+ alterations", "sound", "fsdd"),
    Row("+ other real voices", "sound", "fsdd+gsc_partial+other_voices"),
    Row("+ eSpeak NG: the recipe", "sound", WORDS),
    Row("without alterations", "sound", WORDS, PLAIN),
    Row("without balance", "sound", WORDS, {"data.balance": False}),
    Row("without SpecAugment", "sound", WORDS, {}, {"masked": lambda x, key: x}),
    Row("without the cepstral mean", "sound", WORDS, {}, {"cepstra": _with_mean}),
    Row("MNIST, no alterations", "picture", "mnist", PLAIN),
    Row("+ handwriting", "picture", "mnist"),
    Row("+ scikit-learn's and printed digits", "picture", "mnist+digits+printed"),
    Row("+ sketched digits: the recipe", "picture", PICTURES),
    Row("without handwriting", "picture", PICTURES, PLAIN),
)


class Tried(NamedTuple):
    """Items as a model reads them `[N, ...]`, and what is right."""

    inputs: dict[str, np.ndarray]
    items: list[Item]


def read(items: list[Item]) -> Tried:
    """The items of one kind of file, as `Recogniser` reads them."""
    reader = {"picture": see, "recording": lambda file: hear(file, {"word"})}[items[0].kind]
    found = [reader(item.file).inputs for item in items]
    return Tried({name: np.stack([x[name] for x in found]) for name in found[0]}, items)


def tried(data_dir: Path, folder: Path) -> dict[str, dict[str, Tried]]:
    """By kind of row, what it is tried on."""
    strangers = listed(data_dir / "strangers")
    by_kind = {k: [i for i in strangers if i.kind == k] for k in ("picture", "recording")}
    return {
        "picture": {"strangers": read(by_kind["picture"])},
        "sound": {
            "strangers": read(by_kind["recording"]),
            "commands": read(spoken(data_dir, folder)),
        },
    }


def shares(run: Trained, items: Tried) -> dict[str, float]:
    """Share right of all, of photographs, and the mean and the least over sources."""
    digit = run.outputs(run.arrays(items.inputs))["logits"].argmax(-1)
    right, of = digit == np.array([item.digit for item in items.items]), defaultdict(list)
    for item, hit in zip(items.items, right, strict=True):
        of[item.source].append(hit)
        of["photo"].extend([hit] * (item.about == "photo"))
    photographs = of.pop("photo", [])
    means = [np.mean(hits) for hits in of.values()]
    found = {"right": right.mean(), "mean": np.mean(means), "worst": min(means)}
    found |= {"photographs": np.mean(photographs)} if photographs else {}
    return {name: round(float(x), 4) for name, x in found.items()}


def config_of(row: Row, seed: int, data_dir: Path, workdir: Path) -> ConfigDict:
    """The row's config: about `STEPS` steps, whatever the data set's size."""
    config = get_config(f"{row.kind},{row.data}" if row.kind == "sound" else "picture,mnist")
    config.update_from_flattened_dict({**row.fields, "seed": seed, "data.dir": str(data_dir)})
    config.data.name = row.data
    reads = ("image",) if row.kind == "picture" else ("word",)
    count = len(load_splits(resolved(config), reads, workdir)["train"])
    config.epochs = max(1, round(STEPS * config.batch_size / count))
    if config.epochs < DECAYS:  # shorter epochs, as many steps
        config.data.limit = STEPS * config.batch_size // DECAYS
        config.epochs = DECAYS
    config.optimizer.decay_epochs = -(-config.epochs // DECAYS)
    return config


def trainings(
    row: Row, seed: int, data_dir: Path, files: Mapping[str, Tried]
) -> Iterator[dict[str, object]]:
    """Trains a row and tries it; what hears is tried with each word heard once, too."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as patched:
        for name, function in row.patches.items():
            patched.enter_context(mock.patch.object(ears, name, function))
        workdir = Path(folder) / "run"
        run(config_of(row, seed, data_dir, Path(folder)), workdir, page=False)
        found = trained.load(workdir)
        told = {name: shares(found, items) for name, items in files.items()}
        yield {"row": row.name, "kind": row.kind, "seed": seed, **told}
        if row.kind == "sound":
            patched.enter_context(mock.patch.object(ears, "heard_again", lambda word: word))
            told = {name: shares(found, items) for name, items in files.items()}
            yield {"row": f"{row.name}, heard once", "kind": row.kind, "seed": seed, **told}


def table(rows: list[dict]) -> Iterator[str]:
    """Name, seeds, mean and standard deviation of the shares right: Markdown rows."""
    for name in dict.fromkeys(row["row"] for row in rows):
        own = [row for row in rows if row["row"] == name]
        columns = [("strangers", "mean"), ("strangers", "worst")]
        columns += [("strangers", "photographs")] if own[0]["kind"] == "picture" else []
        columns += [("commands", "right")] if own[0]["kind"] == "sound" else []
        values = [100 * np.array([row[on][what] for row in own]) for on, what in columns]
        spread = (f" ± {x.std(ddof=1):.1f}" if len(x) > 1 else "" for x in values)
        told = (f"{x.mean():.1f}{sd}" for x, sd in zip(values, spread, strict=True))
        yield f"| {name} | {len(own)} | {' | '.join(told)} |"


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--json", type=path_of, required=True, help="file of a line a training")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    jax.config.update("jax_compilation_cache_dir", str(Path(XLA_CACHE).expanduser()))
    lines = args.json.read_text().splitlines() if args.json.exists() else []
    held = [json.loads(line) for line in lines]
    done = {(row["row"], row["seed"]) for row in held}
    with tempfile.TemporaryDirectory() as folder:
        files = tried(args.data_dir, Path(folder))
    for seed in range(args.seeds):
        for row in (row for row in ROWS if (row.name, seed) not in done):
            for found in trainings(row, seed, args.data_dir, files[row.kind]):
                held.append(found)
                with args.json.open("a") as file:
                    file.write(json.dumps(found) + "\n")
                console.print(json.dumps(found))
    print(*table(held), sep="\n")


if __name__ == "__main__":
    main()
