"""One experiment: config -> data -> training -> one look at the test split -> artifacts."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from fdigits import (
    augment,
    checkpoint,
    explain,
    metrics,
    optim,
    predict,
    provenance,
    report,
    train,
)
from fdigits.config import check, choose, differing_fields, stage_config
from fdigits.console import Watch, console
from fdigits.data import features, pairing, pipeline, prepare
from fdigits.data.pairing import Split
from fdigits.errors import UserError
from fdigits.files import atomic, write_arrays, write_json
from fdigits.models import classifiers
from fdigits.stages import classify

WHERE_ONLY = ("dir", "cache")  # data fields that change no number


def run(config: ConfigDict, workdir: Path) -> dict:
    """Trains, or goes on, or finds it finished; returns what `result.json` holds."""
    check(config)
    _refuse_other(workdir, config)
    for name in config.stages:
        console.print(f"stage {name}")
        run(stage_config(config, name), workdir / name)
    result_file = workdir / "result.json"
    if result_file.exists():
        console.print(f"{workdir} is finished; this is its result:")
        result = _read_json(result_file)
    else:
        result = _train_and_test(config, workdir)
        write_json(result_file, result)
    _show(result, workdir)
    return result


def load_splits(config: ConfigDict) -> dict[str, Split]:
    """The three parts, as the config's protocol and augmentation ask."""
    data, chosen = config.data, config.augment
    modalities = classifiers.modalities(config.model)
    corpora = prepare.load(
        data.name,
        Path(data.dir),
        Path(data.cache).expanduser(),
        spectrogram="spectrogram" in modalities,
    )
    for modality in modalities:
        if modality not in corpora:
            raise UserError(
                f"data.name={data.name} has no {modality}, which model {config.model.name} reads"
            )
    if chosen.strength and "image" not in modalities:
        raise UserError(
            f"augment.strength is {chosen.strength}, but model.name={config.model.name} reads no "
            "pictures"
        )
    splits = pairing.splits(
        corpora,
        paired=prepare.is_paired(data.name),
        policy=data.split,
        seed=config.seed,
        speaker=data.speaker,
        limit=data.limit,
        ratio=tuple(data.ratio),
    )
    if config.protocol == "report":
        splits = pairing.validate_on_test(splits)
    if data.per_class:
        splits["train"] = pairing.per_class(splits["train"], data.per_class)
    if chosen.strength and chosen.generated:
        splits["train"] = _with_generated(splits["train"], config)
    if len(splits["train"]) < config.batch_size:
        raise UserError(
            f"{len(splits['train'])} training examples are fewer than one batch of "
            f"{config.batch_size}: raise data.limit or lower batch_size"
        )
    return splits


def _with_generated(train_split: Split, config: ConfigDict) -> Split:
    """The training part and `augment.generated` augmented pictures of each class."""
    rows = train_split.examples()
    chosen, corpus = config.augment, train_split.corpora["image"]
    image, label, source = augment.generate(
        corpus.x[rows["image"]],
        rows["label"],
        chosen.generated,
        chosen.name,
        chosen.strength,
        config.seed,
    )
    ids = corpus.id[rows["image"]][source]
    ids = np.array([f"{name}+{number}" for number, name in enumerate(ids)])
    return pairing.extend(train_split, image, label, ids)


def model_arrays(config: ConfigDict, splits: dict[str, Split], workdir: Path) -> dict:
    """The arrays a model reads, MFCC standardised by the training part, spectrograms in colour.

    The training part's corpora hold all that the others' do. Its statistics are saved with the run.
    """
    corpora = splits["train"].corpora
    arrays = {m: corpora[m].x for m in classifiers.modalities(config.model)}
    if "audio" in arrays:
        stats = pipeline.statistics(splits["train"])
        write_json(workdir / "statistics.json", stats)
        arrays["audio"] = pipeline.standardise(arrays["audio"], stats)
    if "spectrogram" in arrays:
        arrays["spectrogram"] = features.colour(arrays["spectrogram"])
    return arrays


