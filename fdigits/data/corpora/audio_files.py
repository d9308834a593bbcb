"""Recordings in a folder or a tar archive.

What looks like a corpus' recording but is none of its names is left out, and said (`left_out`).
"""

import gzip
import io
import itertools
import math
import re
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fdigits.data.corpora.contents import ZIPPED, web_page
from fdigits.data.corpus import Recordings
from fdigits.errors import UserError

# what a file's name says: label, id, speaker, part; None for a file that does not belong
Fields = tuple[int, str, str, str]
Parse = Callable[[str], Fields | None]
SOUNDS = (".wav", ".flac")
ARCHIVES = (".tar", ".tar.gz", ".tgz")
DIGIT_FIRST = re.compile(r"(?:^|/)\d[^/]*$")  # how a recording's name looks in most corpora
# What other programs leave: a Mac's `._x.wav`; copies, `x (1).wav`; `x.wav.wav`.
_LEFT = re.compile(r"(?:^|/)\.|(?: \(\d+\)|(?: -)? copy(?: \d+)?|\.wav|\.flac)\.\w+$", re.I)
_NAMED = 3  # files that a line names


def find(data_dir: Path, folders: tuple[str, ...], parse: Parse) -> list[Path]:
    """The corpus' files below the first of `folders` with some, or the archives there, or []."""
    for folder in folders:
        wavs = [p for p in _sounds(data_dir / folder) if fields(p.as_posix(), parse)]
        if found := wavs or _archives(data_dir / folder):
            return found
    return []


def _sounds(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS)


def _archives(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("[!.]*") if _is_archive(p))


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


def fields(path: str, parse: Parse) -> Fields | None:
    """What a file's name says, its ending in any case; None if it is none of the corpus'."""
    if _LEFT.search(path.rpartition("/")[2]):
        return None
    name, dot, ending = path.rpartition(".")
    return parse(f"{name}{dot}{ending.lower()}")


def doubts(
    paths: list[Path], folders: tuple[str, ...], parse: Parse, like: re.Pattern = DIGIT_FIRST
) -> Iterator[str]:
    """What a person should know of the folder that `paths` were found in.

    Args:
      folders, parse: as of `find`.
      like: how a recording's path below that folder looks, or looks much like.
    """
    first = paths[0] if paths else Path()
    folder = next((parent for parent in first.parents if parent.name in folders), None)
    if not folder or _is_archive(first):
        return
    if archives := _archives(folder):
        yield f"{folder} holds recordings and {archives[0].name}: the archive is not read"
    yield from left_out([p.relative_to(folder).as_posix() for p in _sounds(folder)], parse, like)


def left_out(names: list[str], parse: Parse, like: re.Pattern) -> Iterator[str]:
    """Which of `names` look like recordings and are none, and which speakers have two spellings."""
    known = {name: found for name in names if (found := fields(name, parse))}
    odd = [
        n for n in sorted(names) if n not in known and like.search(re.sub(r"(^|/)\._", r"\1", n))
    ]
    if odd:
        some = ", ".join(odd[:_NAMED]) + (", ..." if len(odd) > _NAMED else "")
        yield f"left out for their names, though they look like recordings: {len(odd)} ({some})"
    speakers = sorted({found[2] for found in known.values()}, key=lambda name: (name.lower(), name))
    for one, other in itertools.pairwise(speakers):
        if one.lower() == other.lower():
            yield f"the speakers {one} and {other} are taken for two: are they one?"


