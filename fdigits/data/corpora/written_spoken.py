"""Written and Spoken Digits Database (Khacef, Rodriguez, Miramond; DOI 10.5281/zenodo.4452953).

MNIST's pictures, each with the MFCC of a spoken digit of Google Speech Commands: six npy files.
Also read: the class-code variant `x_train_wr.npy`, `x_train_sp.npy`, `y_train.csv`.
It can be remade from its sources:
`python -m fdigits.data.corpora.written_spoken --data-dir DIR --out DIR`.
"""

import csv
import dataclasses
from pathlib import Path

import numpy as np

from fdigits.arguments import Parser
from fdigits.config import DATA
from fdigits.data import features
from fdigits.data.corpora import gsc_digits
from fdigits.data.corpora.contents import web_page
from fdigits.data.corpus import (
    CLASSES,
    COEFFICIENTS,
    FRAMES,
    SIDE,
    Corpus,
    Recordings,
    check,
)
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of

FOLDERS = ("written_spoken",)
DATABASE = tuple(
    f"{kind}_{part}.npy" for part in ("train", "test") for kind in ("data_wr", "data_sp", "labels")
)
CLASS_CODE = ("x_train_wr.npy", "x_train_sp.npy", "y_train.csv")

NAMES = {"train": "names_train.txt", "test": "names_test.txt"}  # a remade database's ids


def find(data_dir: Path) -> list[Path]:
    """The files of one form in `written_spoken/`, or [] if some are missing."""
    for names in (DATABASE, CLASS_CODE):
        paths = [data_dir / FOLDERS[0] / name for name in names]
        if all(path.is_file() for path in paths):
            named = [path.with_name(name) for path in paths[:1] for name in NAMES.values()]
            return paths + [path for path in named if path.is_file()]
    return []


def read(paths: list[Path]) -> dict[str, Corpus]:
    """Both modalities; row i of one belongs to row i of the other; ids `train/00000`.

    A remade database brings its ids, which name the speaker.
    The class-code variant's test files have no labels: its training part alone is read.

    Raises:
      UserError: a file of another shape, unequal lengths, labels outside 0..9, NaN, pixels
        outside 0..1 and 0..255.
    """
    held = {path.name: path for path in paths}
    if CLASS_CODE[0] in held:
        written, spoken, labels = (held[name] for name in CLASS_CODE)
        columns = [("train", _load(written), _load(spoken), _read_csv(labels))]
    else:
        columns = [
            (
                part,
                *(_load(held[f"{kind}_{part}.npy"]) for kind in ("data_wr", "data_sp", "labels")),
            )
            for part in ("train", "test")
        ]
    image, audio, label, ids, parts = [], [], [], [], []
    for part, written, spoken, labels in columns:
        label.append(_labels(labels, f"written_spoken labels ({part})"))
        image.append(_pixels(written, f"written_spoken images ({part})"))
        audio.append(_mfcc(spoken, f"written_spoken recordings ({part})"))
        if not len(image[-1]) == len(audio[-1]) == len(label[-1]):
            raise UserError(
                f"written_spoken ({part}): {len(image[-1])} images, {len(audio[-1])} recordings, "
                f"{len(label[-1])} labels: the three must be equal"
            )
        names = [f"{part}/{i:05d}" for i in range(len(label[-1]))]
        if NAMES[part] in held:
            names = held[NAMES[part]].read_text().split()
        ids += names
        parts += [part] * len(label[-1])
    return _both(np.concatenate(image), np.concatenate(audio), np.concatenate(label), ids, parts)


def _speakers(ids: list[str]) -> np.ndarray:
    """Of `train/00017|seven/0a2b_nohash_0`: 0a2b."""
    spoken = [gsc_digits.parse(f"{name.partition('|')[2]}.wav") for name in ids]
    return np.array([fields[2] if fields else "" for fields in spoken])


def remake(mnist: Corpus, recordings: Recordings, seed: int = 0) -> dict[str, Corpus]:
    """The database from its sources by its recipe; what it leaves open as in `features.py`.

    Of the recordings the official test speakers serve the test part, all others the training part
    (as 34,801 + 4,107 say). Pictures keep their order. Each gets a recording of its class: all are
    used once in a random order, then some again, drawn at random, until every picture has one. The
    speaker is kept, and the id names the recording, so that repetitions can be seen:
    `train/00017|seven/0a2b_nohash_0`.

    Args:
      mnist: images with parts "train" and "test".
      recordings: Speech Commands' digits with their official parts.
      seed: of the draw.

    Raises:
      UserError: a class without a recording in a part.
    """
    audio = features.extract(recordings)
    in_test = recordings.part == "test"
    rng = np.random.default_rng(seed)
    chosen = np.empty(len(mnist), np.int64)
    for part, available in (("train", ~in_test), ("test", in_test)):
        for digit in range(CLASSES):
            wanted = np.flatnonzero((mnist.part == part) & (mnist.label == digit))
            held = np.flatnonzero(available & (recordings.label == digit))
            if len(wanted) and not len(held):
                raise UserError(f"no {part} recording of digit {digit} to make written_spoken from")
            again = rng.choice(held, max(0, len(wanted) - len(held))) if len(wanted) else held[:0]
            drawn = np.concatenate([rng.permutation(held)[: len(wanted)], again])
            chosen[wanted] = rng.permutation(drawn)
    ids = [f"{one}|{other}" for one, other in zip(mnist.id, recordings.id[chosen], strict=True)]
    return _both(mnist.x, audio[chosen], mnist.label, ids, list(mnist.part))


