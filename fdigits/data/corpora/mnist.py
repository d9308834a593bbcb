"""MNIST (LeCun, Bottou, Bengio, Haffner 1998): 60,000 + 10,000 pictures in four idx files.

They may be called as unpackers leave them (`train-images.idx3-ubyte`), and lie where torchvision
puts them (`MNIST/raw/`). Or as TensorFlow Datasets prepared it, whose order is undone.
"""

import hashlib
from pathlib import Path

import numpy as np

from fdigits.data.corpora import tfds_folder
from fdigits.data.corpora.contents import unzipped
from fdigits.data.corpus import SIDE, Corpus, check
from fdigits.errors import UserError

FOLDERS = ("mnist",)
PLACES = (FOLDERS[0], "MNIST", "mnist/raw", "MNIST/raw", "mnist/MNIST/raw")
TFDS = "mnist"
# of the uncompressed bytes
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def find(data_dir: Path) -> list[Path]:
    """The four files, each zipped or plain, of the first of `PLACES` that holds them all.

    If there is none, the files of TFDS' folder, or [].
    """
    for place in PLACES:
        held = {published(path): path for path in sorted((data_dir / place).glob("*"), reverse=True)
                if path.is_file()}  # fmt: skip
        if held.keys() >= MD5.keys():
            return [held[name] for name in MD5]
    return tfds_folder.find(data_dir, TFDS)


def published(path: Path) -> str:
    """The name under which a file was published, whoever unpacked it: in any case, any dots."""
    return path.name.lower().removesuffix(".gz").replace(".idx", "-idx")


def read(paths: list[Path], md5: dict[str, str] | None = MD5) -> Corpus:
    """Both parts; ids `train/00000` and `test/00000` in the files' order.

    Args:
      paths: the four files, or those of TFDS' folder.
      md5: what the uncompressed bytes must have; None: do not ask (other data in MNIST's form).

    Raises:
      UserError: a file that is cut, is not idx, has another shape or another checksum.
    """
    if tfds_folder.is_prepared(paths):
        arrays = _of_tfds(paths, md5)
    else:
        by_name = {published(path): path for path in paths}
        arrays = {name: read_idx(path, md5 and md5[name]) for name, path in by_name.items()}
    columns = []
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = arrays[f"{prefix}-images-idx3-ubyte"]
        labels = arrays[f"{prefix}-labels-idx1-ubyte"]
        if len(images) != len(labels):
            raise UserError(f"mnist: {len(images)} {part} images but {len(labels)} labels")
        ids = [f"{part}/{i:05d}" for i in range(len(labels))]
        columns.append((images, labels.astype(np.int32), ids, [part] * len(labels)))
    x, label, ids, part = (np.concatenate(column) for column in zip(*columns, strict=True))
    return check(Corpus("mnist", x, label, ids, np.full(len(label), ""), part), "mnist")


def _of_tfds(paths: list[Path], md5: dict[str, str] | None) -> dict[str, np.ndarray]:
    """The arrays of the four files, in their order, as TFDS holds them."""
    held: dict[str, list] = {"train": [], "test": []}
    for part, example in tfds_folder.examples(tfds_folder.opened(paths)):
        held[part].append((example["image"][..., 0], np.uint8(example["label"])))
    arrays = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        back = np.argsort(tfds_folder.index(part, len(held[part])))
        images, labels = zip(*held[part], strict=True)
        arrays[f"{prefix}-images-idx3-ubyte"] = np.stack(images)[back]
        arrays[f"{prefix}-labels-idx1-ubyte"] = np.stack(labels)[back]
    for name, array in arrays.items():
        if md5 and hashlib.md5(_header(array) + array.tobytes()).hexdigest() != md5[name]:
            raise UserError(
                f"{paths[0].parent}: {name} cannot be had from it (md5 differs): it is not MNIST "
                f"as TFDS {TFDS}:3.0.1 has it; delete it, or put the four files beside it"
            )
    return arrays


def _header(array: np.ndarray) -> bytes:
    """What an idx file of bytes begins with: its magic and its shape."""
    return np.array([2048 + array.ndim, *array.shape], ">u4").tobytes()


def read_idx(path: Path, md5: str | None = None) -> np.ndarray:
    """The uint8 array of an idx file (zipped or plain): images [N,28,28] or labels [N].

    Raises:
      UserError: see `read`.
    """
    content = unzipped(path, path.read_bytes())
    magic = int.from_bytes(content[:4], "big")
    dimensions = {2049: 1, 2051: 3}.get(magic)
    if dimensions is None:
        raise UserError(f"{path}: not an idx file of images or labels (magic {magic})")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise UserError(f"{path}: cut: {len(content)} bytes, less than its header")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        raise UserError(
            f"{path}: cut or damaged: {len(content)} bytes uncompressed, "
            f"its header promises {expected}: fetch it again"
        )
    if dimensions == 3 and shape[1:] != (SIDE, SIDE):
        raise UserError(f"{path}: images of {shape[1:]}, expected {(SIDE, SIDE)}")
    if md5 and hashlib.md5(content).hexdigest() != md5:
        raise UserError(f"{path}: not the published file (md5 differs): fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
