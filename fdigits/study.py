"""A study: the cells of a paper's table × seeds, each an ordinary run, one after another.

`python launch.py --config=configs/studies/NAME.py` runs it, or goes on: what is finished is found
again, by its config and the fingerprints of its data and of the code that computes. To use several
processes, start the same command as often: no run is done twice.

A workdir holds `CELL/seed_S/`, what `launch.py --workdir` leaves of each run (without its page,
which `python -m fdigits.report` draws), `study.json`, written after each run, and at the end the
study's tables and page (`report/study.py`). Accuracies, F1 and differences in `study.json` are
shares (0.99), not percent; null stands where there is no number.

- `name`, `title`, `paper`, `notes`: words; `seeds`: whole numbers; `metrics`: the names of the
  figures that the table shows, the first leads
- `cells`, a list in the table's order, of objects with
  - `name`, `title`, `group` ("paper's split", "unseen speakers"), `x` (place on a curve or null)
  - `config` ("configs/hybrid.py:mnist_fsdd"), `overrides` ("data.split=speaker"), `of` ("", or
    "CELL/STAGE" where it is a stage of another cell's run), `command` (that repeats its first seed)
  - `reported`: metric -> `value`, `items` (of the paper's test part, 0 = not said), `interval`
    ([low, high] or null) and `method` of that interval
  - `runs`, one for each seed: `seed`, `workdir` (within the study's), `status` ("done", "failed",
    "running", "missing"), `reason` (why not done, or what to know of it, or "");
    of what is done also `metrics` (all plain numbers of the test part, "n" among them),
    `validation` (the same of that part), `intervals` (metric -> [low, high] over test items),
    `method` of those, `seconds` (of training), `parameters`, `epochs`, `hardware`, `versions`
    (package -> version), `commit`, `fingerprints` ("data", "code")
  - `done`: how many seeds; `mean`, `interval`: metric -> mean over these, and its 95 % interval
    ([low, high]; null with fewer than two); `method` of that interval
- `comparisons`, of the pairs that claims name: `a`, `b`, `line` (of a claim that something rises or
  falls its cells in order, else []; `difference` is then the change along a straight line, from b,
  the first, to a, the last), `group`, `seeds` (how many), `difference` (accuracy of a minus b, mean
  over seeds), `interval` ([low, high]), `p`, `p_holm` (Holm's, over the comparisons of the group),
  `method`, `mcnemar`: for each seed that has the same test items `seed`, `only_a`, `only_b`, `p`
- `claims`: `text`, `kind`, `a`, `b` (lists of cells), `group`, `verdict` ("holds", "fails",
  "undecided"), `reason` (a line)
"""

import gc
import os
import time
import traceback
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.table import Table

from fdigits.cells import Training, cells
from fdigits.console import console
from fdigits.errors import UserError, full
from fdigits.files import Busy, held, write_json
from fdigits.measured import DONE, FAILED, FAILURE, RUNNING, State, state, summary
from fdigits.report import terminal
from fdigits.run import run, undrawable

__all__ = ["STUDY", "cells", "run_study"]

STUDY = "study.json"
WAIT = 5  # seconds until a folder is looked at again in which another process is at work


def run_study(config: ConfigDict, workdir: Path) -> dict:
    """Trains what is not finished of a study; returns what `study.json` holds.

    Raises:
      UserError: some runs failed; they are named, the others are done.
    """
    started, plan = time.time(), cells(config)
    pending, failed = list(plan), {}
    while pending:
        left = []
        for one in pending:
            told = f"{one.folder} ({plan.index(one) + 1} of {len(plan)})"
            at = _done(one, config, workdir, started, told)
            if at.status == RUNNING:
                left.append(one)
            elif at.status == FAILURE:
                failed[one.folder] = at.reason
                console.print(f"{told} failed: {at.reason}")
        if len(left) == len(pending):
            time.sleep(WAIT)
        pending = left
    found = _write(config, workdir)
    _show(found, workdir)
    if failed:
        told = f"{len(failed)} of {len(plan)} runs in {workdir} failed"
        raise UserError(f"{told}: {_reasons(failed)}")
    return found


def _reasons(failed: dict[str, str]) -> str:
    """Each reason once, after the runs that it is of."""
    folders: dict[str, list[str]] = {}
    for folder, reason in failed.items():
        folders.setdefault(reason, []).append(folder)
    return "; ".join(f"{', '.join(some)}: {reason}" for reason, some in folders.items())


def _done(one: Training, study: ConfigDict, workdir: Path, started: float, told: str) -> State:
    """How far a run is, after it was trained if it is not finished and nobody is at work on it."""
    at, folder = state(one, study, workdir), workdir / one.folder
    if at.changed and study.changed == "again":
        console.print(f"{told}: {at.reason.partition(':')[0]}; it is kept as {_put_aside(folder)}")
    elif at.status == FAILURE and not (folder / FAILED).is_file():
        return at  # of another config, or changed
    elif at.status == FAILURE and (folder / FAILED).stat().st_mtime > started:
        return at  # another process met it meanwhile; one of before is tried again
    elif at.status == DONE:
        console.print(f"{told} is finished" + (f"; {at.reason}" if at.reason else ""))
        return at
    elif at.status == RUNNING:
        return at
    console.print(told)
    try:
        run(one.config, folder, page=False)
        (folder / FAILED).unlink(missing_ok=True)
    except Busy:
        return State(RUNNING)
    except Exception as error:
        if full(error):  # it would stop the others, too
            raise
        _tell(error, folder)
    finally:
        jax.clear_caches()  # of functions that no other run calls
        gc.collect()
    _write(study, workdir)
    return state(one, study, workdir)


def _tell(error: Exception, folder: Path) -> None:
    """Leaves why a run failed in its folder."""
    reason = str(error)
    if not isinstance(error, UserError):
        traceback.print_exc()
        reason = f"{type(error).__name__}: {(reason.splitlines() or [''])[0]}"
    write_json(folder / FAILED, {"reason": reason})


def _put_aside(folder: Path) -> Path:
    """Renames a finished run's folder, which keeps all that it holds."""
    number, aside = 1, folder.with_name(f"{folder.name}.before")
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}.before-{number}")
    with held(folder):
        os.rename(folder, aside)
    return aside


def _write(study: ConfigDict, workdir: Path) -> dict:
    found = summary(study, workdir)
    write_json(workdir / STUDY, found)
    return found


def _show(found: dict, workdir: Path) -> None:
    """The table and the verdicts."""
    metric = found["metrics"][0]
    table = Table(title=f"{found['title']} ({found['paper']})", title_justify="left")
    for heading in ("cell", "group"):
        table.add_column(heading, overflow="fold")
    for heading in ("seeds", terminal.HEADINGS.get(metric, metric), "95 % interval", "reported"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found["cells"]:
        span = [terminal.shown(metric, x) for x in one["interval"].get(metric) or ()]
        told = one["reported"].get(metric, {}).get("value")
        shown = [terminal.shown(metric, x) for x in (one["mean"].get(metric), told)]
        seeds = f"{one['done']} of {len(one['runs'])}"
        table.add_row(
            one["title"], one["group"], seeds, shown[0], "–".join(span), shown[1] if told else "–"
        )
    console.print(table)
    for one in found["claims"]:
        console.print(f"{one['verdict']:<9}  {one['text']}: {one['reason']}")
    console.print(f"figures: {workdir / STUDY}")
    if told := undrawable():
        console.print(told)
        return
    from fdigits.report import study as page  # needs Matplotlib

    console.print(f"report with figures: {page.write(workdir)}")
