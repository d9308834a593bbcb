"""The first screen: what was trained on what, and what was measured beside the papers' figures."""

from collections.abc import Callable, Iterator

from fdigits.report import statistics, terminal, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Beside, Block, Grid, Items, Note, Picture, sound
from fdigits.report.reported import reported

Runs = dict[str, Run]  # by the names that tell them apart
Column = tuple[str, Callable[[Run], str]]  # its heading and a run's cell
PAPER_HEADINGS = {"accuracy": "paper %", "macro_f1": "paper F1"}


def by_task(runs: Runs) -> dict[str, Runs]:
    tasks = dict.fromkeys(run.task for run in runs.values())
    return {task: {name: run for name, run in runs.items() if run.task == task} for task in tasks}


def results(runs: Runs, leading: dict[str, list[Picture]]) -> Iterator[Block]:
    """The first screen: what was trained on what, measured beside reported, what says most.

    Args:
      leading: task -> its picture that says most, if it has one.
    """
    yield Items(facts(runs))
    tasks = by_task(runs)
    found = {task: intervals(some) for task, some in tasks.items()}
    first: list[Block] = []
    for task, some in tasks.items():
        tag = f"_{words.slug(task)}" if len(tasks) > 1 else ""
        spans = {"accuracy": found[task]} if found[task] else {}
        first += [*sound(reported(some, spans, tag)), *leading.get(task, [])]
    yield from (block for block in first if isinstance(block, Note))
    if pictures := [block for block in first if isinstance(block, Picture)]:
        yield Beside(pictures)
    for task, some in tasks.items():
        if len(tasks) > 1:
            yield Note(f"Runs of the task {task}:")
        yield from _table(some, found[task])


def intervals(runs: Runs) -> dict[str, statistics.Interval]:
    """Of the accuracy of each run that classifies."""
    return {
        name: statistics.accuracy_interval(run.correct_N, run.seen())
        for name, run in runs.items()
        if run.classifies
    }


def _table(runs: Runs, found: dict[str, statistics.Interval]) -> Iterator[Block]:
    """A row per run; what all have in common is left to the lines above the table."""
    spans = {runs[name].path: span for name, span in found.items()}
    names = terminal.measured([run.result for run in runs.values()])
    papers = list(dict.fromkeys(name for run in runs.values() for name in words.paper_figures(run)))
    numbers: list[Column] = []
    for name in dict.fromkeys((*names, *papers)):
        numbers += [_measured(name)] if name in names else []
        if name == "accuracy" and spans:
            numbers.append(("95% interval", lambda run: _interval(spans.get(run.path))))
        numbers += [_of_paper(name)] if name in papers else []
    numbers.append(("n", lambda run: terminal.count(run.result["metrics"]["test"].get("n"))))
    numbers.append(("parameters", lambda run: f"{run.result['parameters']:,}"))
    numbers += _differing([("seed", lambda run: str(run.result["seed"]))], runs)
    columns = [
        ("system", lambda run: run.system),
        *numbers,
        *_differing([("data", words.data), ("protocol", words.short_protocol)], runs),
        *([("source", lambda run: words.paper(run).get("source") or "–")] if papers else []),
    ]
    rows = [[cell(run) for _, cell in columns] for run in runs.values()]
    yield Grid([heading for heading, _ in columns], rows, range(1, 1 + len(numbers)))
    yield Note(_how(runs, {interval.method for interval in found.values()}))


def _differing(columns: list[Column], runs: Runs) -> list[Column]:
    """Those whose cells are not all the same."""
    return [column for column in columns if len({column[1](run) for run in runs.values()}) > 1]


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


def _how(runs: Runs, methods: set[str]) -> str:
    """On what the figures were measured, and by which `methods` their intervals were found."""
    once = "looked at once, with the weights best on the validation part"
    watched = "which also validates, as in the paper, with the last epoch's weights"
    validates = {words.test_validates(run) for run in runs.values()}
    text = "Of the test part, "
    text += (
        f"{once}, or, where marked †, {watched}"
        if len(validates) > 1
        else (watched if True in validates else once)
    )
    if not methods:
        return f"{text}."
    clusters = " (*: a bootstrap over whole images or recordings, as some stand in several items)"
    some = clusters if methods - {"Wilson"} else ""
    return f"{text}. Intervals: Wilson's{some}; they speak of the same writers and speakers."


MOST = 3  # settings that the first screen tells at length


def settings(runs: Runs) -> list[str]:
    """Data and protocol of each run, those that differ in their seed alone in one line."""
    alike: dict[str, Runs] = {}
    for name, run in runs.items():
        alike.setdefault(words.without_seed(run).removeprefix("Data: "), {})[name] = run
    lines = []
    for setting, some in alike.items():
        systems = ", ".join(dict.fromkeys(run.system for run in some.values()))
        seeds = words.seed([str(run.result["seed"]) for run in some.values()])
        lines.append(f"{systems}, trained on {setting}; {seeds}.")
    return lines


def facts(runs: Runs) -> list[str]:
    """What was trained on what, many settings in short, and what to know before believing it."""
    lines = settings(runs)
    if len(lines) > MOST:
        lines = [f"{len(runs)} runs, trained on {words.brief(*runs.values())}"]
    for run in runs.values():
        lines += words.notes(run)
    return list(dict.fromkeys(lines))
