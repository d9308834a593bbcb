"""What a study's folders hold: which runs are done, and the figures of `study.json` (see study.py).

A run is done if it has a result, its config is the cell's, and neither its data nor the code that
computes have changed since.
"""

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from fdigits import provenance, tasks
from fdigits.cells import NOWHERE, Training, in_order, reported, shown, training
from fdigits.config import modern_result, stage_config
from fdigits.console import console
from fdigits.data import prepare
from fdigits.data.corpus import CLASSES, MODALITIES
from fdigits.errors import UserError
from fdigits.examples import fingerprint, resolved
from fdigits.files import is_held, read_arrays
from fdigits.report import artifacts, statistics, verdicts
from fdigits.report.statistics import Interval
from fdigits.report.verdicts import Items
from fdigits.trained import sources
from fdigits.workdir import RESULT, refuse_other

FAILED = "failed.json"  # in the folder of a run that failed: why
DONE, FAILURE, RUNNING, MISSING = "done", "failed", "running", "missing"
CHANGES = {"code": "the code that computes has changed", "data": "the data are others"}
SHARES = ("accuracy", "macro_f1", "judged", "precision", "recall", "untouched", "heard")
SHOWN = 8  # places of a fingerprint that a line tells


class State(NamedTuple):
    """How far a run is."""

    status: str  # DONE, FAILURE, RUNNING or MISSING
    reason: str = ""  # why it is not done, or what to know of it
    changed: bool = False  # it is finished, but of other code or data


def state(one: Training, study: ConfigDict, workdir: Path, stage: str = "") -> State:
    """How far a run is, or an earlier stage of it."""
    folder = workdir / one.folder
    if _result(folder / stage):
        if not (folder / stage / "config.json").is_file():
            told = f"{folder / stage} has a result but no config.json, so it is not known of what"
            return State(FAILURE, f"{told}: move it elsewhere")
        config = resolved(stage_config(one.config, stage) if stage else one.config)
        try:
            refuse_other(folder / stage, config)
        except UserError as error:
            return State(FAILURE, str(error))
        if not (told := changes(one.config, folder)):
            return State(DONE)
        if study.changed == "keep":
            return State(DONE, told)
        told += ": --config.changed=keep takes its figures as they are, =again trains it again"
        return State(FAILURE, told, changed=True)
    if is_held(folder):
        return State(RUNNING)
    if (folder / FAILED).is_file():
        return State(FAILURE, str(_json(folder / FAILED).get("reason")))
    begun = (folder / "config.json").exists()
    return State(MISSING, "begun, not finished" if begun else "not begun")


def _result(folder: Path) -> dict:
    """A finished run's `result.json`; {} where there is none that can be read."""
    held = _json(folder / RESULT)
    return modern_result(held) if held else {}


def _json(file: Path) -> dict:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


def changes(config: ConfigDict, folder: Path) -> str:
    """What a finished run was trained with that is no longer so, "" if nothing."""
    for stage in ("", *config.stages):
        if not (result := _result(folder / stage)):
            continue
        own = resolved(stage_config(config, stage) if stage else config)
        then = result.get("fingerprints") or {"code": "none", "data": "none"}
        for what, now in (("code", provenance.code()), ("data", data_now(own, folder / stage))):
            if now and then[what] != now:
                where = f"stage {stage}: " if stage else ""
                places = f"fingerprint {then[what][:SHOWN]} there, {now[:SHOWN]} now"
                return f"{where}{CHANGES[what]} since ({places})"
    return ""


def data_now(config: ConfigDict, folder: Path) -> str:
    """The fingerprint of a run's data as they are now; "" where they cannot be had, and it says
    so."""
    try:
        reads = sources(config, tasks.make(config), folder).values()
    except UserError as error:  # a stage's folder is gone
        console.print(f"whether the data of finished runs have changed is not known: {error}")
        return ""
    return _data(config.data.name, config.data.dir, config.data.cache, tuple(reads))