def _train_and_test(config: ConfigDict, workdir: Path) -> dict:
    commit = provenance.commit()  # of the code that runs: the tree may move on meanwhile
    splits = load_splits(config)
    _try_out(config)
    _claim(workdir, config)
    arrays = model_arrays(config, splits, workdir)
    feeder = pipeline.make_feeder(config.data.feeder, arrays)
    stage = classify.make(config)
    steps_per_epoch = len(splits["train"]) // config.batch_size
    rows = pipeline.evaluation_rows(splits["train"], 1)
    sample = next(iter(feeder(rows, 1, 1)))
    sample = {k: v[0] for k, v in train.gather(sample, feeder.resident).items()}
    state = train.create_state(stage, config, sample, steps_per_epoch)
    state = _start(config, state, workdir)
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    sizes = ", ".join(f"{len(split):,} {part}" for part, split in splits.items())
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
        _write_history(workdir, progress)

        def save(state, progress):
            checkpoints.save(state, progress)
            _write_history(workdir, progress)

        if not progress.stopped(config):
            with Watch(config, steps_per_epoch, progress.epoch, workdir / "events") as watch:
                state = train.fit(
                    config,
                    stage,
                    lambda outputs, label: _scalars(config, outputs, label),
                    splits,
                    feeder,
                    state,
                    progress,
                    save=save,
                    tick=watch.tick,
                    report=watch.report,
                )
        console.print(
            f"{progress.epoch} of {config.epochs} epochs; the weights of epoch "
            f"{progress.best_epoch} are tested, "
            + ("the last" if config.protocol == "report" else "the best on validation")
        )
        best, _ = checkpoints.restore(progress.best_epoch, state)

    evaluate_chunk = train.make_evaluate_chunk(stage)
    validation = train.evaluate(evaluate_chunk, best, splits["validation"], feeder)
    test = splits["test"]
    outputs = train.evaluate(evaluate_chunk, best, test, feeder)
    label = test.examples()["label"]
    logits = outputs.pop("logits")
    learned = {"weights": outputs.pop("weights")} if "weights" in outputs else {}
    write_arrays(workdir / "predictions.npz", id=test.ids(), label=label, logits=logits, **learned)
    write_arrays(
        workdir / "embeddings.npz", **{k: v.astype(np.float16) for k, v in outputs.items()}
    )
    write_arrays(workdir / "inputs.npz", **_inputs(test))
    rows = test.examples()
    explain.write(workdir, stage, best, {m: x[rows[m]] for m, x in arrays.items()}, label)
    return {
        "name": config.name,
        "system": config.reported.system,
        "dataset": config.data.name,
        "protocol": _protocol(config),
        "modalities": list(classifiers.modalities(config.model)),
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
        "metrics": {
            "validation": _summary(
                config, validation["logits"], splits["validation"].examples()["label"]
            ),
            "test": _summary(config, logits, label),
        },
        "reported": config.reported.to_dict(),
    }


def _try_out(config: ConfigDict) -> None:
    """Traces the loss, so that what no run can have shows before anything is written."""
    stage, batch = classify.make(config), classify.blank_batch()
    variables = jax.eval_shape(stage.init, jax.random.key(0), batch)
    statistics = variables.get("batch_stats", {})
    jax.eval_shape(stage.loss, variables["params"], statistics, batch, jax.random.key(0))
    optim.make(config.optimizer, steps_per_epoch=1)
    for module in config.start:
        choose(module, variables["params"], "start: module")


def _start(config: ConfigDict, state: train.TrainState, workdir: Path) -> train.TrainState:
    """The state with the modules of `config.start` from the best weights of earlier stages."""
    params, batch_stats = dict(state.params), dict(state.batch_stats)
    for module, source in config.start.items():
        stage, _, theirs = source.partition("/")
        earlier = predict.load(workdir / stage).state
        for ours, trained in ((params, earlier.params), (batch_stats, earlier.batch_stats)):
            if module in ours:
                ours[module] = choose(theirs, trained, f"start.{module}: module")
    return state.replace(params=params, batch_stats=batch_stats)


def _summary(config: ConfigDict, logits: np.ndarray, label: np.ndarray) -> dict:
    """The config's loss, without the model's penalties, and `metrics.summary`."""
    loss = choose(config.loss, classify.LOSSES, "loss")(logits, label)
    return {"loss": float(loss)} | metrics.summary(logits, label)


def _scalars(config: ConfigDict, outputs: dict, label: np.ndarray) -> dict[str, float]:
    summary = _summary(config, outputs["logits"], label)
    return {name: summary[name] for name in ("loss", "accuracy", "macro_f1")}


def _protocol(config: ConfigDict) -> str:
    split = config.data.split + (f":{config.data.speaker}" if config.data.speaker else "")
    return split + (", test part validates" if config.protocol == "report" else "")


def _refuse_other(workdir: Path, config: ConfigDict) -> None:
    file = workdir / "config.json"
    if not file.exists():
        return
    theirs, ours = _read_json(file), json.loads(config.to_json())
    if not isinstance(theirs.get("data"), dict):
        raise UserError(f"{file} is no config of a run: choose another --workdir")
    fields = differing_fields(_what(theirs), _what(ours))
    if fields:
        raise UserError(
            f"{workdir} belongs to another config ({'; '.join(fields)}): choose another --workdir"
        )


def _claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the workdir this config's."""
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


def _what(config: dict) -> dict:
    data = {k: v for k, v in config["data"].items() if k not in WHERE_ONLY}
    return config | {"data": data}


def _write_history(workdir: Path, progress: train.Progress) -> None:
    with atomic(workdir / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in progress.history))


def _inputs(split: Split) -> dict[str, np.ndarray]:
    """What figures show of each example: `image`, `spectrogram`, and `audio` of its
    `audio_row`."""
    rows, inputs = split.examples(), {}
    if "image" in rows:
        inputs["image"] = split.corpora["image"].x[rows["image"]]
    if "audio" in rows:
        used, inputs["audio_row"] = np.unique(rows["audio"], return_inverse=True)
        inputs["audio"] = split.corpora["audio"].x[used].astype(np.float16)
    if "spectrogram" in rows:
        inputs["spectrogram"] = split.corpora["spectrogram"].x[rows["spectrogram"]]
    return inputs


def _show(result: dict, workdir: Path) -> None:
    """Result table, and the report where its libraries are installed."""
    console.print(report.table([result]))
    libraries = ("matplotlib", "sklearn", "scipy", "PIL")
    if missing := [name for name in libraries if not importlib.util.find_spec(name)]:
        console.print(f"no report with figures: {', '.join(missing)} not installed")
    else:
        console.print(f"report with figures: {report.write([workdir], workdir)}")
