"""One order, two feeders.

The order of an epoch is a NumPy permutation of (seed, epoch). On a host, tf.data gathers by it; on
an accelerator the same indices gather from arrays that lie in device memory, inside the jitted
chunk. Both give the same batches. Of several processes each feeds its own places of each batch.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fdigits.data.corpus import STANDARDISED
from fdigits.data.pairing import Split

if TYPE_CHECKING:
    from jax import Array
    from jax.sharding import Mesh

LIGHT = 1 << 24  # bytes of arrays below which loading TensorFlow takes longer than it saves
Arrays = dict[str, np.ndarray]
Batches = dict[str, "Array"]  # over devices


def statistics(split: Split) -> dict[str, list[float]]:
    """Mean and standard deviation of each MFCC coefficient over a split's recordings.

    Of "audio", of "mean_mfcc", or of the frames of "frames" that hold sound, and then the padded
    `length` too. A coefficient that never changes has standard deviation 1.
    """
    modality = next(name for name in STANDARDISED if name in split.rows)
    x = split.corpora[modality].x[split.rows[modality]]
    if modality == "frames":
        x = x[x[..., -1] > 0][None, :, :-1]
    x = x.astype(np.float64)
    all_but_last = tuple(range(x.ndim - 1))
    mean, std = x.mean(all_but_last), x.std(all_but_last)
    stats = {"mean": mean.tolist(), "std": np.where(std > 0, std, 1).tolist()}
    return stats | ({"length": split.corpora["frames"].x.shape[1]} if modality == "frames" else {})


def standardise(x: np.ndarray, stats: dict[str, list[float]]) -> np.ndarray:
    """MFCC `[N,39,13]`, means `[N,40]` or frames `[N,T,14]`: per coefficient mean 0, sd 1.

    Over the training part, that is. Of frames, told by their further column, the mask stays and
    padding stays 0; they are brought to the length T of those that were trained on.
    """
    mean, std = np.array(stats["mean"]), np.array(stats["std"])
    if x.shape[-1] == len(mean):
        return ((x - mean) / std).astype(np.float32)
    x = x[:, : stats["length"]]
    x = np.pad(x, ((0, 0), (0, stats["length"] - x.shape[1]), (0, 0)))
    mask = x[..., -1:]
    return np.concatenate([(x[..., :-1] - mean) / std * mask, mask], -1).astype(np.float32)


def training_rows(split: Split, seed: int, epoch: int, balance: bool = False) -> Arrays:
    """Rows of each modality and the label of one epoch's examples, `[N]`, shuffled.

    With `balance` they are drawn with `chances`, some several times, others not at all.
    """
    examples, rng = split.examples(epoch), np.random.default_rng([seed, epoch])
    n = len(split)
    order = rng.choice(n, n, p=chances(split, examples)) if balance else rng.permutation(n)
    return {name: column[order] for name, column in examples.items()}


def chances(split: Split, examples: Arrays) -> np.ndarray:
    """Probabilities `[N]` of examples that weigh all classes alike, and smaller sources more.

    Within a class a source, one of the sets that `a+b` joins, weighs the square root of its items:
    no source is drowned, and the few items of a small one are not repeated without end.
    """
    corpus = split.corpora[split.lead]
    name = corpus.id[examples[split.lead]] if "+" in corpus.name else np.full(len(split), "")
    source = np.char.partition(name, "/")[:, 0]
    _, group, size = np.unique(
        np.char.add(examples["label"].astype(str), source), return_inverse=True, return_counts=True
    )
    weight = size[group] ** -0.5
    of_class = np.bincount(examples["label"], weight)
    p = weight / of_class[examples["label"]]
    return p / p.sum()


def padded(rows: Arrays, batch_size: int) -> Arrays:
    """Rows `[N]`, padded to whole batches; `mask` is 1 for real."""
    n = len(rows["label"])
    rows = rows | {"mask": np.ones(n, np.float32)}
    return {name: np.pad(column, (0, -n % batch_size)) for name, column in rows.items()}


def chunk_rows(rows: Mapping[str, np.ndarray], batch_size: int, chunk: int) -> Iterator[Arrays]:
    """Whole batches, grouped `[K, B]`; the last group may be shorter, a last part batch is left."""
    batches = in_batches(rows, batch_size)
    steps = len(batches["label"])
    for start in range(0, steps, chunk):
        yield {name: column[start : start + chunk] for name, column in batches.items()}


def in_batches(rows: Mapping[str, np.ndarray], batch_size: int) -> Arrays:
    """`[N]` -> `[N // B, B]`."""
    steps = len(rows["label"]) // batch_size
    return {
        name: column[: steps * batch_size].reshape(steps, batch_size)
        for name, column in rows.items()
    }


class DeviceFeeder:
    """Yields row indices `[K, B]`; the arrays are `resident` and gathered inside the chunk."""

    def __init__(self, arrays: Mapping[str, np.ndarray], mesh: "Mesh"):
        from fdigits import devices

        self.mesh, self._devices = mesh, devices
        self.resident = devices.replicate(dict(arrays), mesh)

    def __call__(self, rows: Arrays, batch_size: int, chunk: int) -> Iterator[Batches]:
        own = self._devices.own(self.mesh, batch_size)
        for group in chunk_rows(known(rows, self.resident), batch_size, chunk):
            mine = {name: column[:, own] for name, column in group.items()}
            yield self._devices.place(mine, self.mesh)


class HostFeeder:
    """Yields whole batches `[K, B, ...]`, gathered and prefetched by tf.data."""

    resident: ClassVar[dict] = {}  # the batches are whole

    def __init__(self, arrays: Mapping[str, np.ndarray], mesh: "Mesh"):
        import tensorflow as tf

        from fdigits import devices

        tf.config.set_visible_devices([], "GPU")
        self.mesh, self._devices, self._tf = mesh, devices, tf
        self._arrays = {name: tf.constant(array) for name, array in arrays.items()}

    def __call__(self, rows: Arrays, batch_size: int, chunk: int) -> Iterator[Batches]:
        tf, arrays = self._tf, self._arrays
        own = self._devices.own(self.mesh, batch_size)
        batches = in_batches(known(rows, arrays), batch_size)

        def gather(group):
            return group | {name: tf.gather(arrays[name], group[name]) for name in arrays}

        dataset = (
            tf.data.Dataset.from_tensor_slices({k: v[:, own] for k, v in batches.items()})
            .batch(chunk)
            .map(gather, num_parallel_calls=1, deterministic=True)
            .prefetch(2)
        )
        for group in dataset.as_numpy_iterator():
            yield self._devices.place(group, self.mesh)


def known(rows: Arrays, arrays: Mapping) -> Arrays:
    """The rows of the modalities that a feeder holds, and what is no modality."""
    return {k: v for k, v in rows.items() if k in arrays or k in ("label", "mask")}


def make_feeder(
    kind: str, arrays: Mapping[str, np.ndarray], mesh: "Mesh | None" = None
) -> DeviceFeeder | HostFeeder:
    """`host` (tf.data) or `device`, the same batches; `auto` is `host` on CPUs, where TensorFlow is
    installed and the arrays are not `LIGHT`.

    Args:
      mesh: the devices that share each batch; None = this process's first.
    """
    import importlib.util

    import jax

    from fdigits import devices
    from fdigits.config import choose

    if kind == "auto":
        heavy = sum(array.nbytes for array in arrays.values()) >= LIGHT
        on_cpu = jax.default_backend() == "cpu"
        tensorflow = importlib.util.find_spec("tensorflow")
        kind = "host" if heavy and on_cpu and tensorflow else "device"
    made = choose(kind, {"host": HostFeeder, "device": DeviceFeeder}, "data.feeder")
    return made(arrays, mesh or devices.one())
