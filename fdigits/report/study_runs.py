"""What a study's page draws of its runs' folders: of all seeds, and of one."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fdigits.errors import UserError
from fdigits.report import artifacts, attention, build, comparison, figures, fusion, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Heading, Note, Picture
from fdigits.report.study_tables import done, groups, titled
from fdigits.report.style import RUNS

CLASSIFYING = ("classify", "recognise")
DRAWN = 6  # systems whose maps are drawn: a t-SNE takes seconds
LINES = len(RUNS)  # in one figure of curves
NO_RUNS = (
    "The runs' folders are not here: learning curves, confusions, errors and maps are drawn where "
    "they are."
)


def of_runs(study: dict, folder: Path) -> Iterator[Block]:
    """What the runs' folders let draw: curves and confusions of all seeds, the rest of one."""
    paths = {
        title: [folder / run["workdir"] for run in done(cell)]
        for title, cell in titled(study).items()
    }
    here = {title: [path for path in found if path.is_dir()] for title, found in paths.items()}
    here = {title: found for title, found in here.items() if found}
    if not here:
        if any(paths.values()):
            yield Note(NO_RUNS)
        return
    yield from curves(here)
    yield from confusions(here)
    alike = [[title for title, cell in titled(study).items() if cell["group"] == group]
             for group in groups(study)]  # fmt: skip
    yield from of_one_seed({title: found[0] for title, found in here.items()}, alike)


def curves(paths: dict[str, list[Path]]) -> Iterator[Block]:
    """Learning curves, a figure for each task and few enough cells."""
    yield Heading("Learning curves")
    tasks: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for title, found in paths.items():
        config = artifacts.read_config(found[0] / "config.json")
        loss = build.BOUNDS.get(config["task"]) or build.LOSSES.get(
            config.get("loss", ""), "cross-entropy"
        )
        tasks.setdefault(
            (config["task"], loss if config["task"] in (*CLASSIFYING, *build.BOUNDS) else ""), {}
        )[title] = found
    for (task, loss), some in tasks.items():
        for start in range(0, len(some), LINES):
            part = dict([*some.items()][start : start + LINES])
            yield _curves(task, loss, part, f"{words.slug(f'{task} {loss}')}_{start // LINES + 1}")


def _curves(task: str, loss: str, paths: dict[str, list[Path]], tag: str) -> Picture:
    each = {
        title: figures.pooled([artifacts.read_history(path / "metrics.jsonl") for path in found])
        for title, found in paths.items()
    }
    means = {title: mean for title, (mean, _, _) in each.items()}
    bands = {title: (low, high) for title, (_, low, high) in each.items() if len(paths[title]) > 1}
    names = figures.scalars(means)
    caption = (
        f"{', '.join(names)} over epochs, as far as all seeds go: the mean of training (dashed) "
        "and of validation (solid), in a band that holds each seed's."
    )
    figure = partial(figures.curves, means, loss, bands)
    return Picture(f"curves_{tag}", figure, f"Learning curves: {task}", caption, 720)


def confusions(paths: dict[str, list[Path]]) -> Iterator[Block]:
    yield Heading("Confusion matrices over all seeds")
    for title, found in paths.items():
        tests = [artifacts.read_result(path / "result.json")["metrics"]["test"] for path in found]
        counts = [np.array(test["confusion"]) for test in tests if "confusion" in test]
        if counts:
            caption = (
                f"Test items of {len(counts)} seeds, a row per true digit; shade: an error's share "
                "of its row."
            )
            figure = partial(figures.confusion, sum(counts))
            yield Picture(
                f"confusion_{words.slug(title)}", figure, f"Confusion of {title}", caption, 520
            )


def of_one_seed(paths: dict[str, Path], alike: list[list[str]]) -> Iterator[Block]:
    """Errors in common, attention, embeddings, drawn digits of the first seed that is done.

    Args:
      alike: the systems of each group, which are compared with each other alone.
    """
    runs = {}
    for title, path in paths.items():
        try:
            runs[title] = artifacts.load(path)
        except UserError as error:
            yield Note(f"{title}: {error}.")
    few = dict([*runs.items()][:DRAWN])
    yield from build.samples(few)
    for number, titles in enumerate(alike):
        some = {title: run for title, run in runs.items() if title in titles and _scores(run)}
        for tag, group in enumerate(comparison.same_test(some, apart=True)):
            if len(group) > 1:
                yield Heading("Errors in common, of one seed: " + ", ".join(group))
                yield from comparison.shared_errors(group, f"_{number}_{tag}")
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
