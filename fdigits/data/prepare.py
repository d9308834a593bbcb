"""Data sets by name, prepared once and cached.

A cache file is a plain npz of one data set's arrays with a fingerprint of its source files and of
the features' settings. Where the source is absent the cache alone is used, and NumPy suffices.
"""

import dataclasses
import hashlib
import importlib
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

from fdigits.config import nearest
from fdigits.data import corpus, features
from fdigits.data.corpus import MODALITIES, Corpus, Recordings
from fdigits.errors import UserError
from fdigits.files import write_arrays

IMAGE = ("mnist", "reduced_mnist", "digits")
AUDIO = ("fsdd", "gsc_digits", "audio_mnist", "espeak")
PAIRED = ("written_spoken",)
SHIPPED = ("digits", "espeak")
CACHE = "~/.cache/fdigits"
VERSIONS = {  # of the cache files' form and of the features; pictures are as in "audio"
    "audio": f"1.{features.VERSION}",
    "spectrogram": f"1.spectrogram.{features.SPECTROGRAM_VERSION}",
}

_FEATURES = {"audio": features.mfcc, "spectrogram": features.spectrogram}
_COLUMNS = ("x", "label", "id", "speaker", "part")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, EOFError)


def load(
    name: str,
    data_dir: Path | str = "data",
    cache_dir: Path | str = CACHE,
    spectrogram: bool = False,
) -> dict[str, Corpus]:
    """The corpora of a data set, `{"image": Corpus, "audio": Corpus}` or one of them.

    Args:
      name: an image set, an audio set, "written_spoken", "bundled", or "<image set>_<audio set>".
      data_dir: folder with the source files; what is missing there is downloaded if it can be.
      cache_dir: folder of prepared arrays.
      spectrogram: recordings as pictures, `{"spectrogram": Corpus}` in place of "audio"; those of
        `espeak`, which ships without recordings, are smooth (`features.smoothed`).

    Raises:
      UserError: no such data set; missing files; a damaged or wrong file; spectrograms of a set
        that has none.
    """
    corpora: dict[str, Corpus] = {}
    for member in members(name):
        if spectrogram and member in PAIRED:
            raise UserError(
                f"{member} has MFCC only, of unknown scale: spectrograms need recordings, "
                f"one of {', '.join(AUDIO)}"
            )
        kind = "spectrogram" if spectrogram and member in AUDIO else "audio"
        folders = Path(data_dir).expanduser(), Path(cache_dir).expanduser()
        corpora |= _load_one(member, *folders, kind)
    return corpora


def members(name: str) -> tuple[str, ...]:
    """The data sets that `name` is made of: one, or an image and an audio set.

    Raises:
      UserError: no such data set; names the nearest.
    """
    pairs = {f"{image}_{audio}": (image, audio) for image in IMAGE for audio in AUDIO}
    known = {one: (one,) for one in (*IMAGE, *AUDIO, *PAIRED)}
    known |= {"bundled": SHIPPED} | pairs
    if name not in known:
        raise UserError(
            f"unknown data set {name!r}{nearest(name, known)}; there are bundled, "
            f"{', '.join((*PAIRED, *IMAGE, *AUDIO))} and <image set>_<audio set>"
        )
    return known[name]


def is_paired(name: str) -> bool:
    """Whether row i of image and of audio belong together."""
    return name in PAIRED


def _load_one(name: str, data_dir: Path, cache_dir: Path, kind: str) -> dict[str, Corpus]:
    if name in SHIPPED:
        from fdigits.data.corpora import bundled

        held = bundled.read(name)
        return held if kind == "audio" else {kind: _smoothed(held["audio"])}
    source = importlib.import_module(f"fdigits.data.corpora.{name}")
    cache = cache_dir / (f"{name}.npz" if kind == "audio" else f"{name}.{kind}.npz")
    paths = source.find(data_dir)
    cached, fingerprint_of_cache, damage = None, "", ""
    if cache.exists():
        try:
            cached, fingerprint_of_cache = _read_cache(name, cache, VERSIONS[kind])
        except UserError as error:
            damage = str(error)
    if not paths and cached:
        return cached
    if not paths:
        from fdigits.data import download

        try:
            download.fetch(name, data_dir)
        except UserError as error:
            raise UserError(f"{damage}; {error}" if damage else str(error)) from error
        paths = source.find(data_dir)
    now = fingerprint(paths, data_dir, VERSIONS[kind])
    if cached and now == fingerprint_of_cache:
        return cached
    if damage:
        print(f"{damage}: preparing it anew", file=sys.stderr)
    corpora = build(name, paths, kind)
    try:
        _write_cache(cache, corpora, now, VERSIONS[kind])
    except OSError as error:
        print(f"cannot keep {cache} ({error}): it will be prepared again", file=sys.stderr)
    return corpora


def build(name: str, paths: list[Path], kind: str = "audio") -> dict[str, Corpus]:
    """Reads source files and extracts features, MFCC or "spectrogram", without a cache."""
    found = importlib.import_module(f"fdigits.data.corpora.{name}").read(paths)
    if isinstance(found, dict):
        return found
    if isinstance(found, Corpus):
        return {"image": found}
    return {kind: from_recordings(name, found, kind)}


def from_recordings(name: str, found: Recordings, kind: str = "audio") -> Corpus:
    """Corpus of recordings' MFCC, or of their spectrograms."""
    x = features.extract(found, feature=_FEATURES[kind])
    return corpus.check(Corpus(name, x, found.label, found.id, found.speaker, found.part), name)


def _smoothed(audio: Corpus) -> Corpus:
    return dataclasses.replace(audio, x=features.smoothed(audio.x))


def fingerprint(paths: list[Path], data_dir: Path, version: str) -> str:
    """sha256 over the source files' names below `data_dir`, sizes and digests, and `version`."""
    total = hashlib.sha256(version.encode())
    for path in sorted(paths):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(data_dir).as_posix()
        total.update(f"\n{name} {path.stat().st_size} {digest}".encode())
    return total.hexdigest()


def _write_cache(cache: Path, corpora: dict[str, Corpus], now: str, version: str) -> None:
    arrays = {
        f"{modality}.{column}": getattr(one, column)
        for modality, one in corpora.items()
        for column in _COLUMNS
    }
    write_arrays(cache, fingerprint=np.array(now), version=np.array(version), **arrays)


def _read_cache(name: str, cache: Path, version: str) -> tuple[dict[str, Corpus], str]:
    try:
        with np.load(cache, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        found = str(arrays["version"])
        if found == version:
            corpora = {
                modality: corpus.check(
                    Corpus(name, *(arrays[f"{modality}.{column}"] for column in _COLUMNS)),
                    f"prepared file {cache}",
                )
                for modality in MODALITIES
                if f"{modality}.x" in arrays
            }
            return corpora, str(arrays["fingerprint"])
    except _UNREADABLE as error:
        raise UserError(f"prepared file {cache} is damaged") from error
    raise UserError(f"prepared file {cache} is of version {found}, not {version}")
