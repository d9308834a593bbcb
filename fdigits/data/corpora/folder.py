"""A person's own folder: `{digit}/` with pictures, recordings, or both, at any depth below it.

`{digit}` is 0 to 9 or zero to nine. Files are read as `predict` reads them, so photographs will do,
and a recording of stereo sound, or of up to two minutes. There are no speakers and no official
parts: all is "train". Which picture belongs to which recording is not asked: they meet by digit,
as in any pair of two sets.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fdigits.data import features, recordings
from fdigits.data.corpora import audio_files
from fdigits.data.corpus import CLASSES, WORDS, Corpus, Recordings, check
from fdigits.errors import UserError

KINDS = {"image": "picture", "audio": "recording"}
# What cannot be decoded (.m4a, .heic) is told of rather than passed over.
SOUNDS = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
    + (".m4a", ".aac", ".amr", ".wma")
)
DIGITS = {name: digit for digit, word in enumerate(WORDS) for name in (str(digit), word)}
RATE = 16_000  # Hz, of recordings that have several rates
_FEW = 300  # files for which no worker is started
_NAMED = 5  # files that a warning names


@dataclasses.dataclass(frozen=True)
class Folder:
    """The reader of one kind of file in one folder."""

    root: Path
    modality: str  # of `KINDS`

    def find(self, _: Path) -> list[Path]:
        """Its files, wherever other data lie."""
        return sorted(files(self.root, KINDS[self.modality]))

    def read(self, paths: list[Path], keep_offset: bool = False) -> Corpus | Recordings:
        """What can be read of `paths`; ids are their names below the folder.

        Raises:
          UserError: nothing can be; tells what is wrong with the first.
        """
        found = {path: one for path, one in zip(paths, self._tried(paths), strict=True) if one}
        if not found:
            kind = KINDS[self.modality]
            told = f"{self.root}: not one {kind} can be read; {self._wrong(paths[0])}"
            if others := [KINDS[name] for name in modalities(self.root) if name != self.modality]:
                told += f"; {others[0]}s:{self.root} is its {others[0]}s alone"
            raise UserError(told)
        columns = self._columns(list(found))
        if self.modality == "image":
            x = np.stack([seen.image for seen in found.values()])
            return check(Corpus(self.root.name, x, *columns), str(self.root))
        rates = {rate for _, rate in found.values()}
        rate = rates.pop() if len(rates) == 1 else RATE
        signals = [audio_files.resampled(signal, own, rate) for signal, own in found.values()]
        return Recordings(
            [signal if keep_offset else signal - signal.mean() for signal in signals],
            rate,
            *columns,
        )

    def doubts(self, paths: list[Path], corpus: Corpus) -> Iterator[str]:
        """What a person should know of their folder, of whose `paths` the `corpus` was made."""
        held = set(corpus.id.tolist())
        lost = [path for path in paths if path.relative_to(self.root).as_posix() not in held]
        kinds = f"{KINDS[self.modality]}s"
        if lost:
            names = self._named([path.relative_to(self.root).as_posix() for path in lost])
            yield (
                f"{len(lost)} of {len(paths)} {kinds} cannot be read and are left out: {names}; "
                f"{self._wrong(lost[0])}"
            )
        if absent := sorted({*range(CLASSES)} - {*corpus.label.tolist()}):
            yield f"there are no {kinds} of {', '.join(map(str, absent))}"
        if self.modality == "image" and not (seen := corpus.x.any((1, 2))).all():
            names = self._named(corpus.id[~seen].tolist())
            yield f"in {(~seen).sum()} of {len(seen)} {kinds} nothing is seen: {names}"

    def _columns(self, paths: list[Path]) -> tuple[np.ndarray, ...]:
        """Label, id, speaker and part of each file."""
        below = [path.relative_to(self.root) for path in paths]
        return (
            np.array([DIGITS[name.parts[0].lower()] for name in below], np.int32),
            np.array([name.as_posix() for name in below]),
            np.full(len(below), ""),
            np.full(len(below), "train"),
        )

    def _tried(self, paths: list[Path]) -> Iterator:
        """What each file holds, None where it cannot be read; many are read by all processors."""
        import joblib
        from rich.progress import track

        jobs = (joblib.delayed(_try)(self._read_one, path) for path in paths)
        many = len(paths) > _FEW
        done = joblib.Parallel(-1 if many else 1, return_as="generator", batch_size=64)(jobs)
        told = f"reading {KINDS[self.modality]}s of {self.root.name}"
        return track(done, told, total=len(paths)) if many else done

    def _read_one(self, path: Path):
        from fdigits.data import pictures  # whoever reads a cache may have no Pillow

        if self.modality == "image":
            return pictures.read(path)
        signal, rate, _ = recordings.load(path)
        features.checked(signal, str(path))  # refuses what is not finite
        return signal, rate

    def _wrong(self, path: Path) -> str:
        """What is wrong with a file that cannot be read."""
        try:
            self._read_one(path)
        except UserError as error:
            return str(error).replace(f"{self.root}/", "")
        return f"{path} can be read now"

    @staticmethod
    def _named(names: list[str]) -> str:
        more = len(names) - _NAMED
        return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _try(read, path: Path):
    try:
        return read(path)
    except UserError:
        return None


def modalities(root: Path) -> list[str]:
    """Which of `KINDS` there are in a folder of digits.

    Raises:
      UserError: no such folder, or none of digits; says what is expected.
    """
    try:
        held = [
            modality for modality, kind in KINDS.items() if any(True for _ in files(root, kind))
        ]
        inside = [] if held else [one.name for one in root.iterdir() if _digits(one)]
    except OSError as error:
        raise UserError(f"folder:{root}: {error.strerror.lower()}") from None
    if held:
        return held
    nearer = f"; folder:{root}/{min(inside)} has some" if inside else ""
    raise UserError(
        f"folder:{root} holds no digits: expected are folders 0 to 9 or zero to nine in it, with "
        f"pictures (.png, .jpg, ...) or recordings (.wav, .flac, .ogg, .mp3, ...){nearer}"
    )


def files(root: Path, kind: str) -> Iterator[Path]:
    """The files of one kind in the folders of digits."""
    return itertools.chain.from_iterable(inside(folder, kind) for folder in _digits(root))


def _digits(root: Path) -> list[Path]:
    """The folders of digits in a folder."""
    if not root.is_dir():
        return []
    return [one for one in root.iterdir() if one.name.lower() in DIGITS and one.is_dir()]


def inside(folder: Path, kind: str) -> Iterator[Path]:
    """The pictures or recordings below a folder, by their names' ends; hidden ones are left out."""
    from PIL import Image

    ends = {*Image.registered_extensions(), ".heic"} if kind == "picture" else SOUNDS
    return (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ends
        and path.is_file()
        and not any(part[0] == "." for part in path.relative_to(folder).parts)
    )
