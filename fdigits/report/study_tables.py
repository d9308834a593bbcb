"""A study's tables: measured beside reported, the tests behind the verdicts, every run."""

import csv
import io
import re
from collections.abc import Iterator

from fdigits.report import words
from fdigits.report.page import Block, Claims, Grid, Heading, Items, Note, Part, markdown
from fdigits.report.terminal import HEADINGS, count, shown


def records(study: dict) -> list[dict]:
    """A row for each cell with plain numbers, for programs."""
    return [_record(study, cell) for cell in study["cells"]]


def _record(study: dict, cell: dict) -> dict:
    row = {name: cell[name] for name in ("group", "name", "title", "config", "overrides")}
    row |= {"x": cell["x"], "seeds": cell["done"]}
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


def csv_text(rows: list[dict]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary(study: dict) -> str:
    """`table.md`, which documents also hold: verdicts and a table for each group."""
    found: list[Block] = []
    for group, cells in groups(study).items():
        claims = verdict_rows(study, group)
        found += [*named(study, group), *([Claims(claims)] if claims else []), *table(study, cells)]
    return "\n\n".join(map(markdown, [*found, Note(how(study))])) + "\n"


def named(study: dict, group: str) -> Iterator[Block]:
    """The group's name, where there are several."""
    if len(groups(study)) > 1:
        yield Part(f"{group[:1].upper()}{group[1:]}")


def groups(study: dict) -> dict[str, list[dict]]:
    """The cells of each group, in the study's order."""
    found: dict[str, list[dict]] = {}
    for cell in study["cells"]:
        found.setdefault(cell["group"], []).append(cell)
    return found


def done(cell: dict) -> list[dict]:
    return [run for run in cell["runs"] if run["status"] == "done"]


def _not_done(cell: dict) -> list[str]:
    """`seeds 1, 3 failed: no such file`, the seeds of a reason in one line."""
    seeds: dict[str, list[str]] = {}
    for run in cell["runs"]:
        if run["status"] != "done":
            seeds.setdefault(_state(run), []).append(str(run["seed"]))
    return [f"{words.seed(found)} {told}" for told, found in seeds.items()]


def _state(run: dict) -> str:
    return run["status"] + (f": {run['reason']}" if run.get("reason") else "")


def table(study: dict, cells: list[dict]) -> Iterator[Block]:
    """Measured beside reported; below it what is not done, and why."""
    header, numbers = _header(study, cells)
    yield Grid(header, [_row(study, cell, cells) for cell in cells], range(1, 1 + numbers))
    missing: dict[str, list[str]] = {}
    for cell in cells:
        for told in _not_done(cell):
            missing.setdefault(told, []).append(cell["title"])
    if missing:
        yield Items([f"not done: {', '.join(titles)}: {told}" for told, titles in missing.items()])


def _header(study: dict, cells: list[dict]) -> tuple[list[str], int]:
    """The headings, and how many of them after the first are of numbers."""
    found = []
    for metric in study["metrics"]:
        found.append(f"{HEADINGS.get(metric, metric)} [95% interval]")
        if _is_reported(metric, cells):
            found.append("reported [of one run]")
    return ["system", *found, "seeds", "test items", "parameters"], len(found) + 3


def _is_reported(metric: str, cells: list[dict]) -> bool:
    return any(metric in cell["reported"] for cell in cells)


def _row(study: dict, cell: dict, cells: list[dict]) -> list[str]:
    found = []
    for metric in study["metrics"]:
        found.append(_with(metric, cell["mean"].get(metric), cell["interval"].get(metric)))
        if _is_reported(metric, cells):
            told = cell["reported"].get(metric) or {}
            found.append(_with(metric, told.get("value"), told.get("interval")))
    finished = done(cell)
    seeds = str(len(finished))
    if len(finished) < len(cell["runs"]):
        seeds += f" of {len(cell['runs'])}"
    items = {run["metrics"].get("n") for run in finished}
    sizes = {run.get("parameters") for run in finished}
    return [cell["title"], *found, seeds, *(_only(values) for values in (items, sizes))]


def _with(metric: str, value: float | None, ends: list[float] | None) -> str:
    """`99.13 [98.91–99.30]`"""
    return shown(metric, value) + (f" [{interval(metric, ends)}]" if ends else "")


def _only(values: set) -> str:
    """The number that all agree on."""
    found = [value for value in values if value is not None]
    return count(int(found[0])) if len(found) == 1 else ("differs" if found else "–")


def interval(metric: str, ends: list[float] | None) -> str:
    return "–".join(shown(metric, end) for end in ends) if ends else "–"


def how(study: dict) -> str:
    """How the tables' intervals were found, and what is compared."""
    means = {cell.get("method") for cell in study["cells"]} - {None, ""}
    theirs = {of.get("method") for cell in study["cells"] for of in cell["reported"].values()}
    told = "Measured: the mean over seeds, of the test part"
    told += f"; its interval: {', '.join(sorted(means))}" if means else ""
    theirs = sorted(filter(None, theirs))
    told += (
        f". The reported figures are of one run; their interval: {'; '.join(theirs)}"
        if theirs
        else ""
    )
    return f"{told}. Differences are tested pair by pair, p by Holm within a group."


def verdict_rows(study: dict, group: str) -> list[tuple[str, str, str]]:
    return [
        (claim["verdict"], claim["text"], claim["reason"])
        for claim in study["claims"]
        if claim["group"] == group
    ]


def compared(study: dict) -> Iterator[Block]:
    """The tests behind the verdicts."""
    titles = {cell["name"]: cell["title"] for cell in study["cells"]}
    if not study["comparisons"]:
        return
    yield Heading("Differences tested")
    rows = [_comparison(one, titles) for one in study["comparisons"]]
    header = ["A", "B", "A − B, points", "95% interval", "p", "p by Holm"]
    header += ["only A right", "only B right", "group"]
    yield Grid(header, rows, range(2, 8))
    methods = sorted({one["method"] for one in study["comparisons"] if one.get("method")})
    told = f"{'; '.join(methods)}. " if methods else ""
    yield Note(
        f"{told}Only A, only B right: test items, of each seed that both tested on the same ones; "
        "McNemar's exact test of each is in study.json."
    )


def _comparison(one: dict, titles: dict[str, str]) -> list[str]:
    found = [titles.get(one[side], one[side]) for side in "ab"]
    ends = one["interval"] or [None]
    span = "–" if None in ends else " to ".join(map(_points, ends))
    tests = [words.p_value(one["p"]), words.p_value(one["p_holm"])]
    items = [", ".join(str(seed[side]) for seed in one["mcnemar"]) or "–" for side in ONLY]
    return [*found, _points(one["difference"]), span, *tests, *items, one["group"]]


ONLY = ("only_a", "only_b")


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.2f}"


