"""Files that are whole or absent, folders that one run has to itself, people's paths."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fdigits.errors import UserError, writing

LOCK = ".lock"  # in a run's folder, while it is at work; what is left of it then holds nobody up
PATIENCE = 0.2  # seconds to try again, as the lock's file may go while it is being locked


MARKS = {  # what tells whose a workdir is
    **{"config.json": "a run", "study.json": "a study"},
    **{"trials.log": "a search", "search.json": "a search"},
}


class Busy(UserError):
    """Another run is at work in a folder."""


def path_of(given: str | os.PathLike) -> Path:
    """A path that a person gives, with `~` for the home folder, which no shell saw in `--to='~/x'`.

    The `type` of every flag that takes one.
    """
    return Path(os.path.expanduser(given))


@contextlib.contextmanager
def locked(file: Path, seconds: float = -1) -> Iterator[bool]:
    """Whether this process alone has a lock file, which it waits for so long, -1 = until it has it.

    The system lets go of it if the process dies. A lock counts while its file is there: one on a
    file that its holder has just removed is let go, and tried for anew (filelock does it). A disk
    without locks holds nobody up.
    """
    import filelock  # 40 ms, which all that only reads does without

    lock = filelock.FileLock(file, timeout=seconds)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        yield False
        return
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):  # Windows lets go of it first
            file.unlink()
        lock.release()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Has a folder, made where absent, for one run alone.

    A folder that nothing was written into goes again.

    Raises:
      Busy: another run is at work there.
      UserError: it cannot be written into.
    """
    new, stack = not folder.exists(), contextlib.ExitStack()
    try:
        ours = stack.enter_context(locked(folder / LOCK, PATIENCE))
    except OSError as error:
        raise UserError(f"cannot write into the workdir {folder}: {error}") from error
    if not ours:
        raise Busy(
            f"another run is at work in {folder}: wait until it ends, or choose another --workdir"
        )
    try:
        with stack:
            yield
    finally:
        if new:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def default_workdir(name: str) -> Path:
    """Of a config: one folder, though its name may hold a path (`image_cnn-folder:~/my digits`)."""
    return Path("runs", re.sub(r"[^\w.+=-]+", "_", name).strip(".") or "run")


def refuse_place(workdir: Path, kind: str) -> None:
    """Refuses a workdir for "a run", "a study" or "a search" that is another kind's, or in whose
    path Orbax would see a pattern, so that it could not read its checkpoints again.

    Raises:
      UserError: as said.
    """
    for name, theirs in MARKS.items():
        if theirs != kind and (workdir / name).exists():
            raise UserError(f"{workdir} holds {theirs}: choose another --workdir for {kind}")
    if odd := sorted({"[", "\\"} & set(str(workdir.absolute())) - {os.sep}):
        raise UserError(
            f"{workdir.absolute()} has a {odd[0]} in it, where no checkpoint can be read again: "
            "choose another --workdir"
        )


def check_writable(folder: Path) -> None:
    """Makes a folder where absent, and sees whether it can be written into.

    Raises:
      UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error}") from error


def is_held(folder: Path) -> bool:
    """Whether a run is at work in a folder.

    Raises:
      UserError: it cannot be written into, so that nobody here can know.
    """
    if not (folder / LOCK).exists():
        return False
    try:
        with held(folder):
            return False
    except Busy:
        return True


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix) that replaces it if the body succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unlike = f"{os.getpid()}.{secrets.token_hex(4)}"  # two machines may have equal numbers
    temporary = path.with_name(f".{path.stem}.{unlike}{path.suffix}")
    try:
        with writing(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, value: object) -> None:
    with atomic(path) as temporary, temporary.open("w") as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave the name without the content


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of an npz, each checked against the CRC that zip keeps of it.

    Raises:
      ValueError: it is not there, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and NumPy raise ten kinds for flipped bits
        raise ValueError(str(error) or type(error).__name__) from error


def digest(path: Path) -> str:
    """sha256 of a file, wherever Git ended its lines."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def write_arrays(path: Path | str, **arrays: np.ndarray) -> None:
    """Writes a compressed npz."""
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)
