"""Small files in the forms that corpora come in."""

import gzip
import hashlib
import io
import tarfile

import numpy as np
import soundfile


def wav(samples=800, rate=8_000, seed=0) -> bytes:
    target = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.3, 0.4, samples)
    soundfile.write(target, noise, rate, format="WAV", subtype="PCM_16")
    return target.getvalue()


def write_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def idx(array: np.ndarray) -> bytes:
    magic = {1: 2049, 3: 2051}[array.ndim]
    header = np.array([magic, *array.shape], ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder, n_train=30, n_test=20, zipped=True, **replaced) -> dict[str, str]:
    """A small set in MNIST's form; its checksums."""
    rng = np.random.default_rng(0)
    md5 = {}
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, n in (("train", n_train), ("t10k", n_test)):
        files = {
            f"{prefix}-images-idx3-ubyte": idx(rng.integers(0, 256, (n, 28, 28))),
            f"{prefix}-labels-idx1-ubyte": idx(np.arange(n) % 10),
        }
        for name, content in files.items():
            content = replaced.get(name, content)
            md5[name] = hashlib.md5(content).hexdigest()
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return md5
