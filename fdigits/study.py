"""A study: the cells of a paper's table × seeds, each an ordinary run, one after another.

`python launch.py --config=configs/studies/NAME.py` runs it, or goes on: what is finished is found
again, by its config and the fingerprints of its data and of the code that computes. To use several
processes, start the same command as often: no run is done twice.

A workdir holds `CELL/seed_S/`, what `launch.py --workdir` leaves of each run (without its page,
which `python -m fdigits.report` draws), and `study.json`, written after each run:

- `name`, `title`, `paper`, `notes`: words; `metrics`: the names of the figures that the table shows,
  the first leads; `seeds`: whole numbers
- `cells`, a list in the table's order, of objects with
  - `name`, `title`, `group` ("paper's split", "unseen speakers"), `x` (its place on a curve, or null)
  - `config` ("configs/hybrid.py:mnist_fsdd"), `overrides` ("data.split=speaker"), `of` ("" or
    "CELL/STAGE", where it is a stage of another cell's run), `command` (that repeats the first seed)
  - `reported`: metric -> `value`, `items` (of the paper's test part, 0 = not said), `interval`
    ([low, high], or null) and `method` of that interval
  - `runs`, one for each seed: `seed`, `workdir` (within the study's), `status` ("done", "failed",
    "running", "missing"), `reason` (of what is not done, and of an interval that is missing);
    of what is done also `metrics` (all plain numbers of the test part, `n` among them),
    `validation` (the same of that part), `intervals` (metric -> [low, high] over test items),
    `method` of those, `seconds` (of training), `parameters`, `epochs`, `hardware`, `versions`
    (package -> version), `commit`, `fingerprints`
  - `mean`, `interval`: metric -> mean over the seeds that are done, and its 95 % interval ([low,
    high]; null with fewer than two); `method` of that interval; `seeds_done`: how many
- `comparisons`, of those pairs that claims name: `a`, `b`, `group`, `difference` (accuracy of a minus
  b, mean over seeds), `interval` ([low, high], or null), `p`, `p_holm` (Holm's, over the comparisons
  of the same group), `method`, `mcnemar`: for each seed `seed`, `only_a`, `only_b`, `p`; of a claim
  that something rises or falls, `a` is the last cell and `b` the first, and `difference` is what a
  straight line over all cells makes of it
- `claims`: `text`, `kind`, `a`, `b` (lists of cells), `group`, `verdict` ("holds", "fails",
  "undecided"), `reason` (a line)

Accuracies, F1 and differences are shares (0.99), not percent; null stands where there is no number.
"""

import gc
import json
import time
import traceback
from pathlib import Path

import jax
from ml_collections import ConfigDict

from fdigits.cells import Training, cells
from fdigits.errors import UserError, full
from fdigits.files import Busy, write_json
from fdigits.run import run

__all__ = ["cells", "run_study"]

FAILED = "failed.json"  # in the folder of a run that failed: why
WAIT = 5  # seconds until a folder is looked at again in which another process is at work


def run_study(config: ConfigDict, workdir: Path) -> None:
    """Trains what is not finished of a study.

    Raises:
      UserError: some runs failed; they are named, the others are done.
    """
    started, pending, failed = time.time(), cells(config), {}
    while pending:
        left = []
        for one in pending:
            try:
                if reason := _train(one, config, workdir, started):
                    failed[one.folder] = reason
            except Busy:
                left.append(one)
        if len(left) == len(pending):
            time.sleep(WAIT)
        pending = left
    if failed:
        told = "; ".join(f"{folder}: {reason}" for folder, reason in failed.items())
        raise UserError(f"{len(failed)} runs of {workdir} failed: {told}")


def _train(one: Training, study: ConfigDict, workdir: Path, started: float) -> str:
    """Does one run, unless it is finished; returns why it failed, "" if it did not.

    Raises:
      Busy: another process is at work on it.
    """
    folder = workdir / one.folder
    if _failed_since(folder, started):
        return _failure(folder)
    try:
        run(one.config, folder, page=False)
        (folder / FAILED).unlink(missing_ok=True)
        return ""
    except Busy:
        raise
    except Exception as error:
        if full(error):
            raise
        if not isinstance(error, UserError):
            traceback.print_exc()
        reason = f"{type(error).__name__}: {error}".partition("\n")[0].removeprefix("UserError: ")
        write_json(folder / FAILED, {"reason": reason})
        return reason
    finally:
        jax.clear_caches()  # of functions that no other run calls
        gc.collect()


def _failed_since(folder: Path, started: float) -> bool:
    """Whether another process met the failure since this command began: else it is tried again."""
    file = folder / FAILED
    return file.exists() and file.stat().st_mtime > started


def _failure(folder: Path) -> str:
    return json.loads((folder / FAILED).read_text())["reason"]
