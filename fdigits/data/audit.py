"""What stands on both sides of a split.

python -m fdigits.data.audit CORPUS [--split paper] [--speaker NAME] [--data-dir DIR]

Counts per class, split and speaker; equal and nearly equal items within and across splits; shared
speakers; level and constant offset of each speaker where recordings are at hand.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from fdigits.arguments import Parser
from fdigits.config import DATA
from fdigits.data import datasets, pairing, prepare
from fdigits.data.corpus import CLASSES, PARTS, Corpus, Recordings
from fdigits.data.datasets import Dataset
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of

# Cosine of two items' centred features from which they are nearly equal. Measured: no two of FSDD's
# 3,000 recordings reach .984 and 3 of 60,000 MNIST images find another at .99; copies reach .99
# when padded or amplified (all), mu-law coded (95% of them .997), with noise at -40 dB (.999), as
# JPEG (.995).
NEAR = 0.99
_MANY_SPEAKERS = 24
_ROWS_AT_ONCE = 2_048


@dataclasses.dataclass(frozen=True)
class Twins:
    """For each item [N] and each part [3]: whether the part holds another item equal to it."""

    exact: np.ndarray  # [N, 3] bool
    near: np.ndarray  # [N, 3] bool; exact twins included

    def count(self, kind: str, rows: np.ndarray, part: str) -> int:
        """Items among `rows` that have a twin in `part`."""
        return int(getattr(self, kind)[rows, PARTS.index(part)].sum())


def twins(x: np.ndarray, rows: dict[str, np.ndarray], near: float = NEAR) -> Twins:
    """Equal and nearly equal items of `x` [N, ...] in the parts `rows`.

    Near: cosine of the features less their mean over the items >= `near`.
    """
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    exact = _exact(flat, rows)
    return Twins(exact, exact | _near(flat, rows, near))


def _exact(flat: np.ndarray, rows: dict[str, np.ndarray]) -> np.ndarray:
    keys = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    _, group = np.unique(keys, return_inverse=True)
    found = np.zeros((len(flat), len(PARTS)), bool)
    for column, part in enumerate(PARTS):
        held = np.bincount(group[rows[part]], minlength=len(flat))[group]
        held[rows[part]] -= 1
        found[:, column] = held > 0
    return found


def _near(flat: np.ndarray, rows: dict[str, np.ndarray], near: float) -> np.ndarray:
    unit = flat.astype(np.float32)
    unit -= unit.mean(axis=0, dtype=np.float64).astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    found = np.zeros((len(flat), len(PARTS)), bool)
    for column, part in enumerate(PARTS):
        held = unit[rows[part]]
        place = np.full(len(flat), -1)
        place[rows[part]] = np.arange(len(held))
        for start in range(0, len(flat), _ROWS_AT_ONCE):
            asked = slice(start, start + _ROWS_AT_ONCE)
            similarity = unit[asked] @ held.T
            own = np.flatnonzero(place[asked] >= 0)
            similarity[own, place[asked][own]] = -1
            found[asked, column] = similarity.max(axis=1, initial=-1) >= near
    return found


def shared_speakers(corpus: Corpus, rows: dict[str, np.ndarray]) -> dict[str, tuple[int, int, int]]:
    """Part -> (its speakers, those of them who are in train too, its items by those)."""
    in_train = np.unique(corpus.speaker[rows["train"]])
    table = {}
    for part in PARTS:
        speaker = corpus.speaker[rows[part]]
        names = np.unique(speaker)
        shared = np.isin(speaker, in_train)
        table[part] = (len(names), int(np.isin(names, in_train).sum()), int(shared.sum()))
    return table


def levels(recordings: Recordings) -> dict[str, tuple[float, float, float]]:
    """Speaker -> median RMS, median peak and median constant offset, of full scale 32,768."""
    measured = np.array(
        [
            (np.sqrt(np.mean(s**2, dtype=np.float64)), np.abs(s).max(), s.mean(dtype=np.float64))
            for s in recordings.signal
        ]
    )
    return {
        speaker: tuple(np.median(measured[recordings.speaker == speaker], axis=0) * 32_768)
        for speaker in np.unique(recordings.speaker).tolist()
    }


def audit(modality: str, corpus: Corpus, rows: dict[str, np.ndarray], console: Console) -> None:
    """Prints the tables of one modality."""
    title = f"{corpus.name} · {modality}"
    console.print(_counts(corpus, rows, title))
    known = corpus.speaker.astype(bool).any()
    if known and len(np.unique(corpus.speaker)) <= _MANY_SPEAKERS:
        console.print(_counts_by_speaker(corpus, rows, title))
    console.print(_twins_table(twins(corpus.x, rows), rows, title))
    if known:
        console.print(_speakers_table(shared_speakers(corpus, rows), rows, title))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table


def _per_class(label: np.ndarray) -> list[str]:
    return [str(n) for n in np.bincount(label, minlength=CLASSES)] + [str(len(label))]


def _counts(corpus: Corpus, rows: dict[str, np.ndarray], title: str) -> Table:
    table = _table(f"{title}: items per class", "split", *map(str, range(CLASSES)), "all")
    for part in PARTS:
        table.add_row(part, *_per_class(corpus.label[rows[part]]))
    return table


def _counts_by_speaker(corpus: Corpus, rows: dict[str, np.ndarray], title: str) -> Table:
    table = _table(
        f"{title}: items per speaker and class",
        "speaker",
        "split",
        *map(str, range(CLASSES)),
        "all",
    )
    for speaker in np.unique(corpus.speaker).tolist():
        for part in PARTS:
            label = corpus.label[rows[part]][corpus.speaker[rows[part]] == speaker]
            if len(label):
                table.add_row(speaker, part, *_per_class(label))
    return table


def _twins_table(found: Twins, rows: dict[str, np.ndarray], title: str) -> Table:
    table = _table(f"{title}: items with a twin", "of", "in", "equal", "nearly", "share")
    for i, part in enumerate(PARTS):
        for other in PARTS[: i + 1]:
            exact, near = (found.count(kind, rows[part], other) for kind in ("exact", "near"))
            share = f"{near / max(1, len(rows[part])):.1%}"
            table.add_row(part, other, str(exact), str(near), share)
    return table


def _speakers_table(shared: dict, rows: dict[str, np.ndarray], title: str) -> Table:
    table = _table(
        f"{title}: speakers", "split", "speakers", "in train too", "items by them", "share"
    )
    for part in PARTS[1:]:
        speakers, known, items = shared[part]
        share = f"{items / max(1, len(rows[part])):.1%}"
        table.add_row(part, str(speakers), str(known), str(items), share)
    return table


def _levels_table(measured: dict, title: str) -> Table:
    table = _table(
        f"{title}: medians of 32,768, before features", "speaker", "RMS", "peak", "offset"
    )
    for speaker, (rms, peak, offset) in measured.items():
        table.add_row(speaker, f"{rms:.0f}", f"{peak:.0f}", f"{offset:+.1f}")
    return table


def _recordings(dataset: Dataset, data_dir: Path) -> Recordings | None:
    if dataset.joins or not dataset.recorded or dataset.ships:
        return None
    paths = dataset.reader.find(data_dir)
    return dataset.reader.read(paths, keep_offset=True) if paths else None


@exit_cleanly
def main(argv: list[str] | None = None) -> None:
    parser = Parser("fdigits.data.audit", __doc__.splitlines()[0])
    parser.add_argument("corpus", help="a data set's name: fsdd, mnist_fsdd, written_spoken, ...")
    parser.add_argument("--split", help="paper, official, random or speaker; else as a run's")
    parser.add_argument("--speaker", default="", help="held out by --split=speaker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--cache-dir", type=path_of, default=Path(DATA["cache"]))
    args = parser.parse_args(argv)
    corpora = prepare.load(args.corpus, args.data_dir, args.cache_dir)
    policy = args.split or datasets.default_split(args.corpus)
    if args.speaker and policy != "speaker":
        raise UserError(f"--speaker={args.speaker} is held out by --split=speaker only")
    splits = pairing.splits(
        corpora,
        paired=datasets.is_paired(args.corpus),
        policy=policy,
        seed=args.seed,
        speaker=args.speaker,
    )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"split {policy}, seed {args.seed}")
    for modality, corpus in corpora.items():
        rows = {part: split.rows[modality] for part, split in splits.items()}
        audit(modality, corpus, rows, console)
    for dataset in datasets.find(args.corpus):
        recordings = _recordings(dataset, args.data_dir)
        if recordings:
            console.print(_levels_table(levels(recordings), dataset.short))


if __name__ == "__main__":
    main()
