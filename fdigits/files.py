"""Files that are whole or absent."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix) that replaces it if the body succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, value: object) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def write_arrays(path: Path | str, **arrays: np.ndarray) -> None:
    """Writes a compressed npz."""
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)
