"""Recordings in a folder or a tar archive."""

import gzip
import io
import itertools
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fdigits.data.corpus import Recordings
from fdigits.errors import UserError

# what a file's name says: label, id, speaker, part; None for a file that does not belong
Fields = tuple[int, str, str, str]
SOUNDS = ("*.wav", "*.flac")
ARCHIVES = ("*.tar", "*.tar.gz", "*.tgz")


def find(
    data_dir: Path, folders: tuple[str, ...], parse: Callable[[str], Fields | None]
) -> list[Path]:
    """The corpus' files below the first of `folders` with some, or the archives there, or []."""
    for folder in folders:
        sounds = (p for kind in SOUNDS for p in (data_dir / folder).rglob(kind))
        wavs = sorted(p for p in sounds if parse(p.as_posix()))
        archives = sorted(p for a in ARCHIVES for p in (data_dir / folder).glob(a))
        if wavs or archives:
            return wavs or archives
    return []


def files(paths: list[Path], wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Path (with `/`) and bytes of each wanted file among `paths` and inside archives there."""
    for path in paths:
        if not path.name.endswith((".tar", ".tar.gz", ".tgz")):
            if wanted(path.as_posix()):
                yield path.as_posix(), path.read_bytes()
            continue
        try:
            _check_gzip(path)
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and wanted(member.name):
                        yield member.name, archive.extractfile(member).read()
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise UserError(f"{path}: not a whole tar archive ({error}): fetch it again") from error


def _check_gzip(path: Path) -> None:
    """Reads a compressed archive to its end, where its checksum is; tarfile may stop before."""
    if path.suffix != ".tar":
        with gzip.open(path) as whole:
            while whole.read(1 << 20):
                pass


def decode(name: str, content: bytes) -> tuple[np.ndarray, int]:
    """Samples [T] float32 in [-1, 1] (channels averaged) and rate of a wav (or FLAC, OGG).

    Raises:
      UserError: it is none; names it.
    """
    samples, rate = channels(name, content)
    return samples.mean(axis=1), rate


def resampled(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """`samples` [T] of `rate` Hz at `to` Hz, float32."""
    import soxr

    return soxr.resample(samples, rate, to) if rate != to else samples


def channels(name: str, content: bytes) -> tuple[np.ndarray, int]:
    """Samples [T, channels] float32 in [-1, 1] and rate of a wav (or FLAC, OGG, MP3).

    Raises:
      UserError: it is none; names it.
    """
    import soundfile

    whole = io.BytesIO(with_size(content))
    try:
        samples, rate = soundfile.read(whole, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        raise UserError(f"{name}: not a readable wav ({len(content)} bytes)") from error
    if not len(samples):
        raise UserError(f"{name}: a wav without samples")
    return samples, rate


def with_size(content: bytes) -> bytes:
    """A wav whose header says that it holds no samples, as a stream's: all that follow are its own.

    Other bytes are as they were; of other sizes that are too large soundfile takes what is there.
    """
    at = 12 if content[:4] == b"RIFF" else len(content)
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data" and not size:
            rest = len(content) - at - 8
            return content[: at + 4] + rest.to_bytes(4, "little") + content[at + 8 :]
        at += 8 + size + size % 2
    return content


def read(
    paths: list[Path],
    parse: Callable[[str], Fields | None],
    corpus: str,
    keep_offset: bool,
    rate: int = 0,
) -> Recordings:
    """All recordings whose path `parse` knows, sorted by id.

    Args:
      paths: wavs or archives.
      parse: path -> (label, id, speaker, part), None if the file is none of the corpus'.
      corpus: what errors call it.
      keep_offset: keeps a recording's constant offset (only the audit wants it).
      rate: Hz, to which all are brought; 0 = they have one rate.

    Raises:
      UserError: no recording; one that is no wav; two rates; a name twice.
    """
    found = []
    for name, content in files(paths, lambda path: parse(path) is not None):
        samples, own = decode(name, content)
        samples, own = (resampled(samples, own, rate), rate) if rate else (samples, own)
        found.append((parse(name), samples if keep_offset else samples - samples.mean(), own))
    if not found:
        raise UserError(f"{paths[0] if paths else corpus}: no recording of {corpus} in it")
    return gathered(found, corpus)


def gathered(found: list[tuple[Fields, np.ndarray, int]], corpus: str) -> Recordings:
    """Fields, samples and rate of each recording, sorted by id.

    Raises:
      UserError: two rates; a name twice.
    """
    found.sort(key=lambda item: item[0][1])
    names = [fields[1] for fields, _, _ in found]
    for one, other in itertools.pairwise(names):
        if one == other:
            raise UserError(f"{corpus}: recording {one} is there twice")
    rate = found[0][2]
    for fields, _, other in found:
        if other != rate:
            raise UserError(f"{corpus}: {fields[1]} has {other} Hz, {names[0]} has {rate} Hz")
    label, ids, speaker, part = zip(*(fields for fields, _, _ in found), strict=True)
    return Recordings(
        [samples for _, samples, _ in found],
        rate,
        np.array(label, np.int32),
        np.array(ids),
        np.array(speaker),
        np.array(part),
    )
