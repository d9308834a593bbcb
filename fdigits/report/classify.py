"""The page of classifiers: errors compared, confusions, bottlenecks, looks, weights of a fusion."""

from collections.abc import Iterator
from functools import partial

from fdigits.errors import UserError
from fdigits.report import attention, autoencode, figures, fusion, words
from fdigits.report.artifacts import ANEW, Run
from fdigits.report.comparison import comparison, same_test
from fdigits.report.page import Block, Heading, Picture


def blocks(runs: dict[str, Run], apart: bool) -> Iterator[Block]:
    """What belongs to classifiers alone; with `apart`, only runs of the same test are compared.

    Raises:
      UserError: a run has no scores, or test items differ and not `apart`.
    """
    for run in runs.values():
        if not run.classifies:
            raise UserError(f"{run.path / 'predictions.npz'} lacks labels or logits: {ANEW}")
    groups = same_test(runs, apart)
    for number, group in enumerate(groups, start=1):
        yield from comparison(group, f"_{number}" if len(groups) > 1 else "")
    yield from confusions(runs)
    yield from autoencode.by_bottleneck(runs, "accuracy", "Accuracy")
    yield from attention.looks(runs)
    yield from fusion.weights(runs)


def confusions(runs: dict[str, Run]) -> Iterator[Block]:
    yield Heading("Confusion matrices")
    for name, run in runs.items():
        counts = figures.confusion_counts(run.label_N, run.predicted_N)
        told = "A row per true digit; shade: an error's share of its row."
        caption = f"{told} {words.brief(run)}"
        figure = partial(figures.confusion, counts)
        yield Picture(f"confusion_{words.slug(name)}", figure, f"Confusion of {name}", caption, 520)
