"""What a study's page draws of its runs' folders: of all seeds, and of one."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdigits.config import CLASSIFYING
from fdigits.errors import UserError
from fdigits.report import artifacts, attention, build, comparison, figures, fusion, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Beside, Block, Heading, Note, Picture, sound
from fdigits.report.study_tables import done, titled
from fdigits.report.style import RUNS

DRAWN = 6  # systems whose maps are drawn: a t-SNE takes seconds
LINES = len(RUNS)  # in one figure of curves
NO_RUNS = (
    "The runs' folders are not here: learning curves, confusions, errors and maps are drawn where "
    "they are."
)


class Kept(NamedTuple):
    """What the page reads of a run that is done."""

    path: Path
    title: str  # of its system within the group
    group: str
    config: dict
    test: dict  # its figures of the test part
    history: figures.History


def of_runs(study: dict, folder: Path) -> Iterator[Block]:
    """What the runs' folders let draw: curves and confusions of all seeds, the rest of one."""
    kept: dict[str, list[Kept]] = {}
    for title, cell in titled(study).items():
        for path in (folder / run["workdir"] for run in done(cell)):
            if not path.is_dir():
                continue
            try:
                kept.setdefault(title, []).append(_read(path, cell))
            except UserError as error:
                yield Note(f"{title}: {error}.")
    if not kept:
        if any(map(done, study["cells"])):
            yield Note(NO_RUNS)
        return
    yield from curves(kept)
    yield from confusions(kept)
    yield from of_one_seed({title: runs[0] for title, runs in kept.items()})


def _read(path: Path, cell: dict) -> Kept:
    return Kept(
        path,
        cell["title"],
        cell["group"],
        artifacts.read_config(path / "config.json"),
        artifacts.read_result(path / "result.json")["metrics"]["test"],
        artifacts.read_history(path / "metrics.jsonl"),
    )


def curves(kept: dict[str, list[Kept]]) -> Iterator[Block]:
    """Learning curves, a figure for each group, task and loss, and few enough lines in each."""
    yield Heading("Learning curves")
    alike: dict[tuple[str, str, str], list[str]] = {}
    for title, (first, *_) in kept.items():
        key = first.group, first.config["task"], _loss(first.config)
        alike.setdefault(key, []).append(title)
    parts = [
        (key, titles[start : start + LINES])
        for key, titles in alike.items()
        for start in range(0, len(titles), LINES)
    ]
    for number, ((_, task, loss), titles) in enumerate(parts, 1):
        yield _curves(task, loss, {title: kept[title] for title in titles}, str(number))


def _loss(config: dict) -> str:
    task = config["task"]
    named = build.LOSSES.get(config.get("loss", ""), "cross-entropy")
    return build.BOUNDS.get(task, named if task in CLASSIFYING else "")


def _curves(task: str, loss: str, kept: dict[str, list[Kept]], tag: str) -> Picture:
    each = {title: figures.pooled([run.history for run in runs]) for title, runs in kept.items()}
    means = {title: mean for title, (mean, _, _) in each.items()}
    bands = {title: ends for title, (_, *ends) in each.items() if len(kept[title]) > 1}
    caption = (
        f"By epoch, as far as all seeds go: {', '.join(figures.scalars(means))}; means of training "
        "(dashed) and of validation (solid), in a band that holds each seed's."
    )
    figure = partial(figures.curves, means, loss, bands)
    return Picture(f"curves_{tag}", figure, f"Learning curves: {task}", caption, 720)


def confusions(kept: dict[str, list[Kept]]) -> Iterator[Block]:
    yield Heading("Confusion matrices over all seeds")
    counts = {
        title: [np.array(run.test["confusion"]) for run in runs if "confusion" in run.test]
        for title, runs in kept.items()
    }
    drawn = [_confusion(title, found) for title, found in counts.items() if found]
    if drawn:
        yield Beside([*sound(drawn)])


def _confusion(title: str, counts: list[np.ndarray]) -> Picture:
    told = f"Test items of {len(counts)} seed{'s' * (len(counts) > 1)}, a row per true digit; "
    caption = f"{told}shade: an error's share of its row."
    figure, name = partial(figures.confusion, sum(counts)), f"confusion_{words.slug(title)}"
    return Picture(name, figure, f"Confusion of {title}", caption, 520)


def of_one_seed(kept: dict[str, Kept]) -> Iterator[Block]:
    """Errors in common, attention, embeddings, drawn digits of the first seed that is done."""
    runs = {}
    for title, one in kept.items():
        try:
            runs[title] = artifacts.load(one.path)
        except UserError as error:
            yield Note(f"{title}: {error}.")
    few = dict([*runs.items()][:DRAWN])
    yield from build.samples(few)
    for number, group in enumerate(dict.fromkeys(one.group for one in kept.values())):
        some = {kept[title].title: run for title, run in runs.items()
                if kept[title].group == group and _scores(run)}  # fmt: skip
        for tag, alike in enumerate(comparison.same_test(some, apart=True)):
            if len(alike) > 1:
                yield Heading(f"Errors in common, of one seed: {group}")
                yield from comparison.shared_errors(alike, f"_{number}_{tag}")
    scored = {title: run for title, run in few.items() if _scores(run)}
    yield from attention.looks(scored)
    yield from fusion.weights(scored)
    others = {title: run for title, run in few.items() if title not in scored}
    for blocks in build.own_blocks(others, apart=True).values():
        yield from blocks
    yield from build.maps(few)
    if len(few) < len(runs):
        yield Note(f"Drawn of {DRAWN} systems; of another: python -m fdigits.report RUN --out DIR.")


def _scores(run: Run) -> bool:
    return run.classifies and run.task in CLASSIFYING
