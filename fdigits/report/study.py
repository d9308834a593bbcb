"""`python -m fdigits.report.study STUDY [STUDY ...]`: a study's tables and its page.

Written beside its `study.json` (see `fdigits/study.py`): `table.md`, `table.csv`, `table.json` and
one self-contained `report.html`. Curves, confusions, errors, maps and drawn digits come from the
runs' folders; where these are not there, the rest is written all the same.
"""

import argparse
import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of, write_json
from fdigits.report import artifacts, attention, build, comparison, figures, fusion, reported, words
from fdigits.report.artifacts import Run
from fdigits.report.page import (
    Beside,
    Block,
    Claims,
    Code,
    Grid,
    Heading,
    Items,
    Note,
    Picture,
    publish,
    sound,
)
from fdigits.report.page import _markdown as markdown
from fdigits.report.reported import DIAMOND, Row
from fdigits.report.statistics import Interval
from fdigits.report.style import PALE, RUNS, STYLE
from fdigits.report.terminal import HEADINGS, count, shown

STUDY = "study.json"
CLASSIFYING = ("classify", "recognise")
DRAWN = 6  # cells whose maps are drawn: a t-SNE takes seconds
LINES = len(RUNS)  # in one figure of curves
NO_RUNS = (
    "The runs' folders are not here: learning curves, confusions, errors and maps are drawn where "
    "they are."
)


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
        _write_text(folder / "table.csv", _csv(rows))
        _write_text(folder / "table.md", summary(study))
        return publish(_title(study), [*blocks(study, folder)], folder)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error}") from error


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _title(study: dict) -> str:
    return study.get("title") or study["name"]


# Tables


def records(study: dict) -> list[dict]:
    """A row for each cell with plain numbers, for programs."""
    return [_record(study, cell) for cell in study["cells"]]


def _record(study: dict, cell: dict) -> dict:
    row = {name: cell[name] for name in ("group", "name", "title", "config", "overrides")}
    row |= {"x": cell["x"], "seeds_done": cell["seeds_done"], "seeds": len(cell["runs"])}
    for metric in study["metrics"]:
        of_paper = cell["reported"].get(metric) or {}
        low, high = cell["interval"].get(metric) or (None, None)
        paper_low, paper_high = of_paper.get("interval") or (None, None)
        row |= {
            metric: cell["mean"].get(metric),
            f"{metric}_low": low,
            f"{metric}_high": high,
            f"{metric}_reported": of_paper.get("value"),
            f"{metric}_reported_low": paper_low,
            f"{metric}_reported_high": paper_high,
        }
        for run in cell["runs"]:
            row[f"{metric}_seed_{run['seed']}"] = (run.get("metrics") or {}).get(metric)
    return row | {"not_done": "; ".join(_not_done(cell))}


