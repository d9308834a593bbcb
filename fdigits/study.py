"""A study: the cells of a paper's table × seeds, each an ordinary run, one after another.

`python launch.py --config=configs/studies/NAME.py` runs it, or goes on: what is finished is found
again, by its config and the fingerprints of its data and of the code that computes. To use several
processes, start the same command as often: no run is done twice. On an accelerator all seeds of a
cell are trained at once, where they can be.

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
import json
import os
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.table import Table

from fdigits.cells import STUDY, Training, cells
from fdigits.console import console
from fdigits.errors import UserError, full
from fdigits.evaluate import remake
from fdigits.examples import resolved
from fdigits.files import Busy, check_writable, held, write_json
from fdigits.measured import DONE, FAILED, FAILURE, MISSING, RUNNING, state, summary
from fdigits.report import terminal
from fdigits.run import at_once, run, run_seeds, undrawable
from fdigits.workdir import RESULT

__all__ = ["STUDY", "cells", "run_study"]

WAIT = 5  # seconds until a folder is looked at again in which another process is at work


def run_study(config: ConfigDict, workdir: Path) -> dict:
    """Trains what is not finished of a study; returns what `study.json` holds.

    Raises:
      UserError: some runs failed, which are named, and the others are done; or the workdir is
        another study's.
    """
    plan = cells(config)
    for one in plan:
        resolved(one.config)  # refuses a data set that is none
    _refuse_other(config, workdir)
    started = _now(workdir)
    pending, failed = groups(plan), {}
    while pending:
        left, idle = [], True
        for group in pending:
            todo = [one for one in group if _is_wanted(one, config, workdir, started)]
            if todo:
                idle = False
                failed |= _train(todo, workdir)
                _write(config, workdir)
            states = [
                (one, state(one, config, workdir)) for one in group if one.folder not in failed
            ]
            failed |= {one.folder: at.reason for one, at in states if at.status == FAILURE}
            if again := [one for one, at in states if at.status in (RUNNING, MISSING)]:
                left.append(again)
        if left and idle:
            time.sleep(WAIT)
        pending = left
    found = _write(config, workdir)
    _show(found, workdir)
    if failed:
        told = f"{len(failed)} of {len(plan)} runs in {workdir} failed"
        raise UserError(f"{told}: {_reasons(failed)}")
    return found


def _now(folder: Path) -> float:
    """By the clock of the disk, which several machines may share."""
    check_writable(folder)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        return os.stat(file.name).st_mtime


def _refuse_other(config: ConfigDict, workdir: Path) -> None:
    """Leaves another study's tables as they are."""
    try:
        theirs = json.loads((workdir / STUDY).read_text())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if theirs != config.name:
        raise UserError(
            f"{workdir} holds the study {theirs}, this is {config.name}: choose another --workdir"
        )


def groups(plan: Sequence[Training]) -> list[list[Training]]:
    """The runs that are trained at once: one, and on an accelerator all seeds of a cell."""
    if not at_once():
        return [[one] for one in plan]
    names = dict.fromkeys(one.cell for one in plan)
    return [[one for one in plan if one.cell == name] for name in names]


def _reasons(failed: Mapping[str, str]) -> str:
    """Each reason once, after the runs that it is of."""
    folders: dict[str, list[str]] = {}
    for folder, reason in failed.items():
        folders.setdefault(reason, []).append(folder)
    return "; ".join(f"{', '.join(some)}: {reason}" for reason, some in folders.items())


def _is_wanted(one: Training, study: ConfigDict, workdir: Path, started: float) -> bool:
    """Whether a run is to be trained now; where it is not, it says why."""
    at, folder = state(one, study, workdir), workdir / one.folder
    if at.changed and study.changed == "again":
        told = at.reason.partition(":")[0]
        try:
            console.print(f"{one.folder}: {told}; it is kept as {_put_aside(folder)}")
        except (Busy, FileNotFoundError):  # another process was quicker
            return False
        return True
    if at.status == FAILURE and _may_be_tried(folder, started):
        return True
    if at.status == DONE:
        console.print(f"{one.folder} is finished" + (f"; {at.reason}" if at.reason else ""))
        _complete(one, folder)
    elif at.status == FAILURE:
        console.print(f"{one.folder} failed: {at.reason}")
    return at.status == MISSING


def _complete(one: Training, folder: Path) -> None:
    """Makes again what was deleted of a finished run, as claims need its predictions."""
    data = one.config.data
    for stage in (*one.config.stages, ""):
        try:
            made = remake(folder / stage, Path(data.dir), Path(data.cache))
        except UserError as error:
            console.print(str(error))
        else:
            if made:
                console.print(f"made again from the checkpoint: {', '.join(made)}")


def _may_be_tried(folder: Path, started: float) -> bool:
    """Whether a failure is of before this command: not one that another process met meanwhile, nor
    what no trial can mend, as a folder of another config."""
    try:
        written = (folder / FAILED).stat().st_mtime
    except FileNotFoundError:  # none, or another process has just trained it
        return False
    return written <= started and not (folder / RESULT).exists()


def _train(some: Sequence[Training], workdir: Path) -> dict[str, str]:
    """Trains a run, or several seeds of a cell at once, and one after another if that fails.

    Returns of what failed, and could not be told in its folder, why.
    """
    first, seeds = some[0], [one.seed for one in some]
    console.print(", ".join(one.folder for one in some))
    try:
        if len(some) > 1:
            run_seeds(first.config, workdir / first.cell, seeds, page=False)
        else:
            run(first.config, workdir / first.folder, page=False)
        for one in some:
            (workdir / one.folder / FAILED).unlink(missing_ok=True)
    except Busy:
        return {}
    except Exception as error:
        if full(error):  # it would stop the others, too
            raise
        if len(some) == 1:
            told = _tell(error, workdir / first.folder)
            return {} if told else {first.folder: _reason(error)}
        console.print(f"{first.cell}: {_reason(error)}; each seed is tried by itself")
    finally:
        jax.clear_caches()  # of functions that no other run calls
        gc.collect()
    if len(some) > 1 and not all((workdir / one.folder / RESULT).exists() for one in some):
        return {folder: why for one in some for folder, why in _train([one], workdir).items()}
    return {}


def _reason(error: Exception) -> str:
    """An error in a line."""
    line = (str(error).splitlines() or [""])[0]
    return line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"


def _tell(error: Exception, folder: Path) -> bool:
    """Leaves why a run failed in its folder; whether that could be written."""
    if not isinstance(error, UserError):
        traceback.print_exc()
    console.print(f"{folder} failed: {_reason(error)}")
    try:
        write_json(folder / FAILED, {"reason": _reason(error)})
    except OSError:
        return False
    return True


def _put_aside(folder: Path) -> Path:
    """Renames a finished run's folder, which keeps all that it holds."""
    number, aside = 1, folder.with_name(f"{folder.name}.before")
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}.before-{number}")
    with held(folder):
        if not (folder / RESULT).exists():
            raise Busy(f"{folder} is already put aside")
        os.rename(folder, aside)
    return aside


def _write(study: ConfigDict, workdir: Path) -> dict:
    found = summary(study, workdir)
    write_json(workdir / STUDY, found)
    return found


def _show(found: dict, workdir: Path) -> None:
    """The table and the verdicts."""
    metric = found["metrics"][0]
    title = (found["title"] or found["name"]) + (f" ({found['paper']})" if found["paper"] else "")
    table = Table(title=title, title_justify="left")
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