def every_run(study: dict) -> Iterator[Block]:
    """Each seed with its own interval over test items; on what it ran."""
    yield Heading("Every run")
    metric = study["metrics"][0]
    cells = [cell for some in groups(study).values() for cell in some]
    rows = [_run(cell, run, metric) for cell in cells for run in cell["runs"]]
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
        interval(metric, (run.get("intervals") or {}).get(metric)),
        count(run.get("epochs")),
        "–" if seconds is None else f"{seconds:,.0f}",
        _state(run),
        cell["group"],
    ]


def _hardware(runs: list[dict]) -> Iterator[str]:
    """Each machine, set of versions and commit, with how many runs are of it."""
    for name, words_of in TOLD.items():
        told = [words_of(run[name]) for run in runs if run.get(name)]
        for one in dict.fromkeys(told):
            yield f"{name}: {one}" + (f" ({told.count(one)} runs)" if len(set(told)) > 1 else "")


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())


def _commits(commits: str) -> str:
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", commits)


TOLD = {"hardware": str, "versions": _versions, "commit": _commits}


def titled(study: dict) -> dict[str, dict]:
    """The cells by names that tell them apart."""
    alone = len(groups(study)) == 1
    return {
        cell["title"] if alone else f"{cell['title']} ({cell['group']})": cell
        for cell in study["cells"]
    }
