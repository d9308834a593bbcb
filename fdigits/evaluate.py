"""Evaluating: what the page draws of a training, made from its weights, then or at any later time.

A run does this once, with the weights that are tested. Whatever of it goes missing is made again
from the checkpoint, to the same bytes.
"""

import json
from pathlib import Path

import numpy as np

from fdigits import explain, train
from fdigits.config import modern_result
from fdigits.data import pipeline
from fdigits.data.pairing import Split
from fdigits.errors import UserError
from fdigits.examples import Examples, prepared, shown
from fdigits.files import write_arrays
from fdigits.trained import Trained, load

ARTIFACTS = ("predictions.npz", "embeddings.npz", "inputs.npz")  # every run's


def outputs(trained: Trained, split: Split, feeder) -> dict[str, np.ndarray]:
    """The task's outputs for every example of a part, `[N, ...]` each, in the part's order."""
    evaluate = train.make_evaluate_chunk(trained.task.evaluate)
    rows = pipeline.evaluation_rows(split, train.EVALUATION_BATCH)
    return train.evaluate(evaluate, trained, rows, feeder)


def leave(workdir: Path, trained: Trained, examples: Examples) -> tuple[dict, list[str]]:
    """Tests the weights and writes what the page draws.

    Returns:
      The figures of the validation and the test part, and the names of the files.
    """
    task, test = trained.task, examples.splits["test"]
    feeder, figures = pipeline.make_feeder(trained.config.data.feeder, examples.arrays), {}
    for part in ("validation", "test"):
        split = examples.splits[part]
        found = outputs(trained, split, feeder)
        figures[part] = task.summary(found, split.examples()["label"])
    rows = test.examples()
    kept = {name: found.pop(name) for name in task.PREDICTIONS if name in found}
    write_arrays(workdir / "predictions.npz", id=test.ids(), label=rows["label"], **kept)
    embeddings = {name: x.astype(np.float16) for name, x in found.items()}
    write_arrays(workdir / "embeddings.npz", **embeddings)
    write_arrays(workdir / "inputs.npz", **shown(test, examples.raw))
    further = task.leave(trained.params, trained.batch_stats, examples.splits, examples.arrays)
    for name, arrays in further.items():
        write_arrays(workdir / name, **arrays)
    items = {name: x[rows[name]] for name, x in examples.arrays.items()}
    explained = explain.write(workdir, task, trained, items, rows["label"])
    return figures, [*ARTIFACTS, *further, *explained]


def remake(workdir: Path, data_dir: Path | None = None) -> list[str]:
    """Makes again what a finished run's folder lacks of what it left; returns those names.

    Args:
      data_dir: the folder of source files, where it is not the config's.

    Raises:
      UserError: the checkpoint or the data cannot be read.
    """
    try:
        result = modern_result(json.loads((workdir / "result.json").read_text()))
    except (OSError, ValueError, AttributeError):
        return []  # no finished run, as whoever reads it will say
    names = result.get("artifacts", ARTIFACTS)
    missing = [name for name in names if not (workdir / name).is_file()]
    if missing:
        try:
            trained = load(workdir)
            leave(workdir, trained, again(trained, data_dir))
        except UserError as error:
            lost = f"{workdir} lacks {', '.join(missing)}, which cannot be made again"
            raise UserError(f"{lost}: {error}") from error
    return missing


def again(trained: Trained, data_dir: Path | None = None) -> Examples:
    """The examples that a training had.

    Raises:
      UserError: they cannot be had any more.
    """
    config = trained.config.copy_and_resolve_references()
    if data_dir:
        config.data.dir = str(data_dir)
    try:
        return prepared(config, trained.task, trained.workdir)
    except UserError as error:
        raise UserError(f"the data of {trained.workdir} cannot be had again: {error}") from error
