"""Writes a data set as TensorFlow Datasets (TFDS) reads it, without fdigits.

python -m fdigits.data.export mnist_fsdd --split paper --seed 0 --to DIR

Through tf.data (`pip install tensorflow-datasets importlib_resources tensorflow`):

    tfds.load("written_spoken_digits/mnist_fsdd", data_dir=DIR)

Without TensorFlow, as PyTorch's DataLoader and Grain take it
(`pip install tensorflow-datasets importlib_resources pillow`):

    tfds.data_source("written_spoken_digits/mnist_fsdd", data_dir=DIR, split="train")

The training part is in the order of a run's first epoch. `SHA256SUMS` lies beside the files.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from absl import logging
from rich.console import Console

from fdigits.arguments import Parser
from fdigits.config import DATA, choose
from fdigits.data import datasets
from fdigits.data.pairing import POLICIES
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of

NAME = "written_spoken_digits"


def export(name: str, split: str, seed: int, to: Path, data_dir: Path, cache_dir: Path) -> Path:
    """Writes the three parts of a data set below `to`; returns their folder, whole or absent.

    Raises:
      UserError: no such data set or split; it is there already; `to` cannot be written to.
    """
    split = split or datasets.default_split(name)
    choose(split, dict.fromkeys(POLICIES), "data.split")
    from fdigits.data.tfds.written_spoken_digits.written_spoken_digits_dataset_builder import (
        Builder,
        Config,
    )

    class Chosen(Builder, skip_registration=True):
        """Any split and seed under the name of the data set."""

        name, BUILDER_CONFIGS, __module__ = NAME, (), Builder.__module__

    called = re.sub(r"[^\w+.-]+", "-", name).strip("-")
    below = Path(NAME, called, str(Builder.VERSION))
    target = to / below
    if target.exists():
        raise UserError(f"{target} is there already: choose another --to, or delete it")
    config = Config(
        name=called, data=name, split=split, seed=seed, dir=str(data_dir), cache=str(cache_dir)
    )
    config.splits  # noqa: B018 (what cannot be had shows before anything is written)
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{NAME}.", dir=to) as temporary:
            _write(Chosen(config=config, data_dir=temporary))
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(temporary, below), target)
    except (OSError, RuntimeError) as error:  # TFDS and ArrayRecord make a full disk the second
        reason = str(error).partition("\n")[0]
        raise UserError(f"cannot write into {to}: {reason}") from error
    return target


def _write(builder) -> None:
    """Lets TFDS write TFRecords, and adds the same records as ArrayRecords."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    no_network = tfds.download.DownloadConfig(try_download_gcs=False)
    with contextlib.redirect_stdout(None):  # it would tell of a temporary folder
        builder.download_and_prepare(download_config=no_network)
    folder = Path(builder.data_dir)
    for file in folder.glob("*.tfrecord-*"):
        _as_array_records(file, folder / file.name.replace(".tfrecord-", ".array_record-"))
    builder.info.add_alternative_file_format("array_record")
    builder.info.write_to_directory(folder)
    (folder / "SHA256SUMS").write_text(_checksums(folder))


def _as_array_records(file: Path, to: Path) -> None:
    import tensorflow as tf
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(to), "group_size:1")
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        writer.write(record)
    writer.close()


def _checksums(folder: Path) -> str:
    """A line `sha256  name` for each file, as `sha256sum -c` reads it."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)


@exit_cleanly
def main(argv: list[str] | None = None) -> None:
    parser = Parser("fdigits.data.export", __doc__.splitlines()[0])
    parser.add_argument("name", help="a data set's name: mnist_fsdd, bundled, fsdd, ...")
    parser.add_argument("--split", default="", help=f"{', '.join(POLICIES)}; else as a run's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=path_of, required=True, help="the data folder of TFDS")
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--cache-dir", type=path_of, default=Path(DATA["cache"]))
    given = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.set_verbosity(logging.ERROR)
    to = given.to.expanduser()
    with Console(stderr=True).status(f"{given.name} ..."):
        folder = export(given.name, given.split, given.seed, to, given.data_dir, given.cache_dir)
    print(folder)


if __name__ == "__main__":
    main()