@functools.cache
def _data(name: str, data_dir: str, cache: str, reads: tuple[str, ...]) -> str:
    try:
        return fingerprint(prepare.load(name, data_dir, cache, reads))
    except UserError as error:
        console.print(f"whether the data of finished runs have changed is not known: {error}")
        return ""


def summary(study: ConfigDict, workdir: Path) -> dict:
    """What `study.json` holds."""
    cells = [_cell(study, name, workdir) for name in in_order(study)]
    x = {name: one.x for name, one in study.cells.items()}
    titles = {name: one.title for name, one in study.cells.items()}
    claims = [dict(one) for one in study.claims.values()]
    groups = list(dict.fromkeys(one["group"] for one in cells))
    comparisons, judged, rows = [], [], {one["name"]: one for one in cells}
    for group in groups:
        own = [one for one in claims if study.cells[one["a"][0]].group == group]
        named = dict.fromkeys(name for one in own for name in (*one["a"], *one["b"]))
        measured = {name: _items(rows[name], workdir) for name in named}
        found = verdicts.compared(measured, own, x)
        comparisons += [_comparison(*one, measured, group) for one in found.items()]
        for one in own:
            verdict, reason = verdicts.verdict(one, measured, found, x, titles)
            told = {"text": one["text"], "kind": one["kind"]}
            told |= {side: list(one[side]) for side in "ab"}
            judged.append(told | {"group": group, "verdict": verdict, "reason": reason})
    words = {name: study[name] for name in ("name", "title", "paper", "notes")}
    lists = {name: list(study[name]) for name in ("seeds", "metrics")}
    return finite(words | lists | dict(cells=cells, comparisons=comparisons, claims=judged))


def finite(value: object) -> object:
    """With null in the place of NaN and infinity, which JSON has not."""
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(study: ConfigDict, name: str, workdir: Path) -> dict:
    one = study.cells[name]
    first, runs = training(study, name, study.seeds[0]), []
    items = one.test_items or study.test_items
    for seed in own_seeds(study, name):
        runs.append(_run(training(study, name, seed), study, workdir, one.of.partition("/")[2]))
    done = [run for run in runs if run["status"] == DONE]
    metrics = dict.fromkeys(metric for run in done for metric in run["metrics"] if metric != "n")
    values = {
        metric: [run["metrics"][metric] for run in done if metric in run["metrics"]]
        for metric in metrics
    }
    own = study.cells[first.cell]
    overrides = ",".join(filter(None, (study.overrides, own.overrides)))
    return {
        "name": name,
        "title": one.title,
        "group": one.group,
        "x": None if one.x == NOWHERE else one.x,
        "config": own.config,
        "overrides": overrides,
        "of": one.of,
        "command": first.command,
        "reported": _reported(shown(study, name, study.seeds[0]), items),
        "runs": runs,
        "done": len(done),
        "mean": {metric: float(np.mean(found)) for metric, found in values.items()},
        "interval": {
            metric: statistics.over_seeds(found, share=metric in SHARES)
            for metric, found in values.items()
        },
        "method": "Student's t over seeds",
    }


def own_seeds(study: ConfigDict, name: str) -> Iterator[int]:
    """The seeds with which a cell is trained anew: a stage may have a seed of its own, whatever the
    run's is, and is then one training only."""
    found = set()
    for seed in study.seeds:
        if (own := shown(study, name, seed).seed) not in found:
            found.add(own)
            yield seed


def _reported(config: ConfigDict, items: int) -> dict[str, dict]:
    found = {}
    for metric, value in reported(config).items():
        interval = statistics.wilson(round(value * items), items) if items else None
        method = f"Wilson, one run on {items:,} items" if items else ""
        if items and metric != "accuracy":
            method += ", as if it were an accuracy"
        told = dict(value=value, items=items, interval=interval, method=method)
        found[metric] = told
    return found


