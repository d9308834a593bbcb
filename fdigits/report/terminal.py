"""The result table a terminal shows; needs rich only, so training imports no matplotlib."""

from rich.console import Group
from rich.table import Table

from fdigits.config import modern_result

TEST_VALIDATES = ", test part validates"  # how a run's protocol ends then
DAGGER = "† as in the paper, the test part also validates; the last weights are tested"
HEADINGS = {"accuracy": "accuracy %", "macro_f1": "macro-F1"}  # else the figure's own name


def percent(value: float | None) -> str:
    """0.9974 -> "99.74"; nothing measured -> "–"."""
    return "–" if value is None else f"{100 * value:.2f}"


def shown(name: str, value: float | None) -> str:
    """A figure as tables show it: accuracies in percent, others with four significant digits."""
    if value is None or name == "accuracy":
        return percent(value)
    return f"{value:.4f}" if name == "macro_f1" else f"{value:.4g}"


def count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def scalars(test: dict) -> dict[str, float]:
    """The single figures among a part's metrics, accuracy and macro-F1 first; no counts."""
    names = [*(name for name in HEADINGS if name in test), *test]
    return {name: test[name] for name in names if isinstance(test[name], float) and name != "n"}


def measured(results: list[dict]) -> list[str]:
    """The figures that a table of results shows; the loss where a result has nothing else."""
    each = [list(scalars(result["metrics"]["test"])) for result in results]
    alone = ["loss"] in each
    names = dict.fromkeys(name for one in each for name in one)
    return [name for name in names if alone or name != "loss"]


def paper_figures(paper: dict) -> dict[str, float]:
    """The figures that a paper gives, {} where it gives none: 0 stands for an absent one."""
    return {name: value for name, value in paper.items() if isinstance(value, float) and value}


def paper_figure(paper: dict) -> str:
    """A paper's figure: its accuracy in percent, or else its macro-F1, or any other by its name."""
    figures = paper_figures(paper)
    if "accuracy" in figures:
        return percent(figures["accuracy"])
    if "macro_f1" in figures:
        return f"F1 {figures['macro_f1']:.3f}"
    return ", ".join(f"{name} {shown(name, value)}" for name, value in figures.items()) or "–"


def short_protocol(protocol: str) -> str:
    """The protocol with a † that `DAGGER` explains in the place of `TEST_VALIDATES`."""
    return protocol.replace(TEST_VALIDATES, " †")


def table(results: list[dict]) -> Group:
    """The test figures of some `result.json` beside their papers', a table per task."""
    results = [modern_result(result) for result in results]
    tasks = list(dict.fromkeys(result["task"] for result in results))
    tables = []
    for task in tasks:
        title = "test results" if len(tasks) == 1 else f"test results: {task}"
        tables.append(_of_task([one for one in results if one["task"] == task], title))
    return Group(*tables)


def _of_task(results: list[dict], title: str) -> Table:
    made, names = Table(title=title, title_justify="left"), measured(results)
    for heading in ("system", "data", "protocol"):
        made.add_column(heading, overflow="fold")
    figures = [HEADINGS.get(name, name) for name in names]
    paper = "paper %" if "accuracy" in names else "paper"
    for heading in ("seed", "parameters", *figures, "n", paper):
        made.add_column(heading, justify="right", no_wrap=True)
    if any(TEST_VALIDATES in result["protocol"] for result in results):
        made.caption, made.caption_justify = DAGGER, "left"
    for result in results:
        test, found = result["metrics"]["test"], scalars(result["metrics"]["test"])
        made.add_row(
            result["system"] or result["name"],
            result["dataset"],
            short_protocol(result["protocol"]),
            str(result["seed"]),
            f"{result['parameters']:,}",
            *(shown(name, found.get(name)) for name in names),
            count(test.get("n")),
            paper_figure(result.get("paper") or {}),
        )
    return made