def write(corpora: dict[str, Corpus], folder: Path) -> None:
    """Writes the six npy files of the database, and `names_{part}.txt` with the ids."""
    image, audio = corpora["image"], corpora["audio"]
    for part in ("train", "test"):
        rows = image.part == part
        arrays = {
            "data_wr": image.x[rows].reshape(-1, SIDE * SIDE),
            "data_sp": audio.x[rows].reshape(-1, FRAMES * COEFFICIENTS),
            "labels": image.label[rows],
        }
        for kind, array in arrays.items():
            with atomic(folder / f"{kind}_{part}.npy") as temporary:
                np.save(temporary, array)
        with atomic(folder / NAMES[part]) as temporary:
            temporary.write_text("\n".join(image.id[rows]) + "\n")


def _both(image, audio, label, ids, part) -> dict[str, Corpus]:
    name = "written_spoken"
    written = Corpus(
        name, image, label.astype(np.int32), np.array(ids), _speakers(ids), np.array(part)
    )
    return {
        "image": check(written, name),
        "audio": check(dataclasses.replace(written, x=audio), name),
    }


def _load(path: Path) -> np.ndarray:
    try:
        held = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        page = web_page(path.read_bytes()[:100])
        raise UserError(f"{path}: not a whole npy file of numbers ({error}){page}") from error
    if not held.size or not np.issubdtype(held.dtype, np.number):
        raise UserError(f"{path}: {held.size} values of {held.dtype}, expected numbers")
    return held


def _read_csv(path: Path) -> np.ndarray:
    """Labels in the order of `row_id`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path}: not a readable table ({error})") from error
    if not rows or not {"row_id", "label"} <= rows[0].keys():
        raise UserError(f"{path}: needs the columns row_id and label")
    try:
        table = np.array([[_whole(row[name]) for name in ("row_id", "label")] for row in rows])
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: row_id and label must be whole numbers ({error})") from error
    return table[np.argsort(table[:, 0], kind="stable"), 1]


def _whole(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise ValueError(f"{text} is none")
    return int(number)


def _labels(values: np.ndarray, source: str) -> np.ndarray:
    if values.ndim == 2 and values.shape[1] == CLASSES and set(np.unique(values)) <= {0, 1}:
        values = values.argmax(1)  # one-hot
    values = values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.number):
        raise UserError(f"{source}: shape {values.shape} of {values.dtype}, expected N numbers")
    if len(halves := np.flatnonzero(values != np.round(values))):
        told = f"label {values[halves[0]]:g} in row {halves[0]}"
        raise UserError(f"{source}: {told} is no whole number ({len(halves)} such)")
    if values.min() < 0 or values.max() >= CLASSES:
        raise UserError(f"{source}: a label outside 0..{CLASSES - 1}")
    return values.astype(np.int32)


def _pixels(values: np.ndarray, source: str) -> np.ndarray:
    """[N,784] of 0..255 or 0..1 -> [N,28,28] uint8."""
    size = SIDE * SIDE
    if values.ndim != 2 or values.shape[1] != size:
        raise UserError(f"{source}: shape {values.shape}, expected N x {size}")
    if not np.isfinite(values).all():
        raise UserError(f"{source}: NaN or infinite pixels")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        raise UserError(f"{source}: pixels from {low:g} to {high:g}, expected 0..255 or 0..1")
    scale = 255 if high <= 1 else 1
    return np.round(values * scale).astype(np.uint8).reshape(-1, SIDE, SIDE)


def _mfcc(values: np.ndarray, source: str) -> np.ndarray:
    size = FRAMES * COEFFICIENTS
    if values.shape[1:] not in ((size,), (FRAMES, COEFFICIENTS)):
        raise UserError(f"{source}: shape {values.shape}, expected N x {size}")
    if not np.isfinite(values).all():
        row = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))[0]
        raise UserError(f"{source}: NaN or infinite features in row {row}")
    return values.reshape(-1, FRAMES, COEFFICIENTS).astype(np.float32)


@exit_cleanly
def main() -> None:
    from fdigits.data.corpora import mnist

    parser = Parser("fdigits.data.corpora.written_spoken", "Remakes the database from its sources.")
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--out", type=path_of, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sources = {"mnist": mnist.find(args.data_dir), "gsc_digits": gsc_digits.find(args.data_dir)}
    for name, paths in sources.items():
        if not paths:
            from fdigits.data import download

            download.fetch(name, args.data_dir)
            sources[name] = {"mnist": mnist, "gsc_digits": gsc_digits}[name].find(args.data_dir)
    made = remake(mnist.read(sources["mnist"]), gsc_digits.read(sources["gsc_digits"]), args.seed)
    write(made, args.out)
    print(f"{args.out}: {len(made['image'])} pairs of a picture and a recording")


if __name__ == "__main__":
    main()
