"""The files of one finished run, read and checked."""

import dataclasses
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

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
    embeddings: dict[str, np.ndarray]  # encoder name -> [n, width]

    @property
    def system(self) -> str:
        return self.result["system"] or self.config["name"]

    @property
    def modality(self) -> str:
        """One of "image", "audio", "hybrid"."""
        return self.config["model"]["name"]

    @property
    def predicted_n(self) -> np.ndarray:
        return self.logits_nx10.argmax(axis=1)

    @property
    def correct_n(self) -> np.ndarray:
        return self.predicted_n == self.label_n

    def sources(self) -> dict[str, np.ndarray]:
        """What each test item is made of: {"image": keys [n], "audio": keys [n]}.

        Equal keys are one picture or one recording. Pairs say so in their ids; otherwise equal
        content does (Written and Spoken Digits repeats recordings under other ids).
        """
        if all("|" in item for item in self.id_n):
            halves_nx2 = np.array([item.split("|", 1) for item in self.id_n])
            return {"image": halves_nx2[:, 0], "audio": halves_nx2[:, 1]}
        found = {}
        if self.image_nx28x28 is not None:
            found["image"] = _content(self.image_nx28x28)
        if self.audio_mxtxc is not None:
            found["audio"] = _content(self.audio_mxtxc)[self.audio_row_n]
        return found

    def seen(self) -> dict[str, np.ndarray]:
        """Those sources that the model reads."""
        wanted = ("image", "audio") if self.modality == "hybrid" else (self.modality,)
        return {name: keys for name, keys in self.sources().items() if name in wanted}


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
        embeddings=_arrays(path / "embeddings.npz", ()),
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


def _check(run: Run) -> None:
    n = len(run.id_n)
    shapes = [
        ("predictions.npz", "label", run.label_n, (n,)),
        ("predictions.npz", "logits", run.logits_nx10, (n, CLASSES)),
        ("inputs.npz", "image", run.image_nx28x28, (n, None, None)),
        ("inputs.npz", "audio", run.audio_mxtxc, (None, None, None)),
        ("inputs.npz", "audio_row", run.audio_row_n, (n,)),
    ]
    shapes += [("embeddings.npz", k, v, (n, None)) for k, v in run.embeddings.items()]
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
    if n == 0:
        problem = "predictions.npz holds no test item"
    elif run.image_nx28x28 is None and run.modality != "audio":
        problem = "inputs.npz holds no image, which the model reads"
    elif run.audio_mxtxc is None and run.modality != "image":
        problem = "inputs.npz holds no audio, which the model reads"
    elif (run.audio_mxtxc is None) != (run.audio_row_n is None):
        problem = "inputs.npz needs audio and audio_row together"
    elif run.audio_row_n is not None and not (
        run.audio_row_n.min() >= 0 and run.audio_row_n.max() < len(run.audio_mxtxc)
    ):
        problem = "inputs.npz: audio_row points outside audio"
    elif run.label_n.min() < 0 or run.label_n.max() >= CLASSES:
        problem = "predictions.npz: a label outside 0–9"
    elif not run.embeddings:
        problem = "embeddings.npz holds no encoder"
    elif abs(run.correct_n.mean() - run.result["metrics"]["test"]["accuracy"]) > 0.5 / n:
        problem = (
            f"predictions.npz has accuracy {run.correct_n.mean():.4f}, "
            f"result.json says {run.result['metrics']['test']['accuracy']:.4f}"
        )
    if problem:
        raise UserError(f"{run.path}: {problem}: {AGAIN}")
