"""The files of one finished run, whatever its task, read and checked."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fdigits.config import modern, modern_result
from fdigits.data.corpus import CLASSES, MODALITIES
from fdigits.errors import UserError
from fdigits.files import read_arrays

AGAIN = "run the command that trained it again"
ANEW = "delete it and run the command again: it is made anew from the checkpoint"
ARRAYS = ("predictions.npz", "inputs.npz", "embeddings.npz")
EXPLAINED = {  # what `fdigits.explain` leaves where it applies, and what it must hold
    "maps.npz": ("row",),
    "corruption.npz": ("level", "weights", "accuracy"),
    "augmentations.npz": ("name", "image"),
}
READS = {"hybrid": ("image", "audio")} | {name: (name,) for name in MODALITIES}  # by old models

Shaped = tuple[str, str, np.ndarray, tuple]  # file, array's name, array, wanted shape


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What one run left of N test items. A task need not leave any array."""

    path: Path
    config: dict  # as this code writes it, whatever code the run is of
    result: dict
    history: list[dict]  # one row per epoch
    id_N: np.ndarray  # str, "<image id>|<audio id>" for pairs; row numbers where a run has no ids
    label_N: np.ndarray | None
    outputs: dict[str, np.ndarray]  # [N, …] each: a classifier's "logits", a fusion's "weights", …
    inputs: dict[str, np.ndarray]  # modality -> [N, …], or [M, …] with "<modality>_row" [N] beside
    embeddings: dict[str, np.ndarray]  # encoder name -> [N, D]
    maps: dict[str, np.ndarray]  # "row" [K] of test items; "gradcam:…", "attention:…" [K, …]
    corruption: dict[str, np.ndarray]  # "level" [L], "weights" [M, L, M], "accuracy" [M, L]
    augmentations: dict[str, np.ndarray]  # "name" [K], "image" [K, H, W] uint8
    further: dict[str, dict[str, np.ndarray]]  # file -> the arrays that its task left there
    samples: dict[int, np.ndarray]  # epoch -> what the task drew after it, [10, K, H, W] uint8

    @property
    def task(self) -> str:
        return self.config["task"]

    @property
    def system(self) -> str:
        return self.result["system"] or self.config["name"]

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads. Runs from before R1, R3 and R4 do not say."""
        derived = READS.get(self.config["model"].get("name"), tuple(self.held))
        return tuple(self.result.get("modalities") or derived)

    @property
    def first(self) -> str:
        """The first modality that the model reads, "" where it reads none."""
        return next(iter(self.modalities), "")

    @property
    def kind(self) -> str:
        """The modality the model reads, "both" where it reads several."""
        return self.first if len(self.modalities) == 1 else "both"

    @property
    def held(self) -> dict[str, np.ndarray]:
        """The inputs of each modality that the run left, in the order of a pair's id."""
        return {name: self.inputs[name] for name in MODALITIES if name in self.inputs}

    @property
    def classifies(self) -> bool:
        """Whether each test item has a label and scores of all classes."""
        return self.label_N is not None and "logits" in self.outputs

    @property
    def logits_NxV(self) -> np.ndarray:
        return self.outputs["logits"]

    @property
    def weights_NxM(self) -> np.ndarray | None:
        """A fusion's, of M modalities."""
        return self.outputs.get("weights")

    @property
    def unsound(self) -> dict[str, int]:
        """Outputs that hold NaN or infinity, and of how many test items: training went astray."""
        counts = {
            name: int((~np.isfinite(array)).reshape(len(array), -1).any(1).sum())
            for name, array in self.outputs.items()
            if array.dtype.kind == "f"
        }
        return {name: count for name, count in counts.items() if count}

    @property
    def predicted_N(self) -> np.ndarray:
        return self.logits_NxV.argmax(axis=1)

    @property
    def correct_N(self) -> np.ndarray:
        return self.predicted_N == self.label_N

    def rows(self, modality: str) -> np.ndarray:
        """The row of each test item in the inputs of a modality, `[N]`."""
        return self.inputs.get(f"{modality}_row", np.arange(len(self.id_N)))

    def sources(self) -> dict[str, np.ndarray]:
        """What each test item is made of, see `sources`."""
        return sources(self.id_N, self.inputs, self.modalities)

    def seen(self) -> dict[str, np.ndarray]:
        """Those sources that the model reads; all where it reads none as it is, but its code."""
        sources = self.sources()
        read = {name: keys for name, keys in sources.items() if name in self.modalities}
        return read or sources


def sources(
    id_N: np.ndarray, inputs: Mapping[str, np.ndarray], reads: Sequence[str]
) -> dict[str, np.ndarray]:
    """What each of N items is made of: `{"image": keys [N], "audio": keys [N]}`, say.

    Equal keys are one picture or one recording. Pairs say so in their ids; otherwise equal content
    does (Written and Spoken Digits repeats recordings under other ids).

    Args:
      inputs: of the items, as `inputs.npz` holds them.
      reads: the modalities that the model reads.
    """
    held = [name for name in MODALITIES if name in inputs]
    parts = held if len(held) == 2 else reads
    if len(parts) == 2 and len(id_N) and all("|" in item for item in id_N):
        halves_Nx2 = np.array([item.split("|", 1) for item in id_N])
        return dict(zip(parts, halves_Nx2.T, strict=True))
    row = np.arange(len(id_N))
    return {name: _content(inputs[name])[inputs.get(f"{name}_row", row)] for name in held}


