"""Downloads of what is missing: resumed where they were cut, checked, whole or absent."""

import dataclasses
import hashlib
import http.client
import json
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from fdigits.data.corpora import fsdd, mnist, written_spoken
from fdigits.errors import UserError

_TIMEOUT, _ATTEMPTS, _BLOCK = 30, 4, 1 << 18  # seconds; without progress; bytes
_NETWORK = (urllib.error.URLError, OSError, http.client.HTTPException)

FSDD_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
# sha256 over "name sha256\n" of the commit's 3,000 wavs, sorted: GitHub's archives may change
FSDD_DIGEST = "dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f"


@dataclasses.dataclass(frozen=True)
class File:
    name: str  # below the data set's folder
    url: str
    digest: str  # "sha256:..." or "md5:..." of the bytes, "wavs:..." of the wavs in a tar


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a data set comes from."""

    home: str  # for people
    needs: str  # what to put into the folder by hand
    files: tuple[File, ...] = ()
    record: str = ""  # a Zenodo record's address, whose answer names files and digests


_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_MNIST_SHA256 = {  # of the published .gz files
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_SPEECH = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
SOURCES = {
    "mnist": Source(
        _MNIST,
        f"{', '.join(mnist.MD5)} (plain or .gz)",
        tuple(File(n, _MNIST + n, f"sha256:{digest}") for n, digest in _MNIST_SHA256.items()),
    ),
    "fsdd": Source(
        "https://github.com/Jakobovski/free-spoken-digit-dataset",
        "its folder recordings/ or a tar of it",
        (
            File(
                f"free-spoken-digit-dataset-{FSDD_COMMIT[:7]}.tar.gz",
                f"https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/tar.gz/{FSDD_COMMIT}",
                f"wavs:{FSDD_DIGEST}",
            ),
        ),
    ),
    "gsc_digits": Source(
        _SPEECH,
        "the archive (2.4 GB) or a folder or tar of {word}/{speaker}_nohash_{take}.wav "
        "(what TensorFlow Datasets prepares calls every digit _unknown_ and cannot serve)",
    ),
    "audio_mnist": Source(
        "https://github.com/soerenab/AudioMNIST", "its folder data/ or a tar of it"
    ),
    "written_spoken": Source(
        "https://zenodo.org/record/4452953",
        f"{', '.join(written_spoken.DATABASE)}; or {', '.join(written_spoken.CLASS_CODE)}; "
        "or remake it: python -m fdigits.data.corpora.written_spoken",
        record="https://zenodo.org/api/records/4452953",
    ),
}
SOURCES["reduced_mnist"] = SOURCES["mnist"]


def fetch(name: str, data_dir: Path) -> None:
    """Downloads the files of a data set into its folder below `data_dir`.

    Raises:
      UserError: they cannot be had; says which files to put where and whence.
    """
    source = SOURCES[name]
    folder = data_dir / name.removeprefix("reduced_")
    by_hand = f"put {source.needs} into {folder}, from {source.home}"
    if not (source.files or source.record):
        raise UserError(f"{name} is missing: {by_hand}")
    try:
        for file in source.files or _zenodo_files(source.record):
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


def _zenodo_files(record: str) -> list[File]:
    request = urllib.request.Request(record, headers={"User-Agent": "fdigits"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        try:
            found = json.load(response)["files"]
            held = {f["key"]: File(f["key"], f["links"]["self"], f["checksum"]) for f in found}
        except (ValueError, KeyError, TypeError) as error:
            raise http.client.HTTPException(f"{record} answers with no record") from error
    lacking = [name for name in written_spoken.DATABASE if name not in held]
    if lacking:
        raise UserError(f"{record} does not hold {', '.join(lacking)}: download them by hand")
    return [held[name] for name in written_spoken.DATABASE]


def _has(path: Path, digest: str) -> bool:
    kind, _, wanted = digest.partition(":")
    if kind == "wavs":
        return wavs_digest(path) == wanted
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest() == wanted


def wavs_digest(path: Path) -> str:
    """sha256 over the sorted lines `name sha256` of the FSDD wavs in a tar, "" if it is none."""
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
