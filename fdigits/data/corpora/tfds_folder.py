"""What TensorFlow Datasets (TFDS) has prepared: `{name}[/{config}]/{version}/` with its records.

Such a folder is looked for in the data folder, then where TFDS itself keeps them (TFDS_DATA_DIR,
else ~/tensorflow_datasets). `tfds:NAME` are pictures of digits; `mnist` and `fsdd` are read from
TFDS' `mnist` and `spoken_digit` where their own files are absent. Only to read records does TFDS
take part: what is cached needs none.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fdigits.config import nearest
from fdigits.data.corpora.folder import DIGITS
from fdigits.data.corpus import CLASSES, PARTS, SIDE, Corpus, check
from fdigits.errors import UserError

INFO = "dataset_info.json"
LYING = ("emnist",)  # whose pictures have rows and columns exchanged
_AT_ONCE = 1_000  # examples of one size, which tf.data reads in half the time

Example = dict[str, Any]  # arrays, numbers and bytes by feature


def find(data_dir: Path, name: str) -> list[Path]:
    """The files of the newest prepared version of `name[/config][:version]`, or []."""
    name, _, version = name.partition(":")
    own = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    for root in (data_dir, own):
        infos = (root / name).glob(f"{version or '[0-9]*.[0-9]*.[0-9]*'}/{INFO}")
        folders = sorted((info.parent for info in infos), key=_version)
        if folders:
            return sorted(path for path in folders[-1].iterdir() if path.is_file())
    return []


def _version(folder: Path) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in folder.name.split(".")]


def is_prepared(paths: list[Path]) -> bool:
    """Whether files are of a folder that TFDS prepared."""
    return any(path.name == INFO for path in paths)


def library() -> ModuleType:
    """TFDS, which takes seconds to import.

    Raises:
      UserError: it is not installed.
    """
    try:
        import importlib_resources  # noqa: F401 (TFDS needs it and does not say so)
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(
            f"{error}: pip install tensorflow-datasets importlib_resources tensorflow"
        ) from error
    tensorflow_datasets.disable_progress_bar()
    return tensorflow_datasets


def opened(paths: list[Path]) -> Any:
    """TFDS' builder of a prepared folder.

    Raises:
      UserError: TFDS cannot read it, or is absent.
    """
    tfds = library()
    with _told(paths[0].parent):
        return tfds.builder_from_directory(paths[0].parent)


def examples(builder: Any) -> Iterator[tuple[str, Example]]:
    """Part and features of each example of the three parts, in the order of its files.

    Raises:
      UserError: TFDS cannot read them.
    """
    for part in PARTS:
        if part in builder.info.splits:
            with _told(builder.data_dir):
                for example in _part(builder, part):
                    yield part, example


def _part(builder: Any, part: str) -> Iterator[Example]:
    """A part by tf.data; by index where there are ArrayRecords alone."""
    if builder.info.file_format.value == "array_record":
        return builder.as_data_source(part)
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    in_order = library().ReadConfig(interleave_cycle_length=1, try_autocache=False)
    dataset = builder.as_dataset(part, read_config=in_order)
    if all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(dataset.element_spec)):
        return _rows(dataset.batch(_AT_ONCE).as_numpy_iterator())
    return dataset.as_numpy_iterator()


def _rows(batches: Iterator[Example]) -> Iterator[Example]:
    for batch in batches:
        for row in zip(*batch.values(), strict=True):
            yield dict(zip(batch, row, strict=True))


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Whatever TFDS and TensorFlow raise becomes one line."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{folder}: TFDS cannot read it ({reason}): prepare it again") from error


def index(part: str, count: int) -> np.ndarray:
    """For each of a part's examples [N] the number that it had before TFDS shuffled, if its
    builder numbered them: TFDS sorts by a hash of the part's name and the number."""
    library()
    from tensorflow_datasets.core.hashing import Hasher

    return np.array(sorted(range(count), key=Hasher(part).hash_key))


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The reader of TFDS' set `name`: any pictures of ten digits."""

    name: str

    def find(self, data_dir: Path) -> list[Path]:
        return find(data_dir, self.name)

    def fetch(self, data_dir: Path) -> None:
        """Lets TFDS download and prepare the set below `data_dir`.

        Raises:
          UserError: TFDS has no such set, or cannot get it.
        """
        tfds = library()
        print(f"TFDS prepares {self.name} in {data_dir}; it tries for minutes", file=sys.stderr)
        try:
            with contextlib.redirect_stdout(None):
                tfds.builder(self.name, data_dir=data_dir).download_and_prepare()
        except tfds.core.DatasetNotFoundError:
            near = nearest(self.name, tfds.list_builders())
            raise UserError(f"tfds:{self.name}: TFDS has no such data set{near}") from None
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"tfds:{self.name} is missing and TFDS cannot prepare it ({reason}): put a folder "
                f"that TFDS prepared elsewhere into {data_dir}"
            ) from error

    def read(self, paths: list[Path]) -> Corpus:
        """All pictures of the parts that fdigits knows; ids `train/00000` in the files' order.

        28 x 28 grey ones stay as they are; others are brought to that form as a person's files are.

        Raises:
          UserError: no pictures, or not of ten digits; TFDS cannot read them.
        """
        builder = opened(paths)
        _check_digits(builder.info.features, f"tfds:{self.name}")
        image, label, part = [], [], []
        for where, example in examples(builder):
            image.append(example["image"])
            label.append(example["label"])
            part.append(where)
        ids = [f"{name}/{i:05d}" for name in PARTS for i in range(part.count(name))]
        x = _formed(image)
        if self.name.startswith(LYING):
            x = np.ascontiguousarray(x.transpose(0, 2, 1))
        label = np.array(label, np.int32)
        columns = (label, np.array(ids), np.full(len(ids), ""), np.array(part))
        return check(Corpus(self.name.replace("/", "-"), x, *columns), f"tfds:{self.name}")


def _check_digits(features: dict[str, Any], name: str) -> None:
    """Refuses features that are not those of pictures of ten digits."""
    if missing := {"image", "label"} - {*features}:
        hint = "; data.name=fsdd reads spoken_digit" if "audio" in features else ""
        raise UserError(f"{name} has no {' and no '.join(sorted(missing))}{hint}")
    names = getattr(features["label"], "names", [])
    if [DIGITS.get(one.lower()) for one in names] != [*range(CLASSES)]:
        few = ", ".join(names[:3])
        raise UserError(f"{name} has {len(names)} classes ({few}, ...): not the digits 0 to 9")


def _formed(images: list[np.ndarray]) -> np.ndarray:
    """Pictures [h,w,1] or [h,w,3] uint8 -> [N,28,28] uint8, ink 255."""
    if all(one.shape == (SIDE, SIDE, 1) for one in images):
        return np.stack(images)[..., 0]
    import joblib
    from rich.progress import track

    jobs = (joblib.delayed(_brought)(one) for one in images)
    done = joblib.Parallel(-1, return_as="generator", batch_size=64)(jobs)
    return np.stack(list(track(done, "reading pictures", total=len(images))))


def _brought(image: np.ndarray) -> np.ndarray:
    from fdigits.data import pictures

    return pictures.bring(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)) / 255).image
