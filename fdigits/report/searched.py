"""What a search found: its trials as a table, each field's values against the scores, as a page."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from rich.table import Table

from fdigits.report.page import (
    Block,
    Code,
    Grid,
    Heading,
    Items,
    Note,
    Picture,
    markdown,
    publish,
    sound,
)
from fdigits.report.style import INK, PALE, RIGHT, STYLE, WRONG
from fdigits.report.terminal import HEADINGS, shown

STATES = {"complete": "done", "pruned": "pruned", "fail": "failed"}  # else as Optuna calls them
OTHER = dict(color=RIGHT, markerfacecolor="none", markersize=4)
BEST = dict(color=WRONG, markersize=6, zorder=3)
MOST = 20  # rows in a terminal


def told(fields: dict) -> str:
    """`model.filters=[32, 64] epochs=10`"""
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def ranked(summary: dict) -> list[dict]:
    """The trials, best first; those without a score last."""
    sign = -1 if summary["direction"] == "maximize" else 1

    def place(trial: dict) -> tuple:
        done = trial["state"] == "complete"
        scored = trial["score"] is not None
        return not done, not scored, sign * trial["score"] if scored else 0, trial["number"]

    return sorted(summary["trials"], key=place)


def flags(trial: dict) -> str:
    """What to add to the base config's command for this trial's config."""
    return " ".join(f"--config.{name}='{value}'" for name, value in trial["fields"].items())


def header(summary: dict) -> list[str]:
    fields = dict.fromkeys(name for trial in summary["trials"] for name in trial["fields"])
    score = f"validation {HEADINGS.get(summary['monitor'], summary['monitor'])}"
    return ["trial", score, *fields, "epochs done", "seconds", "state"]


def cells(summary: dict, trial: dict) -> list[str]:
    seconds = trial["seconds"]
    return [
        str(trial["number"]),
        shown(summary["monitor"], trial["score"]),
        *(_value(trial["fields"].get(name, "–")) for name in header(summary)[2:-3]),
        str(trial["epochs"] or "–"),
        "–" if seconds is None else f"{seconds:,.0f}",
        STATES.get(trial["state"], trial["state"])
        + (f": {trial['reason']}" * bool(trial["reason"])),
    ]


def table(summary: dict) -> Table:
    """The best trials, for a terminal."""
    made = Table(title=_title(summary), title_justify="left", caption_justify="left")
    for heading in header(summary):
        made.add_column(heading, justify="left" if heading == "state" else "right")
    rows = ranked(summary)
    for trial in rows[:MOST]:
        made.add_row(*cells(summary, trial))
    made.caption = _best(summary)
    if more := len(rows) - MOST > 0 and len(rows) - MOST:
        made.caption = f"{more} more in search.json. {made.caption}"
    return made


def _title(summary: dict) -> str:
    counts: dict[str, int] = {}
    for trial in summary["trials"]:
        state = STATES.get(trial["state"], trial["state"])
        counts[state] = counts.get(state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"{summary['name']}: {len(summary['trials'])} trials, {states}"


def _best(summary: dict) -> str:
    best = ranked(summary)[0]
    if best["state"] != "complete":
        return "No trial is done."
    score = shown(summary["monitor"], best["score"])
    return (
        f"Best on validation is trial {best['number']}, {summary['monitor']} {score}: {flags(best)}"
    )


def markdown_of(summary: dict) -> str:
    """What documents hold of a search: its best trial and all others."""
    told = [Items([_title(summary), _best(summary)]), *_trials(summary)]
    return "\n\n".join(map(markdown, told)) + "\n"


def write(summary: dict, out: Path) -> Path:
    """Writes `report.html`, `report.md` and `figures/` of a search into `out`."""
    return publish(f"fdigits search: {summary['name']}", [*sound(blocks(summary))], out)


def blocks(summary: dict) -> Iterator[Block]:
    yield Items([_title(summary)])
    best, _, told = _best(summary).partition(": ")
    yield Code(best, told) if told else Note(best)
    yield Note(
        "Scores are of the validation part; the test part takes no part in the choice. The best of "
        f"{len(summary['trials'])} looks better on that part than it is: its test figure is in its "
        "run's folder, and other seeds tell what of it is luck."
    )
    done = [trial for trial in summary["trials"] if trial["state"] == "complete"]
    if varied(done):
        told = "A dot for each trial that was done, the best filled."
        if importances := summary["importances"]:
            shares = ", ".join(f"{name} {100 * share:.0f}%" for name, share in importances.items())
            told += f" Share of the scores' variance that each field explains (fANOVA): {shares}."
        yield Picture("fields", partial(slices, summary, done), "Scores by field", told, 720)
    yield Heading("Trials, best first")
    yield from _trials(summary)


def _trials(summary: dict) -> Iterator[Grid]:
    last = len(header(summary)) - 1
    yield Grid(header(summary), [cells(summary, one) for one in ranked(summary)], range(1, last))


def varied(done: list[dict]) -> list[str]:
    """The fields of which trials that are done have several values."""
    names = done[0]["fields"] if done else ()
    return [name for name in names if len({trial["fields"][name] for trial in done}) > 1]


@matplotlib.rc_context(STYLE)
def slices(summary: dict, done: list[dict]) -> Figure:
    """A panel for each field: its values against the scores."""
    names, best = varied(done), ranked(summary)[0]["number"]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(7.2, 2.3 * rows))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for panel, name in zip(axes.flat, names, strict=False):
        _slice(panel, name, done, best, 100 if summary["monitor"] == "accuracy" else 1)
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    for row in axes:
        row[0].set_ylabel(header(summary)[1], color=INK)
    return figure


def _slice(axes, name: str, done: list[dict], best: int, times: int) -> None:
    values = [trial["fields"][name] for trial in done]
    numbers = all(type(value) in (int, float) for value in values)
    few = sorted(set(values), key=lambda value: value if numbers else (len(value), value))
    if not numbers or len(few) <= 6:  # evenly spaced, with their values below
        ticks = [_value(value).strip("[]") for value in few]
        long = dict(rotation=40, ha="right", rotation_mode="anchor")
        axes.set_xticks(range(len(few)), ticks, **long if sum(map(len, ticks)) > 30 else {})
        axes.margins(x=0.15)
        values = [few.index(value) for value in values]
    elif min(few) > 0 and max(few) > 50 * min(few):
        axes.set_xscale("log")
    for trial, x in zip(done, values, strict=True):
        kind = BEST if trial["number"] == best else OTHER
        axes.plot(x, times * trial["score"], "o", **kind)
    axes.set_xlabel(name)
    axes.grid(axis="y", color=PALE, linewidth=0.5)
