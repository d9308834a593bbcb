"""Data sets by name, prepared once and cached.

A cache file is a plain npz of one data set's arrays with a fingerprint of its source files and of
the features' settings. Where the source is absent the cache alone is used, NumPy suffices, and a
line on stderr says so. Only a person's own data, which are another set in each folder, need their
source at hand.
"""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np

from fdigits.config import DATA
from fdigits.data import corpus, datasets, download, features, recordings
from fdigits.data.corpus import MODALITIES, RECORDED, Corpus, Recordings
from fdigits.data.datasets import Dataset
from fdigits.errors import UserError, full
from fdigits.files import path_of, read_arrays, write_arrays

VERSIONS = {  # of the cache files' form and of what is in them
    "image": "1.1",
    "audio": f"1.{features.VERSION}",
    "spectrogram": f"1.spectrogram.{features.SPECTROGRAM_VERSION}",
    "frames": f"1.frames.{features.FRAMES_VERSION}",
    "mean_mfcc": f"1.mean_mfcc.{features.MEAN_VERSION}",
    "word": f"1.word.{recordings.VERSION}",
}

_FEATURES = {
    "audio": features.mfcc,
    "spectrogram": features.spectrogram,
    "frames": features.frames,
    "mean_mfcc": features.mean_mfcc,
    "word": recordings.word,
}
_STAND_INS = {  # of MFCC
    "spectrogram": features.smoothed,
    "frames": features.sounding,
    "mean_mfcc": features.described,
}
_COLUMNS = ("x", "label", "id", "speaker", "part")


def load(
    name: str,
    data_dir: Path | str = DATA["dir"],
    cache_dir: Path | str = DATA["cache"],
    modalities: Collection[str] = (),
) -> dict[str, Corpus]:
    """The corpora of a data set, `{"image": Corpus, "audio": Corpus}` or one of them.

    Args:
      name: as `datasets.find`: "mnist", "bundled", "mnist_fsdd", "fsdd+gsc_partial", ...
      data_dir: folder with the source files; what is missing there is downloaded if it can be.
      cache_dir: folder of prepared arrays.
      modalities: what is wanted. Of each set it is the one that is offered and wanted, else the
        set's first: recordings are MFCC ("audio") unless another of `RECORDED` is wanted, which
        then stands in the place of "audio". Of `espeak`, which ships without recordings, those are
        stand-ins (`features.smoothed`, `features.sounding`, `features.described`); of
        words there is none.

    Raises:
      UserError: no such data set; missing files; a damaged or wrong file; something wanted of
        recordings where there are none, or two things of one recording.
    """
    folders = path_of(data_dir), path_of(cache_dir)
    corpora: dict[str, Corpus] = {}
    for dataset in datasets.find(name):
        corpora |= _load_one(dataset, *folders, _wanted(dataset, modalities))
    return corpora


def _wanted(dataset: Dataset, modalities: Collection[str]) -> str:
    """The one modality that is made of a data set's items; its first stands for pairs."""
    offered = [m for m in dataset.modalities if m in modalities]
    if dataset.paired:
        absent = [m for m in RECORDED if m in modalities and m not in dataset.modalities]
        if absent:
            titles = " or ".join(MODALITIES[m].title for m in absent)
            raise UserError(
                f"{dataset.name} has MFCC only, of unknown scale: {titles} need recordings, one of "
                f"{_recorded()}"
            )
        return dataset.modalities[0]
    if len(offered) > 1:
        raise UserError(f"{dataset.name} is read as one of {', '.join(offered)}, not as several")
    return (offered or dataset.modalities)[0]


def _recorded() -> str:
    """The data sets of whose recordings anything can be made."""
    return ", ".join(
        one.name for one in datasets.DATASETS.values() if one.recorded and not one.ships
    )


def _load_one(
    dataset: Dataset, data_dir: Path, cache_dir: Path, modality: str
) -> dict[str, Corpus]:
    if dataset.joins:
        loaded = [_load_one(one, data_dir, cache_dir, modality)[modality] for one in dataset.joins]
        return {modality: corpus.joined(loaded)}
    if dataset.ships:
        return _shipped(dataset, modality)
    corpora, paths = _sourced(dataset, data_dir, cache_dir, modality)
    if doubts := getattr(dataset.reader, "doubts", None):
        for doubt in doubts(paths, corpora[modality]):
            print(f"{dataset.name}: {doubt}", file=sys.stderr)
    return corpora


def _with(fingerprint: str, corpora: dict[str, Corpus]) -> dict[str, Corpus]:
    return {m: dataclasses.replace(one, fingerprint=fingerprint) for m, one in corpora.items()}


