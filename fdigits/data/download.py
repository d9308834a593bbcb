"""Downloads of what is missing: resumed where they were cut, checked, whole or absent."""

import hashlib
import http.client
import json
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from fdigits.config import choose
from fdigits.data.corpora import fsdd
from fdigits.data.datasets import DATASETS, Dataset, File
from fdigits.errors import UserError

_TIMEOUT, _ATTEMPTS, _BLOCK = 30, 4, 1 << 18  # seconds; without progress; bytes
_NETWORK = (urllib.error.URLError, OSError, http.client.HTTPException)


def fetch(name: str, data_dir: Path) -> None:
    """Downloads the files of one data set into its folder below `data_dir`.

    Raises:
      UserError: they cannot be had; says which files to put where and whence.
    """
    dataset = choose(name, DATASETS, "data set")
    if not dataset.folders:
        raise UserError(f"{name} is part of fdigits: there is nothing to download")
    folder = data_dir / dataset.folders[0]
    by_hand = f"put {dataset.needs} into {folder}"
    by_hand += f", from {dataset.home}" if dataset.home else ""
    if not (dataset.files or dataset.record):
        raise UserError(f"{name} is missing: {by_hand}")
    try:
        for file in dataset.files or _zenodo_files(dataset):
            if not (folder / file.name).exists():
                download(file.url, folder / file.name, file.digest)
    except _NETWORK as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{name} is missing and cannot be downloaded ({reason}): {by_hand}"
        ) from error


def download(url: str, target: Path, digest: str) -> None:
    """Writes `url` to `target`, through `target`.part, which a later call goes on with.

    Raises:
      UserError: the bytes have another digest.
      OSError, http.client.HTTPException: no connection, or cut `_ATTEMPTS` times without progress.
    """
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(url, part):
                break
            error: Exception = http.client.IncompleteRead(b"")
        except urllib.error.HTTPError as refused:
            if refused.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            break  # nothing lies beyond what is there
        except _NETWORK as cut:
            error = cut
        after = part.stat().st_size if part.exists() else 0
        failures = 0 if after > before else failures + 1
        if failures == _ATTEMPTS or (failures and not after):
            raise error
    if not _has(part, digest):
        part.unlink()
        raise UserError(f"{url}: the download has another checksum than published: run it again")
    os.replace(part, target)


def _transfer(url: str, part: Path) -> bool:
    """Appends what `part` lacks; whether it is whole now."""
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "fdigits"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server sends all of it
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns) as progress, part.open("ab" if start else "wb") as file:
            task = progress.add_task(part.stem, total=total, completed=start)
            while block := response.read(_BLOCK):
                file.write(block)
                progress.advance(task, len(block))
    return total is None or part.stat().st_size == total


def _zenodo_files(dataset: Dataset) -> list[File]:
    request = urllib.request.Request(dataset.record, headers={"User-Agent": "fdigits"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        try:
            found = json.load(response)["files"]
            held = {f["key"]: File(f["key"], f["links"]["self"], f["checksum"]) for f in found}
        except (ValueError, KeyError, TypeError) as error:
            raise http.client.HTTPException(f"{dataset.record} answers with no record") from error
    lacking = [name for name in dataset.record_files if name not in held]
    if lacking:
        raise UserError(
            f"{dataset.record} does not hold {', '.join(lacking)}: download them by hand"
        )
    return [held[name] for name in dataset.record_files]


def _has(path: Path, digest: str) -> bool:
    kind, _, wanted = digest.partition(":")
    if kind == "wavs":
        return wavs_digest(path) == wanted
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest() == wanted


def wavs_digest(path: Path) -> str:
    """sha256 over the sorted lines `name sha256` of FSDD's wavs in a tar, "" if it is none."""
    lines = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if fsdd.parse(member.name):
                    content = archive.extractfile(member).read()
                    name = member.name.rpartition("/")[2]
                    lines.append(f"{name} {hashlib.sha256(content).hexdigest()}\n")
    except (tarfile.TarError, EOFError, OSError):
        return ""
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
