"""A search: which fields make a config validate best. Optuna proposes, ordinary runs answer.

All trials stand in the storage from the start, waiting, each with its point of the grid or with a
number; any process on any machine takes the next one. So a trial is done once however many
processes share it, which Optuna's own GridSampler does not promise. A trial whose process died is
gone on with where its run stands. The score is of the validation part, never of the test part.
"""

import contextlib
import functools
import gc
import itertools
import json
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path

import jax
from ml_collections import ConfigDict

from fdigits import tasks
from fdigits.config import check, choose, differing_fields, modern, of_numbers
from fdigits.console import console
from fdigits.errors import UserError, full
from fdigits.examples import resolved
from fdigits.files import locked, write_json
from fdigits.report import searched
from fdigits.run import run
from fdigits.workdir import RESULT

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError:
    raise UserError(
        "a search needs Optuna: pip install -c constraints.txt -e '.[search]'"
    ) from None

Report = Callable[[int, float], None]  # an epoch and its validation score
Objective = Callable[[ConfigDict, Path, Report], float]
Space = dict[str, tuple | ConfigDict]  # "optimizer.learning_rate" -> values, or a range

# What makes the figure by which trials are compared another one, or of other items.
INCOMPARABLE = {
    *("protocol", "monitor", "task"),
    *(f"data.{field}" for field in ("name", "split", "ratio", "speaker", "limit")),
}
SAMPLERS = {
    "grid": lambda seed: optuna.samplers.RandomSampler(seed),  # all it would draw is fixed
    "random": lambda seed: optuna.samplers.RandomSampler(seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
}
PRUNERS = {
    "none": lambda epochs: optuna.pruners.NopPruner(),
    "median": lambda epochs: optuna.pruners.MedianPruner(),
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(max_resource=epochs),
}
POINT = "point"  # attribute of a trial: which one it is, of all that the search needs
DONE = ("complete", "pruned", "running")  # states of a trial that can be gone through
REASON = "reason"  # attribute of a failed trial
JOURNAL = "trials.log"


def trained(config: ConfigDict, folder: Path, report: Report) -> float:
    """The validation score of an ordinary run's chosen weights."""
    name = config.monitor

    def after_epoch(row: dict) -> None:
        report(row["epoch"], row["validation"][name])

    try:
        result = run(config, folder, page=False, after_epoch=after_epoch)
    finally:
        jax.clear_caches()  # of functions that no other trial calls
        gc.collect()
    return result["metrics"]["validation"][name]


def search(config: ConfigDict, workdir: Path, objective: Objective = trained) -> dict:
    """Does what is left of a search; returns what `search.json` holds.

    Args:
      config: see `fdigits.config.search`.
      workdir: of all processes that share a storage file; trial 7's run is in `trials/0007`.

    Raises:
      UserError: the config is none of a search, the storage is another search's, or every trial
        failed.
    """
    resolved(config.base)  # refuses a data set that is none
    space = spanned(config.base, config.space)
    points = planned(config, space)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = stored(config.storage, workdir)
    study = opened(config, space, storage)
    enqueue(study, points)
    for trial in untaken(study, points, storage, workdir):
        study.sampler = SAMPLERS[config.sampler](config.seed + trial.number)
        found = proposed(config.base, space, trial)
        console.print(f"trial {trial.number} of {len(points)}: {searched.told(trial.params)}")
        attempt(study, trial, found, _folder(workdir, trial), objective)
    with locked(workdir / "locks" / "report"):
        summary = summed_up(config, study, workdir)
        write_json(workdir / "search.json", summary)
        searched.write(summary, workdir)
    console.print(searched.table(summary))
    if not any(row["state"] in DONE for row in summary["trials"]):
        reasons = "; ".join(dict.fromkeys(filter(None, (row[REASON] for row in summary["trials"]))))
        raise UserError(f"no trial of {workdir} is done: {reasons}")
    return summary


def spanned(base: ConfigDict, space: Mapping, where: str = "") -> Space:
    """The fields that vary, by dotted names.

    Raises:
      UserError: a field that the config does not have (names the nearest), or no values for it.
    """
    found: Space = {}
    for name, span in space.items():
        value, field = (
            choose(name, base, f"space: field of {where.rstrip('.') or 'base'}"),
            where + name,
        )
        if isinstance(value, ConfigDict) and isinstance(span, ConfigDict):
            found |= spanned(value, span, f"{field}.")
        elif isinstance(span, tuple | list) and len(span):
            found[field] = tuple(span)
        elif isinstance(span, ConfigDict) and _is_range(span, value):
            found[field] = span
        else:
            raise UserError(
                f"space.{field} is {span!r}: it must be a tuple of values or, for a number, "
                "dict(low=, high=, log=)"
            )
    return found


def _is_range(span: ConfigDict, value: object) -> bool:
    keys = set(span.keys())
    if type(value) not in (int, float) or not {"low", "high"} <= keys <= {"low", "high", "log"}:
        return False
    return type(value)(span.low) < span.high and (span.low > 0 or not span.get("log"))


def planned(config: ConfigDict, space: Space) -> dict[str, dict]:
    """All trials: their name -> the values that are fixed beforehand, all of them or none.

    Raises:
      UserError: a value that no run can have, a range in a grid, no number of trials.
    """
    choose(config.sampler, SAMPLERS, "sampler")
    choose(config.pruner, PRUNERS, "pruner")
    if config.base.protocol == "paper":
        raise UserError(
            "base.protocol is paper: there the test part validates, and a search must not see it; "
            "set --config.base.protocol=held_out"
        )
    for field in space:
        if field in INCOMPARABLE or (field == "loss" and config.base.monitor == "loss"):
            raise UserError(f"space.{field}: trials with another {field} cannot be compared")
    for field, span in space.items():
        for value in _ends(span):
            check(changed(config.base, {field: value}))
    if config.sampler == "grid":
        return _grid(config, space)
    if config.trials < 1:
        raise UserError(f"trials is {config.trials}: the sampler {config.sampler} needs at least 1")
    return {f"#{number}": {} for number in range(config.trials)}


def _ends(span: tuple | ConfigDict) -> tuple:
    return span if isinstance(span, tuple) else (span.low, span.high)


def _grid(config: ConfigDict, space: Space) -> dict[str, dict]:
    if ranges := [field for field, span in space.items() if not isinstance(span, tuple)]:
        raise UserError(f"space.{ranges[0]} is a range: a grid needs a tuple of values")
    combinations = itertools.product(*(map(plain, span) for span in space.values()))
    points = [dict(zip(space, values, strict=True)) for values in combinations]
    found = {json.dumps(point): point for point in points}
    if config.trials not in (0, len(found)):
        raise UserError(f"trials is {config.trials}: this grid has {len(found)}, leave it at 0")
    return found


def plain(value: object) -> str | int | float | bool:
    """A value as Optuna stores it: tuples as text."""
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def changed(base: ConfigDict, values: Mapping[str, object]) -> ConfigDict:
    """The config with other values of some fields, "optimizer.learning_rate", say.

    Raises:
      UserError: a value is of another type than the field.
    """
    found = base.copy_and_resolve_references()
    for field, value in values.items():
        try:
            found.update_from_flattened_dict({field: value})
        except TypeError:
            raise UserError(f"space.{field} holds {value!r}: it must be as {field} is") from None
    return found


def proposed(base: ConfigDict, space: Space, trial: Trial) -> ConfigDict:
    """The config of a trial: its sampler's values, or those fixed beforehand."""
    return changed(
        base, {field: _suggested(trial, field, base, span) for field, span in space.items()}
    )


def _suggested(trial: Trial, field: str, base: ConfigDict, span: tuple | ConfigDict) -> object:
    if isinstance(span, tuple):
        choices = [plain(value) for value in span]
        return span[choices.index(trial.suggest_categorical(field, choices))]
    whole = isinstance(functools.reduce(ConfigDict.__getitem__, field.split("."), base), int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(field, span.low, span.high, log=bool(span.get("log")))


def direction(config: ConfigDict) -> str:
    """Whether the base's monitor is better high or low."""
    sign = choose(config.base.monitor, tasks.make(config.base).SCORES, "base.monitor")
    return "maximize" if sign > 0 else "minimize"


def stored(url: str, workdir: Path) -> optuna.storages.BaseStorage:
    """The storage that all processes share: a database, or a file of the workdir.

    Raises:
      UserError: it cannot be opened.
    """
    try:
        return optuna.storages.get_storage(url) if url else _journal(workdir / JOURNAL)
    except Exception as error:  # each database has its own
        told = (str(error) or type(error).__name__).splitlines()[0]
        where = url or workdir / JOURNAL
        raise UserError(f"the storage {where} cannot be opened ({told})") from error


def _journal(file: Path) -> optuna.storages.JournalStorage:
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileSymlinkLock(str(file))
    backend = JournalFileBackend(str(file), lock)
    lock.acquire()
    try:  # cuts what a full disk left of a last line: Optuna would read none after it
        with file.open("rb+") as journal:
            held = journal.read()
            journal.truncate(held.rfind(b"\n") + 1)
    finally:
        lock.release()
    return optuna.storages.JournalStorage(backend)


def opened(config: ConfigDict, space: Space, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """The search's study, made by whichever process comes first.

    Raises:
      UserError: the storage holds another search of this name.
    """
    epochs = max(*_ends(space.get("epochs", (0,))), config.base.epochs)
    study = optuna.create_study(
        storage=storage,
        study_name=config.name,
        direction=direction(config),
        pruner=PRUNERS[config.pruner](epochs),
        load_if_exists=True,
    )
    _refuse_other(study, config)
    return study


def _refuse_other(study: optuna.Study, config: ConfigDict) -> None:
    """Keeps what the search is beside its trials, and refuses another one's."""
    ours = json.loads(config.to_json())
    for name in ("storage", "trials", "pruner"):  # may change between two starts
        del ours[name]
    ours["base"] = of_numbers(ours["base"])
    if (theirs := study.user_attrs.get("search")) is None:
        study.set_user_attr("search", ours)
    elif fields := differing_fields(theirs | {"base": of_numbers(modern(theirs["base"]))}, ours):
        raise UserError(
            f"the storage holds a search {config.name} of another config ({'; '.join(fields)}): "
            "choose another --workdir, or another --config.name in a database"
        )


def enqueue(study: optuna.Study, points: Mapping[str, dict]) -> None:
    """Adds the trials that are not there, or that failed: a new start tries those once more."""
    there = {trial.user_attrs[POINT] for trial in current(study) if trial.state != TrialState.FAIL}
    for point, fixed in points.items():
        if point not in there:
            study.enqueue_trial(fixed, user_attrs={POINT: point})


def current(study: optuna.Study) -> list[FrozenTrial]:
    """The trial that counts of each point, by number: the first that did not fail, else the last.

    Two processes that start together may both add a point; of those the second is never taken.
    """
    found: dict[str, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        before = found.get(trial.user_attrs[POINT])
        if before is None or before.state == TrialState.FAIL:
            found[trial.user_attrs[POINT]] = trial
    return sorted(found.values(), key=lambda trial: trial.number)


def untaken(
    study: optuna.Study,
    points: Container[str],
    storage: optuna.storages.BaseStorage,
    workdir: Path,
) -> Iterator[Trial]:
    """The trials that wait, or whose process died, one after another; each is held meanwhile.

    Of `points` alone: an earlier start may have asked for more.
    """

    def is_waiting(trial: FrozenTrial) -> bool:
        return not trial.state.is_finished() and trial.user_attrs[POINT] in points

    while waiting := [trial for trial in current(study) if is_waiting(trial)]:
        for trial in waiting:
            with locked(workdir / "locks" / f"{trial.number:04}", seconds=0) as ours:
                if ours and _is_taken(study, storage, trial.number, _folder(workdir, trial)):
                    yield Trial(study, _id(study, storage, trial.number))
                    break
        else:
            return  # others are at work on all of them


def _folder(workdir: Path, trial: Trial | FrozenTrial) -> Path:
    return workdir / "trials" / f"{trial.number:04}"


def _id(study: optuna.Study, storage: optuna.storages.BaseStorage, number: int) -> int:
    of_study = storage.get_study_id_from_name(study.study_name)
    return storage.get_trial_id_from_study_id_trial_number(of_study, number)


def _is_taken(
    study: optuna.Study, storage: optuna.storages.BaseStorage, number: int, folder: Path
) -> bool:
    """Whether a trial, whose lock is ours, now runs for us; False if another process has done it,
    or another machine, whose locks are not seen here, is at it."""
    trial = storage.get_trial(_id(study, storage, number))
    if trial.state == TrialState.RUNNING:  # its process died, if it ran in a folder seen here
        return folder.exists()
    if trial.state.is_finished():
        return False
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        if storage.set_trial_state_values(_id(study, storage, number), TrialState.RUNNING):
            return True
    if new:
        folder.rmdir()
    return False


def attempt(
    study: optuna.Study, trial: Trial, config: ConfigDict, folder: Path, objective: Objective
) -> None:
    """Does a trial and tells the study how it ended. What interrupts it leaves it to be done."""

    def report(epoch: int, score: float) -> None:
        if epoch not in study.trials[trial.number].intermediate_values:
            trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        study.tell(trial, objective(config, folder, report))
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        console.print(f"trial {trial.number} lags behind the others: ended")
    except Exception as error:
        if full(error):
            raise
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        trial.set_user_attr(REASON, " ".join(reason.split()))
        study.tell(trial, state=TrialState.FAIL)
        console.print(f"trial {trial.number} failed: {reason}")


def summed_up(config: ConfigDict, study: optuna.Study, workdir: Path) -> dict:
    """What `search.json` holds: the search, a row for each trial, what each field matters."""
    trials = current(study)
    return {
        "name": config.name,
        "monitor": config.base.monitor,
        "direction": direction(config),
        "sampler": config.sampler,
        "pruner": config.pruner,
        "trials": [_row(trial, _folder(workdir, trial)) for trial in trials],
        "importances": _importances(study, trials),
    }


def _row(trial: FrozenTrial, folder: Path) -> dict:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "fields": trial.params or trial.system_attrs.get("fixed_params", {}),
        "score": trial.value if trial.state.is_finished() else None,
        "epochs": max(trial.intermediate_values, default=0),
        "seconds": _seconds(trial, folder),
        "run": f"trials/{trial.number:04}",
        REASON: trial.user_attrs.get(REASON, ""),
    }


def _seconds(trial: FrozenTrial, folder: Path) -> float | None:
    """Of training; from start to end, with whatever came between, where the run is not at hand."""
    try:
        return json.loads((folder / RESULT).read_text())["train_seconds"]
    except (OSError, ValueError, KeyError):
        return trial.duration.total_seconds() if trial.duration else None


def _importances(study: optuna.Study, trials: list[FrozenTrial]) -> dict[str, float]:
    """Each field's share of the scores' variance (fANOVA, Hutter et al. 2014); {} of few trials."""
    scores = {trial.value for trial in trials if trial.state == TrialState.COMPLETE}
    if len(scores) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
