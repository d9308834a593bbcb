"""Accuracy of finished runs against noise, blur, occlusion, and a missing modality.

python -m fdigits.robustness [RUN ...] --out DIR [--data NAME] [--json FILE]

Without RUN, the shipped weights. Items are the run's own test part, or the official test part of
--data (of the shipped weights mnist_fsdd): 1,000 at most, the same for all runs that share it.
`corruptions.py` tells the levels. An area is that under a curve over its axis, as a mean accuracy.

A missing modality is left out where the model may do without it (`experts`); else each item's is
replaced by the training part's mean. `experts` are also tried with each modality alone.

AV-MNIST (Vielzeuf et al., CentralNet, 2018) cannot be had again. Its pictures, which lose 75 % of
their energy by PCA, are remade; its speech, TIDIGITS, and its noise, ESC-50 at levels that are not
told, are not at hand. In their place stand the data set's own recordings and white noise, as loud
as the loudest 50 ms of a word, or one standard deviation of MFCC. Models are not trained on these.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from fdigits import corruptions, evaluate, trained
from fdigits.arguments import Parser
from fdigits.config import DATA
from fdigits.console import console
from fdigits.corruptions import Sweep
from fdigits.data import datasets, pairing, prepare
from fdigits.data.corpus import Corpus
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import check_writable, path_of, write_json
from fdigits.trained import Trained

Arrays = dict[str, np.ndarray]
ITEMS = 1000  # at most
BATCH = 250
SHIPPED_DATA = "mnist_fsdd"
AV_NOISE = {"word": 0.0, "audio": 1.0, "frames": 1.0, "mean_mfcc": 1.0, "spectrogram": 0.2}


class Items(NamedTuple):
    """What runs are tested on, as corpora hold it."""

    data: str
    id: np.ndarray  # [N] of str
    label: np.ndarray  # [N]
    x: Arrays  # modality -> [N, ...]
    training: Arrays  # modality -> [M, ...]


class System(NamedTuple):
    """A run's model, or what it is of one modality alone."""

    name: str
    modalities: tuple[str, ...]
    optional: bool  # whether one may be left out
    predict: Callable[[Mapping[str, np.ndarray]], np.ndarray]  # modality -> [N, ...]: digits [N]


def own_items(run: Trained, data_dir: Path | None, cache: Path | None) -> Items:
    """The run's own test part, or 1,000 items of it.

    Raises:
      UserError: the data cannot be had again.
    """
    found = evaluate.again(run, data_dir, cache)
    test, train = found.splits["test"], found.splits["train"]
    rows = test.examples()
    some = np.sort(np.random.default_rng(0).permutation(len(test))[:ITEMS])
    x = {found.raw[name]: test.corpora[name].x[rows[name][some]] for name in found.raw}
    training = {found.raw[name]: train.corpora[name].x[train.rows[name]] for name in found.raw}
    return Items(run.config.data.name, test.ids()[some], rows["label"][some], x, training)


def official_items(data: str, reads: Sequence[str], data_dir: Path, cache: Path) -> Items:
    """1,000 items of a data set's official test part; pictures meet recordings of their digit.

    Raises:
      UserError: it has no such part or nothing else, or not all that is read.
    """
    corpora = prepare.load(data, data_dir, cache, reads)
    for modality in reads:
        if modality not in corpora:
            raise UserError(f"--data {data} has no {modality}, which a run reads")
    rows = {m: np.flatnonzero(one.part == "test") for m, one in corpora.items()}
    if not all(0 < len(rows[m]) < len(one) for m, one in corpora.items()):
        raise UserError(
            f"{data} has no test part beside a training part, which tells means and scales: give "
            "another --data"
        )
    rows = _paired(corpora, rows, datasets.is_paired(data))
    first = next(iter(corpora))
    ids = ["|".join(names) for names in zip(*(corpora[m].id[rows[m]] for m in rows), strict=True)]
    return Items(
        data,
        np.array(ids),
        corpora[first].label[rows[first]],
        {m: corpora[m].x[rows[m]] for m in reads},
        {m: corpora[m].x[corpora[m].part != "test"] for m in reads},
    )