def _csv(rows: list[dict]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary(study: dict) -> str:
    """`table.md`, which documents also hold: verdicts and a table for each group."""
    found = [Claims(_verdicts(study))] if study["claims"] else []
    found += [*tables(study), Note(how(study))]
    return "\n\n".join(map(markdown, found)) + "\n"


def groups(study: dict) -> dict[str, list[dict]]:
    """The cells of each group, in the study's order."""
    found: dict[str, list[dict]] = {}
    for cell in study["cells"]:
        found.setdefault(cell["group"], []).append(cell)
    return found


def done(cell: dict) -> list[dict]:
    return [run for run in cell["runs"] if run["status"] == "done"]


def _not_done(cell: dict) -> list[str]:
    """ "seed 3 failed: no such file", for each seed that is not done."""
    return [
        f"seed {run['seed']} {run['status']}" + (f": {run['reason']}" if run.get("reason") else "")
        for run in cell["runs"]
        if run["status"] != "done"
    ]


def tables(study: dict) -> Iterator[Block]:
    """Measured beside reported, a table for each group; below it what is not done, and why."""
    each = groups(study)
    for group, cells in each.items():
        if len(each) > 1:
            yield Note(f"{group[:1].upper()}{group[1:]}:")
        header, numbers = _header(study, cells)
        rows = [_row(study, cell, header) for cell in cells]
        yield Grid(header, rows, range(1, 1 + numbers))
        missing = [f"{cell['title']}, {told}" for cell in cells for told in _not_done(cell)]
        if missing:
            yield Items([f"not done: {one}" for one in missing])


def _header(study: dict, cells: list[dict]) -> tuple[list[str], int]:
    """The headings, and how many of them after the first are of numbers."""
    found = []
    for metric in study["metrics"]:
        found += [HEADINGS.get(metric, metric), f"95% interval ({_short(metric)})"]
        if any(metric in cell["reported"] for cell in cells):
            found += [f"reported {_short(metric)}", f"its interval ({_short(metric)})"]
    return ["system", *found, "seeds", "test items", "parameters"], len(found) + 3


def _short(metric: str) -> str:
    return {"accuracy": "%", "macro_f1": "F1"}.get(metric, metric)


def _row(study: dict, cell: dict, header: list[str]) -> list[str]:
    found = []
    for metric in study["metrics"]:
        of_paper = cell["reported"].get(metric) or {}
        found += [shown(metric, cell["mean"].get(metric)), _interval(metric, cell["interval"])]
        if f"reported {_short(metric)}" in header:
            value = of_paper.get("value")
            found += [shown(metric, value), _interval("", {"": of_paper.get("interval")}, metric)]
    finished = done(cell)
    seeds = str(cell["seeds_done"])
    if len(finished) < len(cell["runs"]):
        seeds += f" of {len(cell['runs'])}"
    items = {run["metrics"].get("n") for run in finished}
    sizes = {run.get("parameters") for run in finished}
    return [cell["title"], *found, seeds, *(_only(values) for values in (items, sizes))]


def _only(values: set) -> str:
    """The number that all agree on."""
    found = [value for value in values if value is not None]
    return count(int(found[0])) if len(found) == 1 else ("differs" if found else "–")


def _interval(metric: str, found: dict, shown_as: str = "") -> str:
    ends = found.get(metric)
    return "–" if not ends else "–".join(shown(shown_as or metric, end) for end in ends)


def how(study: dict) -> str:
    """How the tables' intervals were found, and what is compared."""
    means = {cell.get("method") for cell in study["cells"]} - {None, ""}
    theirs = {of.get("method") for cell in study["cells"] for of in cell["reported"].values()}
    told = "Measured: the mean over seeds, of the test part"
    told += f"; its interval: {', '.join(sorted(means))}" if means else ""
    theirs = sorted(filter(None, theirs))
    told += (
        f". The reported figures are of one run; their interval: {', '.join(theirs)}"
        if theirs
        else ""
    )
    return f"{told}. Differences are tested pair by pair, p by Holm within a group."


def _verdicts(study: dict) -> list[tuple[str, str, str]]:
    return [(claim["verdict"], claim["text"], claim["reason"]) for claim in study["claims"]]


# The page


def blocks(study: dict, folder: Path) -> Iterator[Block]:
    """Everything, what matters first."""
    yield Items(facts(study))
    first: list[Block] = [Claims(_verdicts(study))] if study["claims"] else []
    drawn = [*sound(dots(study))]
    yield from (block for block in drawn if isinstance(block, Note))
    yield Beside(first + [block for block in drawn if isinstance(block, Picture)])
    yield from tables(study)
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
        counts = [f"{verdicts.count(verdict)} {word}" for verdict, word in VERDICT_WORDS.items()
                  if verdict in verdicts]  # fmt: skip
        lines.append(f"Of {len(verdicts)} claims {', '.join(counts)}.")
    return lines + ([study["notes"]] if study.get("notes") else [])


VERDICT_WORDS = {"holds": "hold", "fails": "fail", "undecided": "are undecided"}


def dots(study: dict) -> Iterator[Picture]:
    """Reported against measured, of the figure that leads."""
    metric = study["metrics"][0]
    panels = {}
    for group, cells in groups(study).items():
        rows = {cell["title"]: _dot(cell, metric) for cell in cells}
        if any(row.mean or row.paper is not None for row in rows.values()):
            panels[f"{metric}:{group if len(groups(study)) > 1 else ''}"] = rows
    if panels:
        caption = (
            f"{HEADINGS.get(metric, metric)}: the mean over seeds with its 95% interval, each seed, "
            "and the reported figure with its own sampling interval where that is known."
        )
        yield Picture(
            "reported", partial(reported.dots, panels), "Measured and reported", caption, 440
        )


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
    """The figure that leads over `x`, the bottleneck say, where cells have one."""
    metric = study["metrics"][0]
    for number, (group, cells) in enumerate(groups(study).items(), 1):
        lines: dict[str, list[dict]] = {}
        for cell in cells:
            if cell["x"] is not None and re.search(r"_\d+(-|$)", cell["name"]):
                lines.setdefault(re.split(r"_\d+(?:-|$)", cell["name"])[0], []).append(cell)
        lines = {_common(of): of for of in lines.values() if len({cell["x"] for cell in of}) > 2}
        if lines:
            caption = f"{group}. Lines: the mean over seeds; bars: its 95% interval; ◇ reported."
            figure = partial(course, lines, metric)
            yield Picture(
                f"course_{number}", figure, f"{HEADINGS.get(metric, metric)} by size", caption, 560
            )


def _common(cells: list[dict]) -> str:
    """What the titles of some cells begin with: "A: autoencoder"."""
    shared = os.path.commonprefix([cell["title"] for cell in cells])
    return re.sub(r"[\d\W]+$", "", shared) or cells[0]["name"]


@matplotlib.rc_context(STYLE)
def course(lines: dict[str, list[dict]], metric: str) -> Figure:
    """A line for each series of cells over their `x`, with intervals, and diamonds reported."""
    figure = Figure(figsize=(5.6, 3.3))
    axes, times = figure.subplots(), 100 if metric == "accuracy" else 1
    for number, (name, cells) in enumerate(lines.items()):
        colour = RUNS[number % LINES]
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
    handles.append(
        Line2D([], [], label="reported", color="none", **DIAMOND | {"markeredgecolor": "#444444"})
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
    axes.set_ylabel(HEADINGS.get(metric, metric))
    axes.grid(color=PALE, linewidth=0.5)
    return figure


def compared(study: dict) -> Iterator[Block]:
    """The tests behind the verdicts."""
    titles = {cell["name"]: cell["title"] for cell in study["cells"]}
    if not study["comparisons"]:
        return
    yield Heading("Differences tested")
    rows = [_comparison(one, titles) for one in study["comparisons"]]
    header = [
        "A",
        "B",
        "A − B, points",
        "95% interval",
        "p",
        "p by Holm",
        "only A right",
        "only B right",
        "group",
    ]
    yield Grid(header, rows, range(2, 8))
    methods = sorted({one["method"] for one in study["comparisons"] if one.get("method")})
    told = f"{'; '.join(methods)}. " if methods else ""
    yield Note(
        f"{told}Only A, only B right: test items by seed (McNemar's exact test of each is in {STUDY})."
    )


def _comparison(one: dict, titles: dict[str, str]) -> list[str]:
    found = [titles.get(one[side], one[side]) for side in "ab"]
    points = "–" if one["difference"] is None else f"{100 * one['difference']:+.2f}"
    ends = (
        "–" if not one["interval"] else " to ".join(f"{100 * end:+.2f}" for end in one["interval"])
    )
    items = [
        ", ".join(str(seed[side]) for seed in one["mcnemar"]) or "–"
        for side in ("only_a", "only_b")
    ]
    return [*found, points, ends, _p(one["p"]), _p(one["p_holm"]), *items, one["group"]]


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"


def every_run(study: dict) -> Iterator[Block]:
    """Each seed with its own interval over test items; on what it ran."""
    yield Heading("Every run")
    metric = study["metrics"][0]
    rows = [_run(cell, run, metric) for cell in study["cells"] for run in cell["runs"]]
    header = [
        "system",
        "seed",
        HEADINGS.get(metric, metric),
        "95% interval",
        "epochs",
        "training s",
        "status",
        "group",
    ]
    yield Grid(header, rows, range(1, 6))
    finished = [run for cell in study["cells"] for run in done(cell)]
    methods = sorted({run["method"] for run in finished if run.get("method")})
    if methods:
        yield Note(f"Intervals over test items: {', '.join(methods)}.")
    yield Heading("Hardware and versions")
    yield Items([*_hardware(finished)] or ["Nothing is done."])


def _run(cell: dict, run: dict, metric: str) -> list[str]:
    value = (run.get("metrics") or {}).get(metric)
    seconds = run.get("seconds")
    return [
        cell["title"],
        str(run["seed"]),
        shown(metric, value),
        _interval(metric, run.get("intervals") or {}),
        count(run.get("epochs")),
        "–" if seconds is None else f"{seconds:,.0f}",
        run["status"] + (f": {run['reason']}" if run.get("reason") else ""),
        cell["group"],
    ]


def _hardware(runs: list[dict]) -> Iterator[str]:
    """Each machine, set of versions and commit, with how many runs are of it."""
    for name in ("hardware", "versions", "commit"):
        told = [
            _versions(run[name]) if name == "versions" else str(run[name])
            for run in runs
            if run.get(name)
        ]
        for one in dict.fromkeys(told):
            yield f"{name}: {one}" + (f" ({told.count(one)} runs)" if len(set(told)) > 1 else "")


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())


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
    yield from of_one_seed({title: found[0] for title, found in here.items()})


def titled(study: dict) -> dict[str, dict]:
    """The cells by names that tell them apart."""
    alone = len(groups(study)) == 1
    return {
        cell["title"] if alone else f"{cell['title']} ({cell['group']})": cell
        for cell in study["cells"]
    }


def curves(paths: dict[str, list[Path]]) -> Iterator[Block]:
    """Learning curves, a figure for each task and few enough cells."""
    yield Heading("Learning curves")
    tasks: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for title, found in paths.items():
        config = artifacts._config(found[0] / "config.json")
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
        title: figures.pooled([artifacts._history(path / "metrics.jsonl") for path in found])
        for title, found in paths.items()
    }
    means = {title: mean for title, (mean, _, _) in each.items()}
    bands = {title: (low, high) for title, (_, low, high) in each.items() if len(paths[title]) > 1}
    names = figures.scalars(means)
    caption = (
        f"{', '.join(names)} over epochs, as far as all seeds go: the mean of training (dashed) and "
        "of validation (solid), which the band holds of each seed."
    )
    figure = partial(figures.curves, means, loss, bands)
    return Picture(f"curves_{tag}", figure, f"Learning curves: {task}", caption, 720)


