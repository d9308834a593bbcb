"""One experiment: config -> data -> training -> one look at the test split -> artifacts."""

import contextlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from fdigits import checkpoint, devices, evaluate, optim, provenance, report, tasks, together, train
from fdigits.config import check, choose, differing_fields, stage_config
from fdigits.console import Watch, console
from fdigits.devices import agree
from fdigits.errors import Diverged, UserError
from fdigits.examples import (
    Examples,
    check_reads,
    check_size,
    fingerprint,
    prepared,
    resolved,
)
from fdigits.files import held, write_arrays, write_json
from fdigits.trained import Trained, earlier, load
from fdigits.workdir import RESULT, SAMPLES, claim, finished, refuse_other, write_history

AfterEpoch = Callable[[dict], None]  # is given the epoch's row of `metrics.jsonl`


def run(
    config: ConfigDict,
    workdir: Path,
    page: bool = True,
    after_epoch: AfterEpoch = lambda row: None,
) -> dict:
    """Trains, or goes on, or finds it finished; returns what `result.json` holds.

    Every process of several does the same; the first alone prints and writes.

    Args:
      page: whether the report is drawn.
      after_epoch: called when an epoch of the last stage is kept; what it raises ends the run,
        which can go on from there.
    """
    return _run_all([(config, workdir)], page, after_epoch)[0]


def run_seeds(
    config: ConfigDict, workdir: Path, seeds: Sequence[int], page: bool = True
) -> list[dict]:
    """`run` with each seed, in `seed_<S>/` of the workdir.

    On an accelerator all are trained at once, where the task and the sizes of their parts allow it.
    """
    runs = []
    for seed in seeds:
        own = config.copy_and_resolve_references()
        own.seed = seed
        runs.append((own, workdir / f"seed_{seed}"))
    for one, _ in runs:
        agree(_check, one)
    if at_once():
        return _run_all(runs, page)
    results, failed = [], []
    for one in runs:
        try:
            results.append(run(*one, page))
        except Diverged as error:
            failed.append(f"{one[1]}: {error}")
    if failed:
        agree(_fail, "; ".join(failed))
    return results


def _fail(told: str) -> None:
    raise UserError(told)


def at_once() -> bool:
    """Whether several small models are trained quicker at once here, and can be."""
    return jax.default_backend() != "cpu" and jax.process_count() == 1


def _run_all(
    runs: Sequence[tuple[ConfigDict, Path]],
    page: bool,
    after_epoch: AfterEpoch = lambda row: None,
) -> list[dict]:
    """`run` of configs that differ in the seed alone."""
    for config, _ in runs:
        agree(_check, config)
    runs = [(resolved(config), workdir) for config, workdir in runs]
    with contextlib.ExitStack() as stack:
        for _, workdir in runs:
            agree(_hold, workdir, stack, first_only=True)
        return _run_held(runs, page, after_epoch)


def _run_held(
    runs: Sequence[tuple[ConfigDict, Path]], page: bool, after_epoch: AfterEpoch
) -> list[dict]:
    for config, workdir in runs:
        agree(refuse_other, workdir, config)
        agree(_check_sizes, config, workdir)
    for name in stage_order(runs[0][0]):
        console.print(f"stage {name}")
        _run_all([(stage_config(config, name), workdir / name) for config, workdir in runs], page)
    results = {workdir: finished(workdir) for _, workdir in runs}
    for config, workdir in runs:
        if results[workdir]:
            console.print(f"{workdir} is finished; this is its result:")
            if made := evaluate.remake(workdir, Path(config.data.dir), Path(config.data.cache)):
                console.print(f"made again from the checkpoint: {', '.join(made)}")
            agree(_show, results[workdir], workdir, page, first_only=True)
    if unfinished := [one for one in runs if not results[one[1]]]:
        results |= _train_and_test(unfinished, page, after_epoch)
    return [results[workdir] for _, workdir in runs]


def _hold(workdir: Path, stack: contextlib.ExitStack) -> None:
    stack.enter_context(held(workdir))


def _check(config: ConfigDict) -> None:
    """Refuses what no run can have, here or in an earlier stage, before any is trained."""
    check(config)
    task = tasks.make(config)
    check_reads(config, task)
    optim.of_players(config, task.players, steps_per_epoch=1)
    choose(config.monitor, task.SCORES, "monitor")
    for name in config.stages:
        _check(stage_config(config, name))
    _check_starts(config)


def _check_starts(config: ConfigDict) -> None:
    """Refuses modules of a stage that would see pictures normalised otherwise than it does."""
    for name in ("", *config.stages):
        own = stage_config(config, name) if name else config
        for module, source in own.start.items():
            stage, shown = source.partition("/")[0], tasks.make(own).pixels(module)
            if stage not in config.stages or shown is None:
                continue
            before = stage_config(config, stage)
            theirs, ours = tuple(before.data.pixels), tuple(shown)
            if "image" in tasks.make(before).reads and theirs != ours:
                raise UserError(
                    f"stages.{stage}.data.pixels is {theirs}, but {module}, which starts from this "
                    f"stage, is shown pictures normalised by {ours}: give both the same"
                )


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


class _Started(NamedTuple):
    """A run whose training may begin."""

    training: train.Training
    examples: Examples
    workdir: Path


def _train_and_test(
    runs: Sequence[tuple[ConfigDict, Path]], page: bool, after_epoch: AfterEpoch
) -> dict[Path, dict]:
    """What `result.json` holds of each, by its workdir."""
    results = {}
    with contextlib.ExitStack() as stack:
        started = [_start(*one, stack) for one in runs]
        _fit(started, after_epoch)
    for one in started:
        if not one.training.error:
            result = results[one.workdir] = _tested(one)
            agree(write_json, one.workdir / RESULT, result, first_only=True)
            agree(_show, result, one.workdir, page, first_only=True)
    if failed := [one for one in started if one.training.error]:
        raise UserError("; ".join(f"{one.workdir}: {one.training.error}" for one in failed))
    return results