def _run(one: Training, study: ConfigDict, workdir: Path, stage: str) -> dict:
    """A seed of a cell."""
    at, folder = state(one, study, workdir, stage), workdir / one.folder / stage
    told = {"seed": one.seed, "workdir": folder.relative_to(workdir).as_posix()}
    told |= {"status": at.status, "reason": at.reason}
    if at.status != DONE:
        return told
    result = _result(folder)
    items, reason = _read(folder, _stamp(folder))
    intervals = _intervals(items) if items else {}
    return told | {
        "reason": "; ".join(filter(None, (at.reason, reason))),
        "metrics": _numbers(result["metrics"]["test"]),
        "validation": _numbers(result["metrics"].get("validation", {})),
        "intervals": {metric: [found.low, found.high] for metric, found in intervals.items()},
        "method": "; ".join(dict.fromkeys(found.method for found in intervals.values())),
        "seconds": result.get("train_seconds"),
        **{name: result.get(name) for name in ("parameters", "epochs", "hardware", "versions")},
        **{name: result.get(name) for name in ("commit", "fingerprints")},
    }


def _numbers(metrics: Mapping) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def _stamp(folder: Path) -> int:
    """When a run's predictions were written: what was read of others is not theirs."""
    file = folder / "predictions.npz"
    return file.stat().st_mtime_ns if file.is_file() else 0


@functools.lru_cache(maxsize=1024)
def _read(folder: Path, stamp: int) -> tuple[Items | None, str]:
    """What a run made of its test items, where it classifies; else why that is not known.

    Its predictions suffice; inputs, where it kept them, tell which items are the same.
    """
    try:
        held = read_arrays(folder / "predictions.npz")
        if not {"id", "label", "logits"} <= held.keys():
            return None, ""
    except ValueError as error:
        return None, f"no interval over test items: {folder / 'predictions.npz'}: {error}"
    inputs, told = {}, ""
    if (file := folder / "inputs.npz").is_file() and not all("|" in item for item in held["id"]):
        try:
            inputs = read_arrays(file)
        except ValueError as error:
            told = f"which test items are the same is not known: {file}: {error}"
    seen = _seen(held["id"], inputs, _result(folder).get("modalities", ()))
    return Items.of(held["id"], held["label"], held["logits"].argmax(1), seen), told


def _seen(
    id_N: np.ndarray, inputs: Mapping[str, np.ndarray], reads: Sequence[str]
) -> dict[str, np.ndarray]:
    """The ids of what a model read of each item; of all that the items are of where it read what
    a stage made of it."""
    if all("|" in item for item in id_N):
        heard = next((name for name in reads if name != "image" and name in MODALITIES), "audio")
        halves = np.array([item.split("|", 1) for item in id_N]).T
        found = dict(zip(("image", heard), halves, strict=True))
    else:
        found = artifacts.sources(id_N, inputs, reads)
    return {name: ids for name, ids in found.items() if name in reads} or found


@functools.lru_cache(maxsize=1024)
def _intervals(items: Items) -> dict[str, Interval]:
    """Of accuracy and macro-F1, over test items."""
    named = {name: ids for name, ids in items.sources.items() if name != "item"}
    return {
        "accuracy": statistics.accuracy_interval(items.correct_N, named),
        "macro_f1": statistics.macro_f1_interval(items.label_N, items.predicted_N, named, CLASSES),
    }


def _items(row: Mapping, workdir: Path) -> dict[int, Items]:
    """Of each seed of a cell that is done."""
    found = {}
    for run in row["runs"]:
        if run["status"] == DONE:
            folder = workdir / run["workdir"]
            items, _ = _read(folder, _stamp(folder))
            found |= {run["seed"]: items} if items else {}
    return found


def _comparison(pair, found, measured: Mapping, group: str) -> dict:
    (a, b, line), (effect, adjusted, seeds) = pair, found
    return {
        "a": a,
        "b": b,
        "line": list(line),
        "group": group,
        "seeds": seeds,
        "difference": effect.difference,
        "interval": [effect.low, effect.high],
        "p": effect.p,
        "p_holm": adjusted,
        "method": effect.method,
        "mcnemar": verdicts.mcnemar(measured[a], measured[b]),
    }