def _sourced(
    dataset: Dataset, data_dir: Path, cache_dir: Path, modality: str
) -> tuple[dict[str, Corpus], list[Path]]:
    """What is cached of a set's source files, or made of them, and those files."""
    cache = cache_dir / _cache_name(dataset, data_dir, modality)
    paths = dataset.reader.find(data_dir)
    version = VERSIONS[modality] + (f".{dataset.reader.VERSION}" if dataset.made else "")
    holds = dataset.modalities if dataset.paired else (modality,)
    cached, fingerprint_of_cache, damage = None, "", ""
    if cache.exists() and (paths or not dataset.own):
        try:
            cached, fingerprint_of_cache = _read_cache(dataset.short, cache, version, holds)
        except UserError as error:
            damage = str(error)
    if not paths and cached:
        if not dataset.made:
            print(
                f"{data_dir} holds no source of {dataset.name}: the prepared file {cache} is used",
                file=sys.stderr,
            )
        return _with(fingerprint_of_cache, cached), paths
    if not paths and not dataset.made:
        try:
            fetch = getattr(dataset.reader, "fetch", partial(download.fetch, dataset.name))
            fetch(data_dir)
        except UserError as error:
            raise UserError(f"{damage}; {error}" if damage else str(error)) from error
        paths = dataset.reader.find(data_dir)
    now = fingerprint(paths, data_dir, version)
    if cached and now == fingerprint_of_cache:
        return _with(now, cached), paths
    if damage:
        print(f"{damage}: preparing it anew", file=sys.stderr)
    corpora = build(dataset, paths, modality)
    try:
        _write_cache(cache, corpora, now, version)
    except OSError as error:  # a folder that cannot be written to harms nothing, a full disk will
        if full(error):
            raise
        print(f"cannot keep {cache} ({error}): it will be prepared again", file=sys.stderr)
    return _with(now, corpora), paths


def _shipped(dataset: Dataset, modality: str) -> dict[str, Corpus]:
    read = dataset.reader.read(dataset.name)
    held = _with(_digest(read, VERSIONS[modality]), read)
    if modality in held:
        return held
    if modality not in _STAND_INS:
        raise UserError(
            f"{dataset.name} ships as MFCC: {MODALITIES[modality].title} need recordings, one of "
            f"{_recorded()}"
        )
    audio = held["audio"]
    return {modality: dataclasses.replace(audio, x=_STAND_INS[modality](audio.x))}


def _digest(corpora: dict[str, Corpus], version: str) -> str:
    """sha256 over the arrays of what ships, and `version`."""
    total = hashlib.sha256(version.encode())
    for one in corpora.values():
        for column in _COLUMNS:
            total.update(np.ascontiguousarray(getattr(one, column)).tobytes())
    return total.hexdigest()


def _cache_name(dataset: Dataset, data_dir: Path, modality: str) -> str:
    """`fsdd.npz`, `fsdd.frames.npz`; what is another set in each place: one name for each."""
    place = dataset.name if dataset.source else str(data_dir.resolve()) if dataset.own else ""
    folder = hashlib.sha256(place.encode()).hexdigest()[:12]
    name = f"{dataset.short}-{folder}" if place else dataset.name
    return f"{name}.npz" if modality == dataset.modalities[0] else f"{name}.{modality}.npz"


def build(dataset: Dataset, paths: list[Path], modality: str = "audio") -> dict[str, Corpus]:
    """Reads source files, without a cache; of recordings it makes the `modality`."""
    found = dataset.reader.read(paths)
    if isinstance(found, dict):
        return found
    if isinstance(found, Corpus):
        return {"image": found}
    return {modality: from_recordings(dataset.short, found, modality)}


def from_recordings(name: str, found: Recordings, modality: str = "audio") -> Corpus:
    """Corpus of one of `RECORDED` made of recordings."""
    x = features.extract(found, feature=_FEATURES[modality])
    return corpus.check(Corpus(name, x, found.label, found.id, found.speaker, found.part), name)


def fingerprint(paths: list[Path], data_dir: Path, version: str) -> str:
    """sha256 over the source files' names (those below `data_dir` from there), sizes and digests,
    and `version`.

    Raises:
      UserError: a file that cannot be read.
    """
    total = hashlib.sha256(version.encode())
    for path in sorted(paths):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}): mend it, or move it away"
            ) from None
        within = path.relative_to(data_dir) if path.is_relative_to(data_dir) else path
        name = within.as_posix()
        total.update(os.fsencode(f"\n{name} {path.stat().st_size} {digest}"))
    return total.hexdigest()


def _write_cache(cache: Path, corpora: dict[str, Corpus], now: str, version: str) -> None:
    arrays = {
        f"{modality}.{column}": getattr(one, column)
        for modality, one in corpora.items()
        for column in _COLUMNS
    }
    write_arrays(cache, fingerprint=np.array(now), version=np.array(version), **arrays)


def _read_cache(
    name: str, cache: Path, version: str, modalities: Collection[str]
) -> tuple[dict[str, Corpus], str]:
    try:
        arrays = read_arrays(cache)
        found = str(arrays["version"])
        if found == version:
            corpora = {
                modality: corpus.check(
                    Corpus(name, *(arrays[f"{modality}.{column}"] for column in _COLUMNS)),
                    f"prepared file {cache}",
                )
                for modality in modalities
            }
            return corpora, str(arrays["fingerprint"])
    except (ValueError, KeyError) as error:
        raise UserError(f"prepared file {cache} is damaged") from error
    raise UserError(f"prepared file {cache} is of version {found}, not {version}")
