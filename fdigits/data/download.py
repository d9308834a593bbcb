"""Downloads of what is missing, by pooch: checked, whole or absent.

pooch tries again, refuses another checksum, knows the files of a Zenodo record, and shows progress;
requests below it minds proxies. What they cannot do is here: to go on where a download was cut, and
a checksum of what an archive holds.
"""

import functools
import hashlib
import http
import json
import os
import tarfile
from pathlib import Path

from fdigits.config import choose
from fdigits.data.corpora import fsdd
from fdigits.data.datasets import DATASETS, Dataset
from fdigits.errors import UserError
from fdigits.files import locked

_TIMEOUT, _RETRIES = 30, 2  # seconds; after 1 and 2 seconds
_HEADERS = {"User-Agent": "fdigits", "Accept-Encoding": "identity"}  # bytes as they are published


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
    if not (dataset.files or dataset.doi):
        raise UserError(f"{name} is missing: {by_hand}")
    try:
        download(dataset, folder)
    except (OSError, ValueError) as error:  # requests' are OSErrors
        raise UserError(
            f"{name} is missing and cannot be downloaded ({_reason(error)}): {by_hand}"
        ) from error


def download(dataset: Dataset, folder: Path) -> None:
    """Downloads the files that `folder` lacks; of several processes one, while the others wait.

    Raises:
      OSError: no connection, a file that the server does not give, a full disk.
      ValueError: another checksum, or no such Zenodo record.
    """
    with locked(folder / ".download.lock"):
        _download(dataset, folder)


def _download(dataset: Dataset, folder: Path) -> None:
    import pooch

    digests = {file.name: file.digest for file in dataset.files}
    held = pooch.create(folder, base_url="", registry=digests, retry_if_failed=_RETRIES)
    held.urls = {file.name: file.url for file in dataset.files}
    if dataset.doi:
        find = pooch.downloaders.doi_to_repository
        record = find(dataset.doi, timeout=_TIMEOUT, headers=_HEADERS)
        try:
            record.populate_registry(held)
        except (LookupError, TypeError, json.JSONDecodeError):
            raise ValueError(f"doi:{dataset.doi} is answered with no record") from None
        held.urls = {name: record.download_url(name) for name in dataset.doi_files}
    for name in held.urls:
        if not (folder / name).exists():
            wavs = held.registry[name] if held.registry[name].startswith("wavs:") else ""
            held.registry[name] = None if wavs else held.registry[name]
            held.fetch(name, downloader=functools.partial(_resumed, folder / f"{name}.part", wavs))


def _resumed(part: Path, wavs: str, url: str, target: str, _) -> None:
    """pooch's download, through `part`, which stays when it is cut and is gone on with."""
    import pooch
    import requests

    with part.open("ab") as file:
        headers = _HEADERS | ({"Range": f"bytes={file.tell()}-"} if file.tell() else {})
        try:
            pooch.HTTPDownloader(True, 1 << 16, headers=headers, timeout=_TIMEOUT)(url, file, None)
        except requests.HTTPError as refused:
            if refused.response.status_code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise  # else nothing lies beyond what is there
    os.replace(part, target)
    if wavs and wavs != f"wavs:{wavs_digest(Path(target))}":
        raise ValueError(f"{url} has other recordings than published")


def _reason(error: BaseException) -> str:
    """What is wrong in the network, without the layers that it went through."""
    kind, inner = type(error).__name__, error
    while inner:
        error = inner
        causes = (*error.args, getattr(error, "reason", None))
        inner = next((one for one in causes if isinstance(one, Exception)), None)
    return f"{kind}: {str(error).partition(': expected')[0]}"


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
