"""One experiment: config -> data -> training -> one look at the test split -> artifacts."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from fdigits import checkpoint, evaluate, optim, provenance, report, tasks, train
from fdigits.config import check, choose, differing_fields, modern_result, stage_config
from fdigits.console import Watch, console
from fdigits.data import pipeline
from fdigits.errors import UserError
from fdigits.examples import (
    Examples,
    check_reads,
    check_size,
    fingerprint,
    prepared,
    resolved,
)
from fdigits.files import atomic, held, write_arrays, write_json
from fdigits.trained import STATISTICS, Trained, earlier, load, modern_config

RESULT = "result.json"
HISTORY = "metrics.jsonl"
SAMPLES = "samples"  # folder of what a task draws after each epoch
WHERE_ONLY = ("dir", "cache")  # data fields that change no number


AfterEpoch = Callable[[dict], None]  # is given the epoch's row of `metrics.jsonl`


def run(
    config: ConfigDict,
    workdir: Path,
    page: bool = True,
    after_epoch: AfterEpoch = lambda row: None,
) -> dict:
    """Trains, or goes on, or finds it finished; returns what `result.json` holds.

    Args:
      page: whether the report is drawn.
      after_epoch: called when an epoch of the last stage is kept; what it raises ends the run,
        which can go on from there.
    """
    _check(config)
    config = resolved(config)
    with held(workdir):
        return _run(config, workdir, page, after_epoch)


def _run(config: ConfigDict, workdir: Path, page: bool, after_epoch: AfterEpoch) -> dict:
    refuse_other(workdir, config)
    _check_sizes(config, workdir)
    for name in stage_order(config):
        console.print(f"stage {name}")
        run(stage_config(config, name), workdir / name, page)
    if result := _finished(workdir):
        console.print(f"{workdir} is finished; this is its result:")
        if made := evaluate.remake(workdir, Path(config.data.dir), Path(config.data.cache)):
            console.print(f"made again from the checkpoint: {', '.join(made)}")
    else:
        result = _train_and_test(config, workdir, after_epoch)
        write_json(workdir / RESULT, result)
    _show(result, workdir, page)
    return result


def _finished(workdir: Path) -> dict | None:
    """The result of a finished run; None, too, where a file that tells of it is cut and the kept
    epochs can tell again: the best weights are then still to be tested."""
    told = [workdir / name for name in (RESULT, STATISTICS, HISTORY) if (workdir / name).exists()]
    if workdir / RESULT not in told:
        return None
    damaged = [file for file in told if not _is_json(file)]
    if damaged and checkpoint.kept(workdir / "checkpoints"):
        console.print(f"{damaged[0]} is damaged: the best weights are tested again, as it was")
        return None
    return modern_result(_read_json(workdir / RESULT))


def _is_json(file: Path) -> bool:
    """Whether the whole, or each line of a `.jsonl`, can be read."""
    try:
        text = file.read_text()
        parts = text.splitlines() if file.suffix == ".jsonl" else [text]
        return bool([json.loads(part) for part in parts])
    except (OSError, ValueError):
        return False


def _check(config: ConfigDict) -> None:
    """Refuses what no run can have, here or in an earlier stage, before any is trained."""
    check(config)
    task = tasks.make(config)
    check_reads(config, task)
    optim.of_players(config, task.players, steps_per_epoch=1)
    choose(config.monitor, task.SCORES, "monitor")
    for name in config.stages:
        _check(stage_config(config, name))


def _check_sizes(config: ConfigDict, workdir: Path) -> None:
    """Refuses what is too small for a stage to train on, before the first one does."""
    for name in (*stage_order(config), "") if config.stages else ():
        if not (workdir / name / RESULT).exists():
            stage = resolved(stage_config(config, name) if name else config)
            check_size(stage, tasks.make(stage))


def stage_order(config: ConfigDict) -> list[str]:
    """The earlier stages, each after those that it needs, else by name.

    Raises:
      UserError: one needs a stage that is not there, or itself.
    """
    needs = {name: _needed(stage_config(config, name)) for name in config.stages}
    for other in set(_needed(config)).union(*needs.values()) if needs else ():
        choose(other, config.stages, "start or data: stage")
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise UserError(f"the stages {', '.join(error.args[1])} need each other") from None


def _needed(config: ConfigDict) -> list[str]:
    starts = (source.partition("/")[0] for source in config.start.values())
    return sorted({*starts, *config.data.encoded.values(), *config.data.generated})


def _train_and_test(config: ConfigDict, workdir: Path, after_epoch: AfterEpoch) -> dict:
    # Of the code that runs: the tree may move on meanwhile.
    commit, code = provenance.commit(), provenance.code()
    task = tasks.make(config)
    examples = prepared(config, task, workdir)
    _try_out(config, task, examples, workdir)
    _claim(workdir, config)
    if examples.statistics:
        write_json(workdir / STATISTICS, examples.statistics)
    feeder = pipeline.make_feeder(config.data.feeder, examples.arrays)
    steps_per_epoch = len(examples.splits["train"]) // config.batch_size
    state = train.create_state(task, config, examples.sample(), steps_per_epoch)
    params, batch_stats = task.started(state.params, state.batch_stats)
    params, batch_stats = _start(config, params, batch_stats, workdir)
    state = state.replace(params=params, batch_stats=batch_stats)
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    sizes = ", ".join(f"{len(split):,} {part}" for part, split in examples.splits.items())
    console.print(
        f"{config.name}: {parameters:,} parameters; {config.data.name}, {sizes}; "
        f"{provenance.hardware()}"
    )

    with checkpoint.Checkpoints(workdir / "checkpoints") as checkpoints:
        progress = train.Progress()
        if found := checkpoints.latest(state, console.print):
            state, progress = found
            console.print(f"going on after epoch {progress.epoch}")
        if commit not in progress.commits:
            progress.commits.append(commit)
        if code not in progress.codes:
            progress.codes.append(code)
        _write_history(workdir, progress)

        sample = jax.jit(task.samples)

        def save(state, progress):
            drawn = sample(state.params, state.batch_stats)
            if drawn is not None:
                file = workdir / SAMPLES / f"{progress.epoch:04}.npz"
                write_arrays(file, image=np.asarray(drawn))
            checkpoints.save(state, progress)
            _write_history(workdir, progress)

        def show(row):
            watch.show(row)
            after_epoch(row)

        if not progress.stopped(config):
            with Watch(config, steps_per_epoch, progress.epoch, workdir / "events") as watch:
                train.fit(
                    config,
                    task,
                    examples.splits,
                    feeder,
                    state,
                    progress,
                    save=save,
                    tick=watch.tick,
                    show=show,
                )
        console.print(
            f"{progress.epoch} of {config.epochs} epochs; the weights of epoch "
            f"{progress.best_epoch} are tested, "
            + ("the last" if config.protocol == "paper" else "the best on validation")
        )
    weights = checkpoint.weights(workdir / "checkpoints", progress.best_epoch)
    best = Trained(config, task, *weights, examples.statistics, workdir)
    figures, artifacts = evaluate.leave(workdir, best, examples)
    return {
        "name": config.name,
        "task": config.task,
        "system": config.paper.system,
        "dataset": config.data.name,
        "protocol": _protocol(config),
        "modalities": list(task.given),
        "seed": config.seed,
        "parameters": parameters,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.epoch * steps_per_epoch,
        "train_seconds": round(progress.seconds, 2),
        "steps_per_second": round(progress.timed_steps / max(progress.step_seconds, 1e-9), 2),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
        "commit": " ".join(progress.commits),  # several if it was resumed by other code
        # The training part's corpora may also hold what stages drew.
        "fingerprints": {
            "data": fingerprint(examples.splits["test"].corpora),
            "code": " ".join(progress.codes),
        },
        "metrics": figures,
        "paper": config.paper.to_dict(),
        "artifacts": artifacts,
    }


def _try_out(config: ConfigDict, task: tasks.Task, examples: Examples, workdir: Path) -> None:
    """Traces the losses, so that what no run can have shows before anything is written."""
    batch, key = examples.sample(), jax.random.key(0)
    variables = jax.eval_shape(task.init, key, batch)
    params, statistics = variables["params"], variables.get("batch_stats", {})
    for name, player in task.players.items():
        jax.eval_shape(player.loss, params, statistics, batch, key)
        for module in player.modules:
            choose(module, params, f"player {name}: module")
    for field in ("start", "frozen"):
        for module in config[field]:
            choose(module, params, f"{field}: module")
    _start(config, params, statistics, workdir)


def _start(
    config: ConfigDict, params: Mapping, batch_stats: Mapping, workdir: Path
) -> tuple[dict, dict]:
    """Parameters and statistics, the modules of `config.start` from the best weights of stages.

    Raises:
      UserError: a stage has no such module, or one of other shapes.
    """
    params, batch_stats = dict(params), dict(batch_stats)
    for module, source in config.start.items():
        stage, _, theirs = source.partition("/")
        before = load(earlier(workdir, stage))
        for ours, trained in ((params, before.params), (batch_stats, before.batch_stats)):
            if module not in ours:
                continue
            found = choose(theirs, trained, f"start.{module}: module")
            shapes = [jax.tree.map(lambda x: x.shape, tree) for tree in (found, ours[module])]
            if fields := differing_fields(*shapes):
                raise UserError(
                    f"start.{module}: {source} is not of this shape ({'; '.join(fields)}): give "
                    f"both the same fields of model, in stages.{stage}.model or here"
                )
            ours[module] = found
    return params, batch_stats


def _protocol(config: ConfigDict) -> str:
    split = config.data.split + (f":{config.data.speaker}" if config.data.speaker else "")
    return split + (", test part validates" if config.protocol == "paper" else "")


def refuse_other(workdir: Path, config: ConfigDict) -> None:
    """Refuses a folder in which something else was trained.

    Raises:
      UserError: its config is another, or none; names the fields.
    """
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


def _claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the workdir this config's, unless it is already, perhaps in older words."""
    if (workdir / "config.json").exists() and _holds_epochs(workdir):
        return
    try:
        write_json(workdir / "config.json", json.loads(config.to_json()))
    except OSError as error:
        raise UserError(f"cannot write into the workdir {workdir}: {error}") from error


