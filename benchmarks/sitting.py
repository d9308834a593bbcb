"""What the benchmarks share: where and when a figure was taken, the file that it joins, tables."""

import contextlib
import datetime
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from fdigits import provenance
from fdigits.errors import UserError
from fdigits.files import write_json

BUSY = "cores_busy_elsewhere"


def here(**further) -> dict:
    """Date, machine, versions and commit of what is measured now, and what else is told of it."""
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    } | further


def read(file: Path) -> dict[str, dict]:
    """The figures of a file by name, each with its `sitting`.

    Files of earlier code say that once, for all that they hold.

    Raises:
      UserError: it holds no figures of a benchmark.
    """
    try:
        held = json.loads(file.read_text())
        found = next(held[key] for key in ("figures", "systems", "models") if key in held)
        once = {key: held[key] for key in ("hardware", "versions", "commit") if key in held}
        once |= {key: held[key] for key in ("seconds", "note") if key in held}
        return {name: {"sitting": once} | figure for name, figure in found.items()}
    except (OSError, ValueError, TypeError, StopIteration) as error:
        raise UserError(
            f"{file} holds no figures of a benchmark ({error or type(error).__name__}): name a new "
            "file"
        ) from None


def join(file: Path, measured: Mapping[str, dict], sitting: Mapping) -> dict[str, dict]:
    """Writes figures and their sitting into a file, where those of other names stay as they are.

    Returns what it then holds.
    """
    held = read(file) if file.exists() else {}
    held |= {name: {**figure, "sitting": dict(sitting)} for name, figure in measured.items()}
    write_json(file, {"figures": held})
    return held


def busy_seconds() -> float | None:
    """Processor seconds of the whole machine so far; None where /proc/stat is missing."""
    try:
        ticks = Path("/proc/stat").read_text().split("\n")[0].split()[1:4]  # user nice system
    except OSError:
        return None
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def watched() -> Iterator[dict]:
    """Yields what gets `cores_busy_elsewhere`: cores that neither this process nor those that it
    waits for kept busy while the body ran; None where that is not known."""

    def own() -> float:
        return sum(os.times()[:4])

    told, began, before, busy = {}, time.perf_counter(), own(), busy_seconds()
    yield told
    told[BUSY] = None
    if busy is not None:
        others = busy_seconds() - busy - (own() - before)
        told[BUSY] = round(max(0.0, others / (time.perf_counter() - began)), 2)


def spread(values: Sequence[float], digits: int) -> str:
    """Median (minimum–maximum)."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose first column is text; None becomes "?"."""
    shown = Table(title=title)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*("?" if cell is None else str(cell) for cell in row))
    return shown


def positive(kind: type) -> Callable[[str], float]:
    """The `type` of a flag that must be above zero."""
    import argparse

    def number(text: str):
        if not (value := kind(text)) > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    return number