def _start(config: ConfigDict, workdir: Path, stack: contextlib.ExitStack) -> _Started:
    """Data, first state or the latest checkpoint's, and what is to be done after each epoch."""
    # Of the code that runs: the tree may move on meanwhile.
    commit, code = provenance.commit(), provenance.code()
    task = tasks.make(config)
    mesh = agree(devices.over, config.batch_size)
    examples = agree(prepared, config, task, workdir)
    agree(_try_out, config, task, examples, workdir)
    agree(claim, workdir, config, examples.statistics, first_only=True)
    state = _first_state(config, task, examples, workdir)
    training = train.Training(
        config, task, examples.splits, examples.arrays, state, train.Progress()
    )
    sizes = ", ".join(f"{len(split):,} {part}" for part, split in examples.splits.items())
    console.print(
        f"{config.name}: {_parameters(state):,} parameters; {config.data.name}, {sizes}; "
        f"{provenance.hardware()}"
    )
    checkpoints = stack.enter_context(checkpoint.Checkpoints(workdir / "checkpoints"))
    # A checkpoint's arrays are read to where the template's lie.
    if found := checkpoints.latest(devices.replicate(state, mesh), console.print):
        training.state, training.progress = found
        console.print(f"going on after epoch {training.progress.epoch}")
    progress = training.progress
    if commit not in progress.commits:
        progress.commits.append(commit)
    if code not in progress.codes:
        progress.codes.append(code)
    write_history(workdir, progress)
    sample = jax.jit(task.samples)

    def save(state, progress):
        drawn = devices.fetch(sample(state.params, state.batch_stats))
        if drawn is not None and devices.is_first():
            write_arrays(workdir / SAMPLES / f"{progress.epoch:04}.npz", image=drawn)
        checkpoints.save(state, progress)
        write_history(workdir, progress)

    training.save = save
    return _Started(training, examples, workdir)


def _first_state(
    config: ConfigDict, task: tasks.Task, examples: Examples, workdir: Path
) -> train.TrainState:
    steps_per_epoch = len(examples.splits["train"]) // config.batch_size
    state = train.create_state(task, config, examples.sample(), steps_per_epoch)
    params, batch_stats = task.started(state.params, state.batch_stats)
    params, batch_stats = _from_stages(config, params, batch_stats, workdir)
    return state.replace(params=params, batch_stats=batch_stats)


def _parameters(state: train.TrainState) -> int:
    return sum(x.size for x in jax.tree.leaves(state.params))


def _fit(started: Sequence[_Started], after_epoch: AfterEpoch) -> None:
    """Trains what has not ended: at once, or one after another over all devices."""
    trainings = [one.training for one in started]
    if len(started) > 1:
        if trainings[0].task.SEEDED or not together.alike(trainings):
            console.print("these cannot be trained at once: one after another")
        else:
            _fit_together(started, after_epoch)
    for one in started:
        try:
            _fit_alone(one, after_epoch)
        except Diverged as error:
            if len(started) == 1:
                raise
            one.training.error = error
        progress, config = one.training.progress, one.training.config
        console.print(
            f"{one.training.error}"
            if one.training.error
            else f"{progress.epoch} of {config.epochs} epochs; the weights of epoch "
            f"{progress.best_epoch} are tested, "
            + ("the last" if config.protocol == "paper" else "the best on validation")
        )


def _fit_together(started: Sequence[_Started], after_epoch: AfterEpoch) -> None:
    trainings = [one.training for one in started]
    mesh = devices.over(len(trainings))
    console.print(f"{len(trainings)} seeds at once{_sharing(mesh, 'them')}")
    with contextlib.ExitStack() as watches:
        for number, one in enumerate(started):
            name = f"seed {one.training.config.seed}  "
            _watch(one, watches, after_epoch, name=name, bar=not number)
        together.fit(trainings, mesh)


def _fit_alone(one: _Started, after_epoch: AfterEpoch) -> None:
    if one.training.ended:
        return
    size = one.training.config.batch_size
    mesh = devices.over(size)
    if told := _sharing(mesh, f"each batch of {size}"):
        console.print(told.removeprefix("; "))
    with contextlib.ExitStack() as watches:
        _watch(one, watches, after_epoch)
        agree(train.fit, one.training, mesh)


def _sharing(mesh: Mesh, what: str) -> str:
    """How many devices share something, where there is a choice."""
    there = len(jax.devices())
    used = f"{mesh.size} of them share" if mesh.size < there else "all share"
    return f"; {there} devices, {used} {what}" if there > 1 else ""


def _watch(one: _Started, stack: contextlib.ExitStack, after_epoch: AfterEpoch, **how) -> None:
    training = one.training
    if devices.is_first() and not training.ended:
        steps, done = training.steps_per_epoch, training.progress.epoch
        watch = Watch(training.config, steps, done, one.workdir / "events", **how)
        stack.enter_context(watch)
        training.tick = watch.tick
        training.show = lambda row: (watch.show(row), after_epoch(row))


def _tested(one: _Started) -> dict:
    """What `result.json` holds, once the chosen weights are tested."""
    training, examples, workdir = one
    config, task, progress = training.config, training.task, training.progress
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
        "parameters": _parameters(training.state),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.epoch * training.steps_per_epoch,
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
    _from_stages(config, params, statistics, workdir)


def _from_stages(
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
