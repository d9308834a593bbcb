"""Evaluating: what the page draws of a training, made from its weights, then or at any later time.

A run does this once, with the weights that are tested. Whatever of it goes missing is made again
from the checkpoint, to the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fdigits import devices, explain, train
from fdigits.config import modern_result
from fdigits.data import datasets, pipeline, prepare
from fdigits.data.pairing import Split
from fdigits.errors import UserError
from fdigits.examples import Examples, prepared, shown
from fdigits.files import read_arrays, write_arrays
from fdigits.trained import Trained, load, sources

Arrays = dict[str, np.ndarray]
ARTIFACTS = ("predictions.npz", "embeddings.npz", "inputs.npz")  # every run's


def outputs(trained: Trained, split: Split, feeder) -> dict[str, np.ndarray]:
    """The task's outputs for every example of a part, `[N, ...]` each, in the part's order."""
    evaluate = train.make_evaluate_chunk(trained.task.evaluate, feeder.mesh)
    return train.evaluate(evaluate, trained, split.examples(), feeder)


def leave(workdir: Path, trained: Trained, examples: Examples) -> tuple[dict, list[str]]:
    """Tests the weights and writes what the page draws.

    Returns:
      The figures of the validation and the test part, and the names of the files.
    """
    figures, files = make(trained, examples)
    _write(workdir, files)
    return figures, list(files)


def _write(workdir: Path, files: Mapping[str, Arrays]) -> None:
    if devices.is_first():
        for name, arrays in files.items():
            write_arrays(workdir / name, **arrays)


def make(trained: Trained, examples: Examples) -> tuple[dict, dict[str, Arrays]]:
    """The figures of the validation and the test part, and the arrays of each file to leave."""
    task, test = trained.task, examples.splits["test"]
    kind, figures = trained.config.data.feeder, {}
    feeder = pipeline.make_feeder(kind, examples.arrays, devices.over())
    for part in ("validation", "test"):
        split = examples.splits[part]
        found = outputs(trained, split, feeder)
        figures[part] = task.summary(found, split.examples()["label"])
    rows = test.examples()
    kept = {name: found.pop(name) for name in task.PREDICTIONS if name in found}
    files = {"predictions.npz": {"id": test.ids(), "label": rows["label"]} | kept}
    files["embeddings.npz"] = {name: x.astype(np.float16) for name, x in found.items()}
    files["inputs.npz"] = shown(test, examples.raw)
    files |= task.leave(trained.params, trained.batch_stats, examples.splits, examples.arrays)
    items = {name: x[rows[name]] for name, x in examples.arrays.items()}
    return figures, files | explain.make(task, trained, items, rows["label"])


def remake(workdir: Path, data_dir: Path | None = None, cache: Path | None = None) -> list[str]:
    """Makes again what a finished run's folder lacks of what it left; returns those names.

    Args:
      data_dir, cache: the folders of source files and of prepared arrays, where they are not the
        config's.

    Raises:
      UserError: the checkpoint or the data cannot be read, or are not the run's; nothing is
        written then.
    """
    try:
        result = modern_result(json.loads((workdir / "result.json").read_text()))
    except (OSError, ValueError, AttributeError):
        return []  # no finished run, as whoever reads it will say
    names = result.get("artifacts", ARTIFACTS)
    missing = [name for name in names if not (workdir / name).is_file()]
    if not missing:
        return []
    try:
        files = make_again(load(workdir), data_dir, cache)
    except UserError as error:
        lost = f"{workdir} lacks {', '.join(missing)}, which cannot be made again"
        raise UserError(f"{lost}: {error}") from error
    made = {name: files[name] for name in missing if name in files}
    try:
        _write(workdir, made)
    except OSError as error:
        told = f"{workdir} lacks {', '.join(missing)}, which cannot be written there"
        raise UserError(f"{told}: {error.strerror}") from error
    return list(made)


def make_again(
    trained: Trained, data_dir: Path | None = None, cache: Path | None = None
) -> dict[str, Arrays]:
    """The arrays of each file that a finished run left, by name.

    Raises:
      UserError: the data cannot be had, or are not those of the run.
    """
    examples = again(trained, data_dir, cache)
    figures, files = make(trained, examples)
    result = json.loads((trained.workdir / "result.json").read_text())
    then, now = result["metrics"]["test"], figures["test"]
    told = [f"test {name} is {then[name]} in result.json, {now[name]} now" for name in
            then.keys() & now.keys() if not _equal(then[name], now[name])]  # fmt: skip
    if not told and not _same_ids(trained.workdir / "predictions.npz", files):
        told = ["predictions.npz holds other test items"]
    if told:
        raise UserError(
            f"the data are not those of the run ({min(told)}): give the folder that it learnt "
            "from, --data-dir or config.data.dir"
        )
    return files


def _equal(then: object, now: object) -> bool:
    """Whether a figure is the run's, but for another machine's rounding; tables are not asked."""
    if not isinstance(then, int | float):
        return True
    return bool(np.isclose(now, then, rtol=1e-3, atol=1e-3, equal_nan=True))


def _same_ids(kept: Path, files: Mapping[str, Arrays]) -> bool:
    """Whether the predictions that a run keeps, if they can be read, are of these items."""
    try:
        return np.array_equal(read_arrays(kept)["id"], files["predictions.npz"]["id"])
    except (ValueError, KeyError):
        return True


def again(trained: Trained, data_dir: Path | None = None, cache: Path | None = None) -> Examples:
    """The examples that a training had.

    Raises:
      UserError: they cannot be had any more.
    """
    config = trained.config.copy_and_resolve_references()
    for field, folder in (("dir", data_dir), ("cache", cache)):
        if folder:
            config.data[field] = str(folder)
    try:
        return prepared(config, trained.task, trained.workdir)
    except UserError as error:
        raise UserError(f"the data of {trained.workdir} cannot be had again: {error}") from error


def outputs_on(
    trained: Trained, data: str, data_dir: Path, cache_dir: Path, part: str = ""
) -> tuple[Split, Arrays]:
    """A data set the run was not trained on, or an official part of it, and the task's outputs.

    Raises:
      UserError: there are no items of that part.
    """
    raw = sources(trained.config, trained.task, trained.workdir)
    reads = tuple(raw.values())
    corpora = prepare.load(data, data_dir, cache_dir, reads)
    rows = {m: np.flatnonzero((c.part == part) | (not part)) for m, c in corpora.items()}
    if not all(map(len, rows.values())):
        raise UserError(f"{data} has no {part} part")
    everything = Split("test", corpora, rows, datasets.is_paired(data), seed=0, reads=reads)
    arrays = trained.arrays({modality: corpus.x for modality, corpus in corpora.items()})
    for name, modality in raw.items():
        if name != modality:
            everything = everything.renamed(modality, name)
    return everything, outputs(trained, everything, pipeline.make_feeder("device", arrays))


def test_on(trained: Trained, data: str, data_dir: Path, cache_dir: Path, part: str = "") -> dict:
    """Metrics on a data set the run was not trained on: all items, or those of an official part.

    Raises:
      UserError: as `outputs_on`.
    """
    split, found = outputs_on(trained, data, data_dir, cache_dir, part)
    return trained.task.summary(found, split.examples()["label"])
