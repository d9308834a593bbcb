"""The files of one finished run, read and checked."""

import dataclasses
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from fdigits.data.corpus import MODALITIES
from fdigits.errors import UserError

CLASSES = 10
AGAIN = "run the experiment again in a new workdir"


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What one run left: n test items, m different recordings."""

    path: Path
    config: dict
    result: dict
    history: list[dict]  # one row per epoch
    id_n: np.ndarray  # str, "<image id>|<audio id>" for pairs
    label_n: np.ndarray
    logits_nx10: np.ndarray
    image_nx28x28: np.ndarray | None  # uint8
    audio_mxtxc: np.ndarray | None  # MFCC, t frames of c coefficients
    audio_row_n: np.ndarray | None  # the recording of each item, a row of audio_mxtxc
    spectrogram_nxhxw: np.ndarray | None  # uint8, row 0 the highest frequency
    embeddings: dict[str, np.ndarray]  # encoder name -> [n, width]
    weights_nxm: np.ndarray | None  # a fusion's, of m modalities
    # What `fdigits.explain` leaves where it applies, else {}:
    maps: dict[str, np.ndarray]  # "row" [k] of test items; "gradcam:…", "attention:…" [k, …]
    corruption: dict[str, np.ndarray]  # "level" [l], "weights" [m, l, m], "accuracy" [m, l]
    augmentations: dict[str, np.ndarray]  # "name" [k], "image" [k, h, w] uint8

    @property
    def system(self) -> str:
        return self.result["system"] or self.config["name"]

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads: some of `MODALITIES`. Runs from before R1, R3 and R4 do not say."""
        name = self.config["model"]["name"]
        derived = ("image", "audio") if name == "hybrid" else (name,)
        return tuple(self.result.get("modalities") or derived)

    @property
    def kind(self) -> str:
        """The modality the model reads, "both" where it reads several."""
        return self.modalities[0] if len(self.modalities) == 1 else "both"

    @property
    def held(self) -> dict[str, np.ndarray]:
        """The inputs of each modality that the run left, in the order of a pair's id."""
        arrays = (self.image_nx28x28, self.audio_mxtxc, self.spectrogram_nxhxw)
        found = dict(zip(MODALITIES, arrays, strict=True))
        return {name: array for name, array in found.items() if array is not None}

    @property
    def predicted_n(self) -> np.ndarray:
        return self.logits_nx10.argmax(axis=1)

    @property
    def correct_n(self) -> np.ndarray:
        return self.predicted_n == self.label_n

    def sources(self) -> dict[str, np.ndarray]:
        """What each test item is made of: {"image": keys [n], "audio": keys [n]}, say.

        Equal keys are one picture or one recording. Pairs say so in their ids; otherwise equal
        content does (Written and Spoken Digits repeats recordings under other ids).
        """
        if len(self.held) == 2 and all("|" in item for item in self.id_n):
            halves_nx2 = np.array([item.split("|", 1) for item in self.id_n])
            return dict(zip(self.held, halves_nx2.T, strict=True))
        found = {name: _content(array) for name, array in self.held.items()}
        if "audio" in found:
            found["audio"] = found["audio"][self.audio_row_n]
        return found

    def seen(self) -> dict[str, np.ndarray]:
        """Those sources that the model reads."""
        return {name: keys for name, keys in self.sources().items() if name in self.modalities}


def _content(array: np.ndarray) -> np.ndarray:
    """An integer per row, equal where rows are equal."""
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(row.tobytes(), len(known)) for row in array])


