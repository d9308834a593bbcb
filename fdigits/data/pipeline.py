"""One order, two feeders.

The order of an epoch is a NumPy permutation of (seed, epoch). On a host, tf.data gathers by it; on
an accelerator the same indices gather from arrays that lie in device memory, inside the jitted
chunk. Both give the same batches.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from fdigits.data.pairing import Split

Arrays = dict[str, np.ndarray]


def statistics(split: Split) -> dict[str, list[float]]:
    """Mean and standard deviation of each MFCC coefficient over a split's recordings.

    A coefficient that never changes has standard deviation 1.
    """
    audio = split.corpora["audio"].x[split.rows["audio"]].astype(np.float64)
    std = audio.std((0, 1))
    return {"mean": audio.mean((0, 1)).tolist(), "std": np.where(std > 0, std, 1).tolist()}


def standardise(audio: np.ndarray, stats: dict[str, list[float]]) -> np.ndarray:
    """MFCC `[N,39,13]` to mean 0, sd 1 per coefficient of the training part."""
    return ((audio - np.array(stats["mean"])) / np.array(stats["std"])).astype(np.float32)


def training_rows(split: Split, seed: int, epoch: int) -> Arrays:
    """Rows of each modality and the label of one epoch's examples, `[N]`, shuffled."""
    order = np.random.default_rng([seed, epoch]).permutation(len(split))
    return {name: column[order] for name, column in split.examples(epoch).items()}


def evaluation_rows(split: Split, batch_size: int) -> Arrays:
    """The split's examples in their fixed order, padded to whole batches; `mask` is 1 for real."""
    examples = split.examples()
    examples["mask"] = np.ones(len(split), np.float32)
    padding = -len(split) % batch_size
    return {name: np.pad(column, (0, padding)) for name, column in examples.items()}


def chunk_rows(rows: Mapping[str, np.ndarray], batch_size: int, chunk: int) -> Iterator[Arrays]:
    """Whole batches, grouped `[K, B]`; the last group may be shorter, a last part batch is left."""
    steps = len(rows["label"]) // batch_size
    batches = {
        name: column[: steps * batch_size].reshape(steps, batch_size)
        for name, column in rows.items()
    }
    for start in range(0, steps, chunk):
        yield {name: column[start : start + chunk] for name, column in batches.items()}


class DeviceFeeder:
    """Yields row indices `[K, B]`; the arrays are `resident` and gathered inside the chunk."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        import jax

        self.resident = jax.device_put(dict(arrays))

    def __call__(self, rows: Arrays, batch_size: int, chunk: int) -> Iterator[Arrays]:
        yield from chunk_rows(_known(rows, self.resident), batch_size, chunk)


class HostFeeder:
    """Yields whole batches `[K, B, ...]`, gathered and prefetched by tf.data."""

    resident: ClassVar[dict] = {}  # the batches are whole

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        self._tf = tf
        self._arrays = {name: tf.constant(array) for name, array in arrays.items()}

    def __call__(self, rows: Arrays, batch_size: int, chunk: int) -> Iterator[Arrays]:
        tf, arrays = self._tf, self._arrays

        def gather(group):
            return group | {name: tf.gather(arrays[name], group[name]) for name in arrays}

        dataset = (
            tf.data.Dataset.from_tensor_slices(_known(rows, arrays))
            .batch(batch_size, drop_remainder=True)
            .batch(chunk)
            .map(gather, num_parallel_calls=1, deterministic=True)
            .prefetch(2)
        )
        yield from dataset.as_numpy_iterator()


def _known(rows: Arrays, arrays: Mapping) -> Arrays:
    """The rows of the modalities that a feeder holds, and what is no modality."""
    return {k: v for k, v in rows.items() if k in arrays or k in ("label", "mask")}


def make_feeder(kind: str, arrays: Mapping[str, np.ndarray]) -> DeviceFeeder | HostFeeder:
    """`host` (tf.data) or `device`; `auto` is `device` on accelerators or without TensorFlow."""
    import importlib.util

    import jax

    from fdigits.config import choose

    if kind == "auto":
        on_cpu = jax.default_backend() == "cpu"
        kind = "host" if on_cpu and importlib.util.find_spec("tensorflow") else "device"
    return choose(kind, {"host": HostFeeder, "device": DeviceFeeder}, "data.feeder")(arrays)