def _content(array: np.ndarray) -> np.ndarray:
    """A name per row that follows from what it holds, so that other runs give it the same."""
    names = [hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in array]
    return np.array(names, "U16")


def load(path: Path | str) -> Run:
    """Reads a finished run's workdir.

    A file of arrays must be there if the run's `result.json` names it among its "artifacts"; runs
    from before other tasks than `classify` name none and left all of `ARRAYS`.

    Raises:
      UserError: the workdir or one of its files is missing, unfinished or not what a run writes.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"no run at {path}: give the workdir of a finished run")
    if not (path / "config.json").is_file():
        raise UserError(f"{path} is no run's workdir (no config.json): give that of a finished run")
    if not (path / "result.json").is_file():
        raise UserError(
            f"the run in {path} is not finished (no result.json): run its command again to continue"
        )
    config, result = read_config(path / "config.json"), read_result(path / "result.json")
    left = result.get("artifacts", ARRAYS if config["task"] == "classify" else ())
    predictions, inputs, embeddings = (_arrays(path / name, name in left) for name in ARRAYS)
    label_N = predictions.pop("label", None)
    run = Run(
        path, config, result, read_history(path / "metrics.jsonl"),
        _ids(predictions, label_N, embeddings), label_N, predictions, inputs, embeddings,
        *(_arrays(path / name, name in left, keys) for name, keys in EXPLAINED.items()),
        {name: _arrays(path / name, True) for name in left if name not in (*ARRAYS, *EXPLAINED)},
        {int(file.stem): _arrays(file, True, ("image",))["image"]
         for file in sorted((path / "samples").glob("[0-9]*.npz"))},
    )  # fmt: skip
    _check(run)
    return run


def _ids(predictions: dict, label_N: np.ndarray | None, embeddings: dict) -> np.ndarray:
    """Takes the ids out of `predictions`; row numbers where it has none."""
    if "id" in predictions:
        return np.atleast_1d(predictions.pop("id").astype(str))
    some = [label_N] if label_N is not None else [*predictions.values(), *embeddings.values()]
    return np.arange(len(some[0]) if some and some[0].ndim else 0).astype(str)


def _read(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path} is missing: {AGAIN}")
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): {AGAIN}") from error


def _require(path: Path, value: object, keys: tuple[str, ...], advice: str = AGAIN) -> None:
    missing = keys if not isinstance(value, dict) else [key for key in keys if key not in value]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: {advice}")


def _json(path: Path, keys: tuple[str, ...]) -> dict:
    try:
        value = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON ({error}): {AGAIN}") from error
    _require(path, value, keys)
    return value


def read_config(path: Path) -> dict:
    held = _json(path, ("name", "seed", "data", "model"))
    _require(path, held["data"], ("name", "split"))
    if not isinstance(held["model"], dict):
        raise UserError(f"{path}: model is no group of fields: {AGAIN}")
    return modern(held)


def read_result(path: Path) -> dict:
    keys = ("system", "dataset", "protocol", "seed", "parameters", "metrics")
    held = _json(path, keys)
    _require(path, held["metrics"], ("test",))
    if not isinstance(held["metrics"]["test"], dict):
        raise UserError(f"{path}: the metrics of test are no group of figures: {AGAIN}")
    return modern_result(held)


def read_history(path: Path) -> list[dict]:
    rows = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            for value in (row["epoch"], *row["train"].values(), *row["validation"].values()):
                if not isinstance(value, int | float):
                    raise TypeError(f"{value!r} is no number")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} line {number} is no epoch's metrics ({error!r}): {AGAIN}"
            ) from error
        rows.append(row)
    if not rows:
        raise UserError(f"{path} holds no epoch: {AGAIN}")
    return rows


def _arrays(path: Path, needed: bool, keys: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays of a file; {} where there is none and none is needed."""
    if not path.is_file():
        if needed:
            raise UserError(f"{path} is missing: {ANEW.removeprefix('delete it and ')}")
        return {}
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}): {_anew(path)}") from error
    _require(path, arrays, keys, _anew(path))
    return arrays


def _anew(path: Path) -> str:
    """How to make a file again: runs of earlier code do not say that they had `EXPLAINED` ones."""
    explain = f"make it anew: python -m fdigits.explain {path.parent}"
    return explain if path.name in EXPLAINED else ANEW