def _read_json(file: Path) -> dict:
    try:
        held = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}): choose another --workdir") from error
    return held if isinstance(held, dict) else {}


def _differing(theirs: dict, ours: dict) -> list[str]:
    """The fields in which two configs differ, and those in which their stages do further."""
    found = differing_fields(_what(theirs), _what(ours))
    for name in sorted(theirs["stages"].keys() & ours["stages"].keys()):
        fields = differing_fields(_stage(theirs, name), _stage(ours, name))
        found += [f"stages.{name}.{field}" for field in fields if field not in found]
    return found


def _what(config: dict) -> dict:
    """What of a config changes a number; of its stages, the names."""
    data = {k: v for k, v in config["data"].items() if k not in WHERE_ONLY}
    return config | {"data": data, "stages": sorted(config["stages"])}


def _stage(config: dict, name: str) -> dict:
    stage = modern_config(json.loads(stage_config(ConfigDict(config), name).to_json()))
    return {field: value for field, value in _what(stage).items() if field != "name"}


def _write_history(workdir: Path, progress: train.Progress) -> None:
    with atomic(workdir / HISTORY) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in progress.history))


def _show(result: dict, workdir: Path, page: bool) -> None:
    """Result table, and the report where it is wanted and its libraries are installed."""
    console.print(report.table([result]))
    if not page:
        return
    if told := undrawable():
        console.print(told)
    else:
        console.print(f"report with figures: {report.write([workdir], workdir)}")


def undrawable() -> str:
    """Why no report can be drawn here, "" if it can."""
    libraries = ("matplotlib", "sklearn", "scipy", "PIL")
    missing = [name for name in libraries if not importlib.util.find_spec(name)]
    return f"no report with figures: {', '.join(missing)} not installed" if missing else ""
