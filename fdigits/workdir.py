"""What a run's folder, the workdir, holds, and whose it is."""

import json
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from fdigits import checkpoint, devices, train
from fdigits.config import differing_fields, modern_result, of_numbers, stage_config
from fdigits.console import console
from fdigits.errors import UserError
from fdigits.files import atomic, refuse_place, write_json
from fdigits.trained import STATISTICS, modern_config

RESULT = "result.json"
HISTORY = "metrics.jsonl"
SAMPLES = "samples"  # folder of what a task draws after each epoch


def finished(workdir: Path) -> dict | None:
    """The result of a finished run; None, too, where a file that tells of it is cut and the kept
    epochs can tell again: the best weights are then still to be tested."""
    if not (workdir / RESULT).exists():
        return None
    told = [workdir / RESULT, workdir / HISTORY]
    told += [file for file in [workdir / STATISTICS] if file.exists()]
    damaged = [file for file in told if not _is_json(file)]
    result = {} if told[0] in damaged else _read_json(told[0])
    if not result.get("metrics"):
        damaged.insert(0, told[0])
    if damaged and checkpoint.kept(workdir / "checkpoints"):
        console.print(f"{damaged[0]} is damaged: the best weights are tested again, as it was")
        return None
    if told[0] in damaged:
        raise UserError(f"{told[0]} is damaged: choose another --workdir")
    return modern_result(result)


def _is_json(file: Path) -> bool:
    """Whether the whole, or each line of a `.jsonl`, can be read."""
    try:
        text = file.read_text()
        parts = text.splitlines() if file.suffix == ".jsonl" else [text]
        return bool([json.loads(part) for part in parts])
    except (OSError, ValueError):
        return False


def refuse_other(workdir: Path, config: ConfigDict) -> None:
    """Refuses a folder in which something else was trained.

    Raises:
      UserError: its config is another, or none; names the fields. It is no run's.
    """
    refuse_place(workdir, "a run")
    file = workdir / "config.json"
    if not file.exists() or _is_lost(file, workdir):
        return
    theirs, ours = _read_json(file), json.loads(config.to_json())
    if not isinstance(theirs.get("data"), dict):
        raise UserError(f"{file} is no config of a run: choose another --workdir")
    fields = _differing(modern_config(theirs), ours)
    if fields and _holds_epochs(workdir):
        raise UserError(
            f"{workdir} belongs to another config ({'; '.join(fields)}): choose another --workdir, "
            "or delete that one, with what was trained there"
        )


def _is_lost(config: Path, workdir: Path) -> bool:
    """Whether a `config.json` is empty, as power cuts leave files, and no epoch depends on it.

    Raises:
      UserError: it is damaged, and epochs do.
    """
    if not _holds_epochs(workdir):
        return config.is_file() and not config.read_bytes().strip(b"\0 \n")
    if not _is_json(config):
        raise UserError(
            f"{config} is damaged: delete it if what was trained there is of this very config, "
            "or choose another --workdir"
        )
    return False


def _holds_epochs(workdir: Path) -> bool:
    """Whether anything was trained there: not where the first epoch was lost."""
    return (workdir / RESULT).exists() or bool(checkpoint.kept(workdir / "checkpoints"))


def claim(workdir: Path, config: ConfigDict, statistics: Mapping | None) -> None:
    """Makes the workdir this config's, unless it is already, perhaps in older words."""
    try:
        if not ((workdir / "config.json").exists() and _holds_epochs(workdir)):
            write_json(workdir / "config.json", json.loads(config.to_json()))
    except OSError as error:
        raise UserError(f"cannot write into the workdir {workdir}: {error}") from error
    if statistics:
        write_json(workdir / STATISTICS, statistics)


def _differing(theirs: dict, ours: dict) -> list[str]:
    """The fields in which two configs differ, and those in which their stages do further."""
    found = differing_fields(_what(theirs), _what(ours))
    for name in sorted(theirs["stages"].keys() & ours["stages"].keys()):
        fields = differing_fields(_stage(theirs, name), _stage(ours, name))
        found += [f"stages.{name}.{field}" for field in fields if field not in found]
    return found


def _what(config: dict) -> dict:
    """What of a config changes a number; of its stages, the names."""
    return of_numbers(config) | {"stages": sorted(config["stages"])}


def _stage(config: dict, name: str) -> dict:
    stage = modern_config(json.loads(stage_config(ConfigDict(config), name).to_json()))
    return {field: value for field, value in _what(stage).items() if field != "name"}


def _read_json(file: Path) -> dict:
    try:
        held = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}): choose another --workdir") from error
    return held if isinstance(held, dict) else {}


def write_history(workdir: Path, progress: train.Progress) -> None:
    """Leaves a row of each epoch so far, from the first process alone."""
    if not devices.is_first():
        return
    with atomic(workdir / HISTORY) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in progress.history))
