"""`python -m fdigits.report.study STUDY [STUDY ...]`: a study's tables and its page.

Written beside its `study.json` (see `fdigits/study.py`): `table.md`, `table.csv`, `table.json` and
one self-contained `report.html`. Curves, confusions, errors, maps and drawn digits come from the
runs' folders; where these are not there, the rest is written all the same.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fdigits.arguments import Parser
from fdigits.cells import STUDY
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of, write_json
from fdigits.report import reported, words
from fdigits.report.page import (
    VERDICTS,
    Beside,
    Block,
    Claims,
    Code,
    Heading,
    Items,
    Note,
    Picture,
    publish,
    sound,
)
from fdigits.report.reported import DIAMOND, Row
from fdigits.report.statistics import Interval
from fdigits.report.study_runs import of_runs
from fdigits.report.study_tables import (
    compared,
    csv_text,
    done,
    every_run,
    groups,
    how,
    named,
    records,
    summary,
    table,
    titled,
    verdict_rows,
)
from fdigits.report.style import PALE, RUNS, STYLE
from fdigits.report.terminal import HEADINGS


def read(folder: Path) -> dict:
    """A study's figures.

    Raises:
      UserError: they are not there, or damaged.
    """
    try:
        study = json.loads((folder / STUDY).read_text())
        _ = study["cells"], study["claims"], study["metrics"], study["comparisons"]
        return study
    except FileNotFoundError:
        raise UserError(f"{folder / STUDY} is not there: name the workdir of a study") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / STUDY} cannot be read ({error!r}): start the study's command again, which "
            "writes it anew"
        ) from error


def write(folder: Path) -> Path:
    """Writes the tables and the page beside `study.json`; returns the page's path.

    Raises:
      UserError: there is no study, or its folder cannot be written into.
    """
    study = read(folder)
    rows = records(study)
    try:
        write_json(folder / "table.json", rows)
        _write_text(folder / "table.csv", csv_text(rows))
        _write_text(folder / "table.md", summary(study))
        return publish(_title(study), [*blocks(study, folder)], folder)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error}") from error


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _title(study: dict) -> str:
    return study.get("title") or study["name"]


def blocks(study: dict, folder: Path) -> Iterator[Block]:
    """Everything, what matters first."""
    yield Items(facts(study))
    for number, (group, cells) in enumerate(groups(study).items(), 1):
        yield from named(study, group)
        claims = verdict_rows(study, group)
        drawn = [*sound(dots(study, cells, f"reported_{number}"))]
        yield from (block for block in drawn if isinstance(block, Note))
        first = [Claims(claims)] if claims else []
        if first := first + [block for block in drawn if isinstance(block, Picture)]:
            yield Beside(first)
        yield from table(study, cells)
    yield Note(how(study))
    yield from sound(courses(study))
    yield from compared(study)
    yield from every_run(study)
    yield from sound(of_runs(study, folder))
    yield from made(study, folder)


def facts(study: dict) -> list[str]:
    """What was asked, and how much of it is done."""
    each = groups(study)
    runs = [run for cell in study["cells"] for run in cell["runs"]]
    states = [f"{sum(run['status'] == state for run in runs)} {state}"
              for state in ("done", "failed", "running", "missing")
              if any(run["status"] == state for run in runs)]  # fmt: skip
    seeds = words.seed([str(run["seed"]) for run in runs])
    told = f"{study['paper'] or study['name']}: {len(study['cells'])} systems"
    told += f" ({', '.join(each)})" if len(each) > 1 else ""
    lines = [f"{told}, {seeds}; {len(runs)} runs, {', '.join(states)}."]
    if verdicts := [claim["verdict"] for claim in study["claims"]]:
        counts = {verdict: verdicts.count(verdict) for verdict in VERDICTS}
        told = [f"{verdict}: {number}" for verdict, number in counts.items() if number]
        lines.append(f"Claims: {len(verdicts)}; {', '.join(told)}.")
    return lines + ([study["notes"]] if study.get("notes") else [])


def dots(study: dict, cells: list[dict], name: str) -> Iterator[Picture]:
    """Reported against measured, of the figure that leads."""
    metric = study["metrics"][0]
    rows = {cell["title"]: _dot(cell, metric) for cell in cells}
    if any(row.mean or row.paper is not None for row in rows.values()):
        caption = (
            f"{HEADINGS.get(metric, metric)}: the mean over seeds with its 95% interval, each "
            "seed, and the reported figure with its own sampling interval where that is known."
        )
        figure = partial(reported.dots, {metric: rows})
        yield Picture(name, figure, "Measured and reported", caption, 440)


def _dot(cell: dict, metric: str) -> Row:
    mean, of_paper = cell["mean"].get(metric), cell["reported"].get(metric) or {}
    seeds = [run["metrics"][metric] for run in done(cell) if metric in run["metrics"]]
    return Row(
        [(value, None) for value in seeds],
        of_paper.get("value"),
        None if mean is None else (mean, _span(cell["interval"].get(metric))),
        _span(of_paper.get("interval")),
    )


def _span(ends: list[float] | None) -> Interval | None:
    return Interval(*ends, "") if ends else None


def courses(study: dict) -> Iterator[Block]:
    """The figure that leads over `x`, the bottleneck say, where titles differ in it alone."""
    metric = study["metrics"][0]
    for number, (group, cells) in enumerate(groups(study).items(), 1):
        lines: dict[str, list[dict]] = {}
        for cell in sorted(cells, key=lambda cell: cell["x"] or 0):
            before, x, after = cell["title"].rpartition(f"{cell['x'] or 0:g}")
            if x and cell["x"] is not None:
                lines.setdefault(f"{before}…{after}", []).append(cell)
        lines = {name: some for name, some in lines.items() if len(some) > 2}
        if lines:
            title = f"Curves of {metric.replace('_', ' ')}"
            caption = (
                f"{group[:1].upper()}{group[1:]}, by the number in the place of …: means over "
                "seeds with 95% intervals."
            )
            figure = partial(course, lines, metric)
            yield Picture(f"course_{number}", figure, title, caption, 560)


@matplotlib.rc_context(STYLE)
def course(lines: dict[str, list[dict]], metric: str) -> Figure:
    """A line for each series of cells over their `x`, with intervals, and diamonds reported."""
    figure = Figure(figsize=(5.6, 3.3))
    axes, times = figure.subplots(), 100 if metric == "accuracy" else 1
    for number, (name, cells) in enumerate(lines.items()):
        colour = RUNS[number % len(RUNS)]
        there = [cell for cell in cells if cell["mean"].get(metric) is not None]
        x = [cell["x"] for cell in there]
        axes.plot(
            x,
            [times * cell["mean"][metric] for cell in there],
            "o-",
            color=colour,
            markersize=4,
            label=name,
        )
        for cell in there:
            if ends := cell["interval"].get(metric):
                axes.plot(
                    [cell["x"]] * 2, [times * end for end in ends], color=colour, linewidth=1.2
                )
        for cell in cells:
            if of_paper := cell["reported"].get(metric):
                axes.plot(
                    cell["x"], times * of_paper["value"], **DIAMOND | {"markeredgecolor": colour}
                )
    handles, _ = axes.get_legend_handles_labels()
    if any(metric in cell["reported"] for cells in lines.values() for cell in cells):
        grey = DIAMOND | {"markeredgecolor": "#444444"}
        handles.append(Line2D([], [], label="reported", color="none", **grey))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    axes.set_ylabel(HEADINGS.get(metric, metric))
    axes.grid(color=PALE, linewidth=0.5)
    return figure


def made(study: dict, folder: Path) -> Iterator[Block]:
    """The command that repeats each cell, and its config where its run is here."""
    yield Heading("The command that repeats each system")
    for title, cell in titled(study).items():
        stage = f", a stage of {cell['of']}" if cell["of"] else ""
        yield Code(f"{title}{stage}", cell["command"])
    yield Heading("All fields of each system's config")
    for title, cell in titled(study).items():
        first = next((folder / run["workdir"] / "config.json" for run in done(cell)), None)
        if first and first.is_file():
            yield Code(title, json.dumps(json.loads(first.read_text()), indent=1))


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.report.study", __doc__)
    parser.add_argument(
        "studies", nargs="+", type=path_of, metavar="STUDY", help="a study's workdir"
    )
    for study in parser.parse_args(arguments).studies:
        print(write(study))


if __name__ == "__main__":
    main()