def _paired(corpora: Mapping[str, Corpus], rows: Arrays, paired: bool) -> Arrays:
    """Rows `[N]` of each modality: of the first at random, of others the same or of the class."""
    rng = np.random.default_rng(0)
    first, *others = rows
    chosen = {first: rng.permutation(rows[first])[:ITEMS]}
    label = corpora[first].label[chosen[first]]
    for name in others:
        partner = pairing.draw_partners(label, corpora[name].label[rows[name]], rng)
        chosen[name] = chosen[first] if paired else rows[name][partner]
    return chosen


def reads(run: Trained) -> tuple[str, ...]:
    """The modalities that a run's model needs to name a digit, without targets of training."""
    found = trained.sources(run.config, run.task, run.workdir)
    return tuple(dict.fromkeys(found[name] for name in run.task.given or run.task.reads))


def systems(run: Trained, name: str) -> list[System]:
    """The run, and each modality alone where that is enough for it."""
    modalities, optional = reads(run), not run.task.given
    predict = predictor(run)
    alone = modalities if optional and len(modalities) > 1 else ()
    whole = System(name, modalities, optional, predict)
    return [whole, *(System(f"{name}, {m} alone", (m,), optional, predict) for m in alone)]


def predictor(run: Trained) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """Digits `[N]` of modalities `[N, ...]` as a corpus holds them; compiled once.

    Raises (the function):
      UserError: the run names no digits.
    """
    judge = jax.jit(run.task.evaluate)

    def predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        arrays, found = run.arrays(inputs), []
        for start in range(0, len(next(iter(arrays.values()))), BATCH):
            batch = {name: x[start : start + BATCH] for name, x in arrays.items()}
            outputs = judge(run.params, run.batch_stats, batch)
            found.append(np.asarray(run.task.probabilities(outputs)).argmax(-1))
        return np.concatenate(found)

    return predict


def accuracy(system: System, inputs: Mapping[str, np.ndarray], label_N: np.ndarray) -> float:
    """Share right."""
    return round(float((system.predict(inputs) == label_N).mean()), 4)


def area(place_L: np.ndarray, accuracy_L: Sequence[float]) -> float:
    """The area under a curve by trapezoids, divided by its axis: a flat curve's is its height."""
    return round(float(np.trapezoid(accuracy_L, place_L) / (place_L[-1] - place_L[0])), 4)


def curves(system: System, items: Items) -> Iterator[dict]:
    """A curve for each corruption of what a system reads, and of noise on all of it at once."""
    noise = {m: corruptions.sweeps(m)[0] for m in system.modalities}
    for sweep in (one for m in system.modalities for one in corruptions.sweeps(m)):
        levels = [{sweep.modality: level} for level in sweep.levels]
        found = _followed(system, items, {sweep.modality: sweep}, levels)
        yield _curve(sweep.modality, sweep.kind, sweep.unit, sweep.levels, sweep.places, found)
    if len(noise) > 1:
        each = zip(*(sweep.levels for sweep in noise.values()), strict=True)
        levels = [dict(zip(noise, level, strict=True)) for level in each]
        steps = np.arange(len(levels))
        found = _followed(system, items, noise, levels)
        yield _curve("+".join(noise), "noise", "step of both scales", steps, steps, found)


def _followed(
    system: System, items: Items, sweep: Mapping[str, Sweep], levels: list[dict[str, float]]
) -> list[float]:
    clean, found = {m: items.x[m] for m in system.modalities}, []
    std = {m: corruptions.deviations(m, items.training[m]) for m in sweep}
    for level in levels:
        bad = {m: corruptions.corrupted(sweep[m], clean[m], level[m], std[m]) for m in level}
        found.append(accuracy(system, clean | bad, items.label))
    return found


