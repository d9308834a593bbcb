"""One experiment: config -> data -> training -> one look at the test split -> artifacts."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from fdigits import checkpoint, metrics, provenance, train
from fdigits.config import differing_fields
from fdigits.console import Watch, console
from fdigits.data import pairing, pipeline, prepare
from fdigits.data.pairing import Split
from fdigits.errors import UserError
from fdigits.files import atomic, write_arrays, write_json
from fdigits.models import classifiers
from fdigits.stages.classify import Classify

WHERE_ONLY = ("dir", "cache", "feeder")  # data fields that change no number


def run(config: ConfigDict, workdir: Path) -> dict:
    """Trains, or goes on, or finds it finished; returns what `result.json` holds."""
    _claim(workdir, config)
    result_file = workdir / "result.json"
    if result_file.exists():
        console.print(f"{workdir} is finished; this is its result:")
        result = json.loads(result_file.read_text())
    else:
        result = _train_and_test(config, workdir)
        write_json(result_file, result)
    _show(result, workdir)
    return result


def load_splits(config: ConfigDict) -> dict[str, Split]:
    """The three parts, with MFCC standardised per coefficient by the training part's statistics."""
    data = config.data
    corpora = prepare.load(data.name, Path(data.dir), Path(data.cache).expanduser())
    splits = pairing.splits(
        corpora,
        paired=prepare.is_paired(data.name),
        policy=data.split,
        seed=config.seed,
        speaker=data.speaker,
        limit=data.limit,
    )
    for modality in classifiers.modalities(config.model):
        if modality not in corpora:
            raise UserError(
                f"data.name={data.name} has no {modality}, which model {config.model.name} reads"
            )
    if len(splits["train"]) < config.batch_size:
        raise UserError(
            f"{len(splits['train'])} training examples are fewer than one batch of "
            f"{config.batch_size}: raise data.limit or lower batch_size"
        )
    return splits


def model_arrays(config: ConfigDict, splits: dict[str, Split], workdir: Path) -> dict:
    """The arrays a model reads; the training statistics are saved with the run."""
    corpora = splits["train"].corpora
    arrays = {m: corpora[m].x for m in classifiers.modalities(config.model)}
    if "audio" in arrays:
        stats = pipeline.statistics(splits["train"])
        write_json(workdir / "statistics.json", stats)
        arrays["audio"] = pipeline.standardise(arrays["audio"], stats)
    return arrays


def _train_and_test(config: ConfigDict, workdir: Path) -> dict:
    commit = provenance.commit()  # of the code that runs: the tree may move on meanwhile
    splits = load_splits(config)
    feeder = pipeline.make_feeder(config.data.feeder, model_arrays(config, splits, workdir))
    stage = Classify(classifiers.make(config.model))
    steps_per_epoch = len(splits["train"]) // config.batch_size
    rows = pipeline.evaluation_rows(splits["train"], 1)
    sample = next(iter(feeder(rows, 1, 1)))
    sample = {k: v[0] for k, v in train.gather(sample, feeder.resident).items()}
    state = train.create_state(stage, config, sample, steps_per_epoch)
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
        _write_history(workdir, progress)

        def save(state, progress):
            checkpoints.save(state, progress)
            _write_history(workdir, progress)

        if not progress.stopped(config):
            with Watch(config, steps_per_epoch, progress.epoch, workdir / "events") as watch:
                state = train.fit(
                    config,
                    stage,
                    _scalars,
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
            f"{progress.best_epoch} are tested, the best on validation"
        )
        best, _ = checkpoints.restore(progress.best_epoch, state)

    test = splits["test"]
    outputs = train.evaluate(train.make_evaluate_chunk(stage), best, test, feeder)
    label = test.examples()["label"]
    logits = outputs.pop("logits")
    write_arrays(workdir / "predictions.npz", id=test.ids(), label=label, logits=logits)
    write_arrays(
        workdir / "embeddings.npz", **{k: v.astype(np.float16) for k, v in outputs.items()}
    )
    write_arrays(workdir / "inputs.npz", **_inputs(test))
    summary = jax.device_get(metrics.classification(logits, label))
    return {
        "name": config.name,
        "system": config.reported.system,
        "dataset": config.data.name,
        "protocol": _protocol(config),
        "seed": config.seed,
        "parameters": parameters,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.epoch * steps_per_epoch,
        "train_seconds": round(progress.seconds, 2),
        "steps_per_second": round(progress.timed_steps / max(progress.step_seconds, 1e-9), 2),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
        "commit": commit,
        "metrics": {
            "validation": progress.history[progress.best_epoch - 1]["validation"]
            | {"n": len(splits["validation"])},
            "test": {k: v.tolist() for k, v in summary.items()} | {"n": len(test)},
        },
        "reported": config.reported.to_dict(),
    }


def _scalars(outputs: dict, label: np.ndarray) -> dict[str, float]:
    summary = metrics.classification(outputs["logits"], label)
    return {k: float(summary[k]) for k in ("loss", "accuracy", "macro_f1")}


def _protocol(config: ConfigDict) -> str:
    return config.data.split + (f":{config.data.speaker}" if config.data.speaker else "")


def _claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the workdir this config's, or refuses one that is another's."""
    file = workdir / "config.json"
    ours = json.loads(config.to_json())
    if file.exists():
        theirs = json.loads(file.read_text())
        fields = differing_fields(_what(theirs), _what(ours))
        if fields:
            raise UserError(
                f"{workdir} belongs to another config ({'; '.join(fields)}): "
                "choose another --workdir"
            )
    write_json(file, ours)


def _what(config: dict) -> dict:
    data = {k: v for k, v in config["data"].items() if k not in WHERE_ONLY}
    return config | {"data": data}


def _write_history(workdir: Path, progress: train.Progress) -> None:
    with atomic(workdir / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in progress.history))


def _inputs(split: Split) -> dict[str, np.ndarray]:
    """What figures show of each example: `image`, and `audio` of its `audio_row`."""
    rows, inputs = split.examples(), {}
    if "image" in rows:
        inputs["image"] = split.corpora["image"].x[rows["image"]]
    if "audio" in rows:
        used, inputs["audio_row"] = np.unique(rows["audio"], return_inverse=True)
        inputs["audio"] = split.corpora["audio"].x[used].astype(np.float16)
    return inputs


def _show(result: dict, workdir: Path) -> None:
    """Result table, and the report where its libraries are installed."""
    if all(importlib.util.find_spec(library) for library in ("matplotlib", "sklearn", "scipy")):
        from fdigits import report

        console.print(report.table([result]))
        page = report.write([workdir], workdir)
        console.print(f"report with figures: {page}")
    else:
        test = result["metrics"]["test"]
        console.print(
            f"{result['name']}: test accuracy {test['accuracy']:.4f}, macro-F1 "
            f"{test['macro_f1']:.4f}, n {test['n']} (figures need matplotlib and scikit-learn)"
        )