def files(paths: list[Path], wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Path (with `/`) and bytes of each wanted file among `paths` and inside archives there."""
    for path in paths:
        if not _is_archive(path):
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
            why = web_page(_beginning(path)) or f" ({' '.join(str(error).split())})"
            raise UserError(f"{path}: not a whole tar archive{why}: fetch it again") from error


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _check_gzip(path: Path) -> None:
    """Reads a compressed archive to its end, where its checksum is; tarfile may stop before."""
    if _beginning(path).startswith(ZIPPED):
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


def channels(name: str, content: bytes, longest: float = math.inf) -> tuple[np.ndarray, int]:
    """Samples [T, channels] float32 in [-1, 1] and rate of a wav (or FLAC, OGG, MP3).

    Args:
      longest: seconds; what says that it lasts longer is not decoded.

    Raises:
      UserError: it is none, or lasts longer; names it.
    """
    import soundfile

    whole = io.BytesIO(with_size(content))
    try:
        with soundfile.SoundFile(whole) as file:
            rate, seconds = file.samplerate, len(file) / file.samplerate
            if seconds <= longest:
                samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        told = f"{name}: not a readable wav ({len(content)} bytes){web_page(content)}"
        raise UserError(f"{told}{_remedy(content)}") from error
    if seconds > longest:
        told = f"give a recording of one word, at most {longest:g} s"
        raise UserError(f"{name} lasts {seconds:.0f} s: {told}")
    if not len(samples):
        raise UserError(f"{name}: a wav without samples, it is empty or cut off: record it anew")
    return samples, rate


def _remedy(content: bytes) -> str:
    """What to do about bytes that no decoder here knows."""
    kinds = {b"ftyp": "M4A (AAC), as phones record", b"\x1aE\xdf\xa3": "WebM", b"#!AMR": "AMR"}
    found = next((kind for mark, kind in kinds.items() if mark in content[:12]), "")
    known = "save it as WAV, FLAC, OGG or MP3"
    return f", it looks like {found}: {known}" if found else f": {known}" * bool(content)


def cut(content: bytes) -> str:
    """How much of a wav is there, where its header promises more; "" of a whole one, and of a
    stream, whose header knows no size."""
    for at, name, size in _pieces(content):
        there = len(content) - at - 8
        if name == b"data" and there < size < 1 << 30:
            return f"the file is cut off: {there / size:.0%} of it is there"
    return ""


def _pieces(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Where each piece of a wav begins, its name and its size."""
    at = 12 if content[:4] == b"RIFF" else len(content)
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        yield at, name, size
        at += 8 + size + size % 2


def with_size(content: bytes) -> bytes:
    """A wav whose header says that it holds no samples, as a stream's: all that follow are its own.

    Other bytes are as they were; of other sizes that are too large soundfile takes what is there.
    """
    for at, name, size in _pieces(content):
        if name == b"data" and not size:
            rest = len(content) - at - 8
            return content[: at + 4] + rest.to_bytes(4, "little") + content[at + 8 :]
    return content


def read(
    paths: list[Path],
    parse: Parse,
    corpus: str,
    keep_offset: bool,
    rate: int = 0,
    like: re.Pattern = DIGIT_FIRST,
) -> Recordings:
    """All recordings whose path `parse` knows, sorted by id; says what an archive holds beside.

    Args:
      paths: wavs or archives.
      parse: path -> (label, id, speaker, part), None if the file is none of the corpus'.
      corpus: what errors call it.
      keep_offset: keeps a recording's constant offset (only the audit wants it).
      rate: Hz, to which all are brought; 0 = they have one rate.
      like: as of `doubts`.

    Raises:
      UserError: no recording; one that is no wav; two rates; a name twice.
    """
    found, names = [], []

    def wanted(name: str) -> bool:
        names.append(name)
        return fields(name, parse) is not None

    for name, content in files(paths, wanted):
        samples, own = decode(name, content)
        samples, own = (resampled(samples, own, rate), rate) if rate else (samples, own)
        samples = samples if keep_offset else samples - samples.mean()
        found.append((fields(name, parse), samples, own))
    if paths and _is_archive(paths[0]):
        sounds = [name for name in names if name.lower().endswith(SOUNDS)]
        for doubt in left_out(sounds, parse, like):
            print(f"{corpus}: in {paths[0].name} {doubt}", file=sys.stderr)
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
