"""The results table: what was measured on the test part, beside the papers' figures."""

from collections.abc import Callable, Iterator

from fdigits.report import statistics, terminal, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Grid, Heading, Items, Note

Runs = dict[str, Run]  # by the names that tell them apart
Column = tuple[str, Callable[[Run], str]]  # its heading and a run's cell
PAPER_HEADINGS = {"accuracy": "paper %", "macro_f1": "paper F1"}


def by_task(runs: Runs) -> dict[str, Runs]:
    tasks = dict.fromkeys(run.task for run in runs.values())
    return {task: {name: run for name, run in runs.items() if run.task == task} for task in tasks}


def results(runs: Runs) -> Iterator[Block]:
    """A table per task, and what to know of the data before believing it."""
    yield Heading("Results")
    tasks = by_task(runs)
    for task, some in tasks.items():
        if len(tasks) > 1:
            yield Note(f"Runs of the task {task}:")
        yield from _table(some)
    yield Items(facts(runs))


def _table(runs: Runs) -> Iterator[Block]:
    names = terminal.measured([run.result for run in runs.values()])
    intervals = {
        run.path: statistics.accuracy_interval(run.correct_N, run.seen())
        for run in runs.values()
        if run.classifies
    }
    numbers = [
        ("seed", lambda run: str(run.result["seed"])),
        ("parameters", lambda run: f"{run.result['parameters']:,}"),
    ]
    for name in names:
        numbers.append(_measured(name))
        if name == "accuracy" and intervals:
            numbers.append(("95% interval", lambda run: _interval(intervals.get(run.path))))
    numbers.append(("n", lambda run: terminal.count(run.result["metrics"]["test"].get("n"))))
    papers = _papers(runs, names)
    columns: list[Column] = [
        ("system", lambda run: run.system),
        ("data", words.data),
        ("protocol", words.short_protocol),
        *numbers,
        *map(_of_paper, papers),
        *([("source", lambda run: words.paper(run).get("source") or "–")] if papers else []),
    ]
    rows = [[cell(run) for _, cell in columns] for run in runs.values()]
    right = range(3, 3 + len(numbers) + len(papers))
    yield Grid([heading for heading, _ in columns], rows, right)
    yield Note(_how(runs, names, {interval.method for interval in intervals.values()}))


def _papers(runs: Runs, names: list[str]) -> list[str]:
    """The papers' figures that a table has columns for: those of a classifier, and any given."""
    found = dict.fromkeys(name for name in PAPER_HEADINGS if name in names)
    for run in runs.values():
        found |= dict.fromkeys(words.paper_figures(run))
    return list(found)


def _measured(name: str) -> Column:
    def cell(run: Run) -> str:
        return terminal.shown(name, terminal.scalars(run.result["metrics"]["test"]).get(name))

    return terminal.HEADINGS.get(name, name), cell


def _of_paper(name: str) -> Column:
    def cell(run: Run) -> str:
        value = words.paper_figures(run).get(name)
        return f"{value:.3f}" if name == "macro_f1" and value else terminal.shown(name, value)

    return PAPER_HEADINGS.get(name, f"paper {name}"), cell


def _interval(interval: statistics.Interval | None) -> str:
    if interval is None:
        return "–"
    sign = "" if interval.method == "Wilson" else " *"
    return f"{terminal.percent(interval.low)}–{terminal.percent(interval.high)}{sign}"


def _how(runs: Runs, names: list[str], methods: set[str]) -> str:
    """On what the figures were measured, and by which `methods` their intervals were found."""
    classifiers = "accuracy" in names and "macro_f1" in names
    text = "Accuracy and macro-F1" if classifiers else "The figures"
    text += " are of the test part, "
    once = "looked at once, with the weights best on the validation part"
    watched = "which also validates, as in the paper, with the last epoch's weights"
    if all(words.test_validates(run) for run in runs.values()):
        text += watched
    elif any(words.test_validates(run) for run in runs.values()):
        text += f"{once}, or, where marked †, {watched}"
    else:
        text += once
    if not methods:
        return f"{text}."
    text += ". Intervals are Wilson's"
    if methods - {"Wilson"}:
        text += (
            "; those marked * are a bootstrap over whole clusters, because the same image or "
            "recording stands in several test items"
        )
    return f"{text}. They speak of new items of the same writers and speakers."


def facts(runs: Runs) -> list[str]:
    """Data and protocol of each run, runs alike in one line, and what to know of them."""
    alike: dict[str, list[str]] = {}
    for name, run in runs.items():
        alike.setdefault(words.setting(run).removeprefix("Data: "), []).append(name)
    lines = [f"{', '.join(names)}: {setting}" for setting, names in alike.items()]
    for run in runs.values():
        lines += words.notes(run)
    return list(dict.fromkeys(lines))