def _predicted(run: Run) -> list[Shaped]:
    """The wanted shapes of what a task left of each test item."""
    n, file = len(run.id_N), "predictions.npz"
    known = {"logits": (n, CLASSES), "weights": (n, len(run.modalities))}
    found = [] if run.label_N is None else [(file, "label", run.label_N, (n,))]
    for name, array in run.outputs.items():
        found.append((file, name, array, known.get(name, (n, *[None] * (array.ndim - 1)))))
    return found + [("embeddings.npz", k, v, (n, None)) for k, v in run.embeddings.items()]


def _held(run: Run) -> list[Shaped]:
    """The wanted shapes of what the test items are made of."""
    n, found = len(run.id_N), []
    for name, array in run.held.items():
        by_row = f"{name}_row" in run.inputs
        rest = [None] * len(MODALITIES[name].shape)
        found.append(("inputs.npz", name, array, (None if by_row else n, *rest)))
        if by_row:
            found.append(("inputs.npz", f"{name}_row", run.rows(name), (n,)))
    return found


def _explained(run: Run) -> list[Shaped]:
    """The wanted shapes of what `fdigits.explain` left."""
    any_, m = None, len(run.modalities)
    shapes = []
    k = run.maps["row"].size if run.maps else 0
    for name, array in run.maps.items():
        square = array.shape[-1:] * 2
        if name == "row":
            wanted = (any_,)
        elif name.startswith("gradcam:"):
            wanted = (k, any_, any_)
        else:
            wanted = {2: (k, any_), 4: (k, any_, *square)}.get(array.ndim, (k, any_, any_))
        shapes.append(("maps.npz", name, array, wanted))
    if run.corruption:
        steps = run.corruption["level"].size
        wanted = {"level": (steps,), "weights": (m, steps, m), "accuracy": (m, steps)}
        shapes += [("corruption.npz", k, run.corruption[k], v) for k, v in wanted.items()]
    if run.augmentations:
        name, image = run.augmentations["name"], run.augmentations["image"]
        shapes.append(("augmentations.npz", "name", name, (any_,)))
        shapes.append(("augmentations.npz", "image", image, (name.size, any_, any_)))
    return shapes


def _wrong_map(run: Run) -> str | None:
    """What is wrong with the maps beside their shapes."""
    if not run.maps:
        return None
    row = run.maps["row"]
    if not row.size or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= len(run.id_N):
        return "row does not name test items"
    for name, array in run.maps.items():
        kind, _, modality = name.partition(":")
        if kind == "gradcam" and run.held and modality not in run.held:
            return f"{name} is of no input in inputs.npz"
        held = run.held.get(modality if kind == "gradcam" else run.first)
        line = kind == "gradcam" and array.shape[1] == 1  # along the flattened input
        size = () if held is None else (1, held[0].size) if line else held.shape[1:]
        if array.ndim == 3 and not array.size:
            return f"{name} is empty"
        if array.ndim == 3 and size and (np.array(array.shape[1:]) > size).any():
            return f"{name} is larger than the input, {size[0]} × {size[1]}"
        if array.ndim == 4 and round(array.shape[-1] ** 0.5) ** 2 != array.shape[-1]:
            return f"{name}: {array.shape[-1]} places are no square map"
    return None


def _wrong_input(run: Run) -> str | None:
    """What is wrong with the inputs beside their shapes; a run need not leave any."""
    drawn = [name for name, modality in MODALITIES.items() if None not in modality.shape]
    unread = [name for name in run.modalities if name in drawn and name not in run.held]
    if run.held and unread:
        return f"it holds no {unread[0]}, which the model reads"
    for name, array in run.held.items():
        row = run.rows(name)
        if row.dtype.kind not in "iu" or (
            row.size and not 0 <= row.min() <= row.max() < len(array)
        ):
            return f"{name}_row points outside {name}"
    return None


def _wrong_prediction(run: Run) -> str | None:
    """What is wrong with labels and scores beside their shapes."""
    label_N, says = run.label_N, run.result["metrics"]["test"].get("accuracy")
    if run.classifies and not len(run.id_N):
        return "it holds no test item"
    if label_N is None or not label_N.size:
        return None
    if label_N.dtype.kind not in "iu" or label_N.min() < 0 or label_N.max() >= CLASSES:
        return f"a label outside 0–{CLASSES - 1}"
    if run.classifies and says is not None:
        found = run.correct_N.mean()
        if abs(found - says) > 0.5 / len(label_N):
            return f"it has accuracy {found:.4f}, result.json says {says:.4f}"
    return None


def _check(run: Run) -> None:
    for file, name, array, shape in (*_predicted(run), *_held(run), *_explained(run)):
        fits = len(array.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = "×".join("any" if size is None else str(size) for size in shape)
            raise UserError(
                f"{run.path / file}: {name} has shape {array.shape}, expected {wanted}: "
                f"{_anew(run.path / file)}"
            )
    further = {
        "predictions.npz": _wrong_prediction,
        "inputs.npz": _wrong_input,
        "maps.npz": _wrong_map,
    }
    for file, wrong in further.items():
        if problem := wrong(run):
            raise UserError(f"{run.path / file}: {problem}: {_anew(run.path / file)}")