def load(path: Path | str) -> Run:
    """Reads a finished run's workdir.

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
    config = _json(path / "config.json", ("name", "seed", "data", "model"))
    _require(path / "config.json", config["data"], ("name", "split"))
    _require(path / "config.json", config["model"], ("name",))
    result = _json(
        path / "result.json", ("system", "dataset", "protocol", "seed", "parameters", "metrics")
    )
    _require(path / "result.json", result["metrics"], ("test",))
    _require(path / "result.json", result["metrics"]["test"], ("accuracy", "macro_f1", "n"))
    predictions = _arrays(path / "predictions.npz", ("id", "label", "logits"))
    inputs = _arrays(path / "inputs.npz", ())
    run = Run(
        path=path,
        config=config,
        result=result,
        history=_history(path / "metrics.jsonl"),
        id_n=predictions["id"].astype(str),
        label_n=predictions["label"],
        logits_nx10=predictions["logits"],
        image_nx28x28=inputs.get("image"),
        audio_mxtxc=inputs.get("audio"),
        audio_row_n=inputs.get("audio_row"),
        spectrogram_nxhxw=inputs.get("spectrogram"),
        embeddings=_arrays(path / "embeddings.npz", ()),
        weights_nxm=predictions.get("weights"),
        maps=_optional(path / "maps.npz", ("row",)),
        corruption=_optional(path / "corruption.npz", ("level", "weights", "accuracy")),
        augmentations=_optional(path / "augmentations.npz", ("name", "image")),
    )
    _check(run)
    return run


def _read(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path} is missing: {AGAIN}")
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): {AGAIN}") from error


def _require(path: Path, value: object, keys: tuple[str, ...]) -> None:
    missing = keys if not isinstance(value, dict) else [key for key in keys if key not in value]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: {AGAIN}")


def _json(path: Path, keys: tuple[str, ...]) -> dict:
    try:
        value = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON ({error}): {AGAIN}") from error
    _require(path, value, keys)
    return value


def _history(path: Path) -> list[dict]:
    rows = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            for part in ("train", "validation"):
                float(row[part]["loss"]), float(row[part]["accuracy"])
            int(row["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} line {number} is no epoch's metrics ({error!r}): {AGAIN}"
            ) from error
        rows.append(row)
    if not rows:
        raise UserError(f"{path} holds no epoch: {AGAIN}")
    return rows


def _arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"{path} is missing: {AGAIN}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}): {AGAIN}") from error
    _require(path, arrays, keys)
    return arrays


def _optional(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    return _arrays(path, keys) if path.is_file() else {}


def _explained(run: Run) -> list[tuple[str, str, np.ndarray, tuple]]:
    """The wanted shapes of what `fdigits.explain` left."""
    any_, m = None, len(run.modalities)
    shapes = [("predictions.npz", "weights", run.weights_nxm, (len(run.id_n), m))]
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
    if not row.size or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= len(run.id_n):
        return "row does not name test items"
    for name, array in run.maps.items():
        kind, _, modality = name.partition(":")
        if kind == "gradcam" and modality not in run.held:
            return f"{name} is of no input in inputs.npz"
        held = run.held.get(modality if kind == "gradcam" else run.modalities[0])
        line = kind == "gradcam" and array.shape[1] == 1  # along the flattened input
        size = (1, held[0].size) if line else held.shape[1:]
        if array.ndim == 3 and (not array.size or (np.array(array.shape[1:]) > size).any()):
            return f"{name} is empty or larger than the input, {size[0]} × {size[1]}"
        if array.ndim == 4 and round(array.shape[-1] ** 0.5) ** 2 != array.shape[-1]:
            return f"{name}: {array.shape[-1]} places are no square map"
    return None


def _check(run: Run) -> None:
    n = len(run.id_n)
    shapes = [
        ("predictions.npz", "label", run.label_n, (n,)),
        ("predictions.npz", "logits", run.logits_nx10, (n, CLASSES)),
        ("inputs.npz", "image", run.image_nx28x28, (n, None, None)),
        ("inputs.npz", "audio", run.audio_mxtxc, (None, None, None)),
        ("inputs.npz", "audio_row", run.audio_row_n, (n,)),
        ("inputs.npz", "spectrogram", run.spectrogram_nxhxw, (n, None, None)),
    ]
    shapes += [("embeddings.npz", k, v, (n, None)) for k, v in run.embeddings.items()]
    shapes += _explained(run)
    for file, name, array, shape in shapes:
        if array is None:
            continue
        fits = len(array.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = "×".join("any" if size is None else str(size) for size in shape)
            raise UserError(
                f"{run.path / file}: {name} has shape {array.shape}, expected {wanted}: {AGAIN}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{run.path / file}: {name} holds NaN or infinity: {AGAIN}")
    problem = None
    unread = [modality for modality in run.modalities if modality not in run.held]
    if n == 0:
        problem = "predictions.npz holds no test item"
    elif unread:
        problem = f"inputs.npz holds no {unread[0]}, which the model reads"
    elif (run.audio_mxtxc is None) != (run.audio_row_n is None):
        problem = "inputs.npz needs audio and audio_row together"
    elif run.audio_row_n is not None and not (
        run.audio_row_n.min() >= 0 and run.audio_row_n.max() < len(run.audio_mxtxc)
    ):
        problem = "inputs.npz: audio_row points outside audio"
    elif run.label_n.min() < 0 or run.label_n.max() >= CLASSES:
        problem = "predictions.npz: a label outside 0–9"
    elif wrong_map := _wrong_map(run):
        problem = f"maps.npz: {wrong_map}"
    elif not run.embeddings:
        problem = "embeddings.npz holds no encoder"
    elif abs(run.correct_n.mean() - run.result["metrics"]["test"]["accuracy"]) > 0.5 / n:
        problem = (
            f"predictions.npz has accuracy {run.correct_n.mean():.4f}, "
            f"result.json says {run.result['metrics']['test']['accuracy']:.4f}"
        )
    if problem:
        raise UserError(f"{run.path}: {problem}: {AGAIN}")