def _curve(modality, kind, unit, levels, places, accuracies) -> dict:
    told = [float(level) if np.isfinite(level) else None for level in levels]
    return dict(modality=modality, kind=kind, unit=unit, level=told, place=places.tolist(),
                accuracy=accuracies, area=area(places, accuracies))  # fmt: skip


def missing(system: System, items: Items) -> dict[str, float]:
    """Accuracy without each of several modalities: left out, or the training part's mean."""
    found = {}
    for name in system.modalities if len(system.modalities) > 1 else ():
        given = {m: items.x[m] for m in system.modalities if m != name}
        if not system.optional:
            given[name] = average(items.training[name], len(items.label))
        found[name] = accuracy(system, given, items.label)
    return found


def average(training: np.ndarray, n: int) -> np.ndarray:
    """The mean of training items `[M, ...]`, `[n, ...]` times over."""
    mean = training.mean(0, dtype=np.float64)
    mean = mean if training.dtype == np.float32 else np.round(mean)
    return np.broadcast_to(mean.astype(training.dtype), (n, *mean.shape))


def av_mnist(system: System, items: Items) -> float:
    """Accuracy by the remade protocol of AV-MNIST, see above."""
    bad = {}
    for name in system.modalities:
        x, training = items.x[name], items.training[name]
        if name == "image":
            bad[name] = corruptions.without_energy(x, training)
        else:
            std = corruptions.deviations(name, training)
            bad[name] = corruptions.noisy(x, AV_NOISE[name], std)
    return accuracy(system, bad, items.label)


def measured(system: System, items: Items) -> dict:
    """All figures of a system, as plain values."""
    return dict(
        system=system.name,
        modalities=list(system.modalities),
        data=items.data,
        items=len(items.label),
        clean=accuracy(system, {m: items.x[m] for m in system.modalities}, items.label),
        curves=list(curves(system, items)),
        missing=missing(system, items),
        replaced=not system.optional,
        av_mnist=av_mnist(system, items),
    )


def names(runs: Sequence[Trained]) -> list[str]:
    """Each run's name: the system's, with its data where several are of one, then numbered."""
    whole = [run.config.name for run in runs]
    short = [run.config.name.removesuffix(f"-{run.config.data.name}") for run in runs]
    told = [
        long if short.count(name) > 1 else name for long, name in zip(whole, short, strict=True)
    ]
    return [
        f"{name} #{told[: at + 1].count(name)}" if told.count(name) > 1 else name
        for at, name in enumerate(told)
    ]


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.robustness", __doc__)
    parser.add_argument("runs", nargs="*", type=path_of, metavar="RUN", help="a run's workdir")
    parser.add_argument("--out", required=True, type=path_of, help="folder for the page")
    parser.add_argument("--data", default="", help="another data set, its official test part")
    parser.add_argument("--json", type=path_of, help="file for the figures")
    parser.add_argument("--data-dir", type=path_of, help="of the source files, if not as it was")
    parser.add_argument("--cache", type=path_of, help="of prepared arrays, if not as it was")
    given = parser.parse_args(arguments)
    check_writable(given.out)
    if given.json:
        check_writable(given.json.parent)
        if given.json.is_dir():
            raise UserError(f"--json={given.json} is a folder: name a file")
    runs = [trained.load(run) for run in given.runs] or [trained.shipped()]
    data = given.data or ("" if given.runs else SHIPPED_DATA)
    found, ids = [], set()
    for run, name in zip(runs, names(runs), strict=True):
        with console.status(f"{name} ..."):
            if data:
                folders = (given.data_dir or DATA["dir"], given.cache or DATA["cache"])
                items = official_items(data, reads(run), *map(path_of, folders))
            else:
                items = own_items(run, given.data_dir, given.cache)
            ids.add(tuple(items.id))
            found += [measured(system, items) for system in systems(run, name)]
    from fdigits.report import robustness  # matplotlib

    console.print(f"{robustness.write(found, len(ids) == 1, given.out)} written")
    if given.json:
        write_json(given.json, found)


if __name__ == "__main__":
    main()