def confusions(paths: dict[str, list[Path]]) -> Iterator[Block]:
    yield Heading("Confusion matrices over all seeds")
    for title, found in paths.items():
        tests = [artifacts._result(path / "result.json")["metrics"]["test"] for path in found]
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


def of_one_seed(paths: dict[str, Path]) -> Iterator[Block]:
    """Errors in common, attention, embeddings, drawn digits of the first seed that is done."""
    runs = {}
    for title, path in paths.items():
        try:
            runs[title] = artifacts.load(path)
        except UserError as error:
            yield Note(f"{title}: {error}.")
    few = dict([*runs.items()][:DRAWN])
    yield from build.samples(few)
    classifiers = {
        title: run for title, run in runs.items() if run.classifies and run.task in CLASSIFYING
    }
    groups = [group for group in comparison.same_test(classifiers, apart=True) if len(group) > 1]
    for number, group in enumerate(groups, 1):
        yield Heading("Errors in common, of one seed: " + ", ".join(group))
        yield from comparison.shared_errors(group, f"_{number}")
    yield from attention.looks({title: run for title, run in few.items() if title in classifiers})
    yield from fusion.weights({title: run for title, run in few.items() if title in classifiers})
    yield from _of_other_tasks(few)
    yield from build.maps(few)
    if len(few) < len(runs):
        yield Note(
            f"Drawn of {DRAWN} systems; of each other: python -m fdigits.report RUN --out DIR."
        )


def _of_other_tasks(runs: dict[str, Run]) -> Iterator[Block]:
    others = {title: run for title, run in runs.items() if run.task not in CLASSIFYING}
    for blocks in build.own_blocks(others, apart=True).values():
        yield from blocks


def made(study: dict, folder: Path) -> Iterator[Block]:
    """The config of each cell, and the command that repeats it."""
    yield Heading("Each system's config and command")
    for title, cell in titled(study).items():
        config = f"{cell['config']}" + (f" with {cell['overrides']}" if cell["overrides"] else "")
        config += f"; it is a stage of {cell['of']}" if cell["of"] else ""
        yield Code(f"{title}: {config}", cell["command"])
    for title, cell in titled(study).items():
        first = next((folder / run["workdir"] / "config.json" for run in done(cell)), None)
        if first and first.is_file():
            yield Code(f"{title}: all fields", json.dumps(json.loads(first.read_text()), indent=1))


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m fdigits.report.study", description=__doc__)
    parser.add_argument(
        "studies", nargs="+", type=path_of, metavar="STUDY", help="a study's workdir"
    )
    for study in parser.parse_args(arguments).studies:
        print(write(study))


if __name__ == "__main__":
    main()
