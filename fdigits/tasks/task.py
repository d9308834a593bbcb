"""What every kind of training has: what it reads of a batch, and what the loop asks of it."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits import augment, noise, voices
from fdigits.config import choose
from fdigits.data.corpus import MODALITIES
from fdigits.errors import UserError
from fdigits.train import Player

Batch = Mapping[str, jax.Array]
Outputs = dict[str, jax.Array]
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One kind of training for one config: pure functions. Subclasses say what differs."""

    model: nn.Module
    config: ConfigDict

    # Validation figures that may choose weights (`config.monitor`): 1 where more is better, -1.
    SCORES: ClassVar[Mapping[str, int]] = {"loss": -1}
    # Outputs kept of each test item; the other outputs are embeddings.
    PREDICTIONS: ClassVar[tuple[str, ...]] = ()
    # Fields of `config.model` that it cannot do without.
    FIELDS: ClassVar[tuple[str, ...]] = ()
    # Whether `evaluate` follows from the config's seed: such are not trained at once with others.
    SEEDED: ClassVar[bool] = False

    @classmethod
    def of(cls, config: ConfigDict) -> "Task":
        """The task with the model of `config.model`."""
        raise NotImplementedError

    @property
    def reads(self) -> tuple[str, ...]:
        """The arrays of a batch that the model reads: modalities, or what a stage made of them."""
        raise NotImplementedError

    @property
    def given(self) -> tuple[str, ...]:
        """Those of `reads` that every item has; the others are targets, for training alone."""
        return self.reads

    @property
    def players(self) -> dict[str, Player]:
        """Who learns in each step, in turn; each sees what those before it have learnt."""
        return {"model": Player(self.loss)}

    def pixels(self, module: str) -> tuple[float, float] | None:
        """The mean and sd that normalise the pictures that a module is shown; None: it sees none,
        or as they are, within 0..1."""
        return self.config.data.pixels if "image" in self.reads else None

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """The loss of the only player, see `Player`."""
        raise NotImplementedError

    def evaluate(self, params, batch_stats, batch: Batch) -> Outputs:
        """What the trained model makes of each item, `[B, ...]` each, without randomness."""
        raise NotImplementedError

    def summary(self, outputs: Mapping[str, np.ndarray], label_N: np.ndarray) -> dict:
        """Figures of a whole part from its outputs: plain numbers and lists, and "n"."""
        raise NotImplementedError

    def encode(self, params, batch_stats, batch: Batch) -> Outputs:
        """What a later stage may read of each item, `[B, ...]` each (`data.encoded`)."""
        return self.evaluate(params, batch_stats, batch)

    def generate(self, params, batch_stats, key: jax.Array, label_B: jax.Array) -> jax.Array:
        """Pictures `[B, 28, 28]` uint8 of these digits, for a later stage (`data.generated`)."""
        raise UserError(f"stage {self.config.name} ({self.config.task}) generates no pictures")

    def started(self, params: dict, batch_stats: dict) -> tuple[dict, dict]:
        """Parameters and statistics before the first step, where some do not start at random.

        Raises:
          UserError: they cannot be had.
        """
        return params, batch_stats

    def leave(self, params, batch_stats, splits, arrays) -> dict[str, dict[str, np.ndarray]]:
        """Further files for the page, and the arrays in each: `{"walk.npz": {"image": ...}}`.

        Args:
          splits: the three parts, by name.
          arrays: what their rows point into, `[N, ...]` each.
        """
        return {}

    def samples(self, params, batch_stats) -> jax.Array | None:
        """Pictures `[10, K, 28, 28]` uint8 of each digit, from the same noise after each epoch."""
        return None

    def probabilities(self, outputs: Outputs) -> jax.Array:
        """`[B, 10]`, of each digit."""
        raise UserError(
            f"{self.config.name} is a training of the task {self.config.task}, which names no "
            "digit: give a classifier's run"
        )

    def explained(self, outputs: Outputs) -> jax.Array | None:
        """The score `[B]` that Grad-CAM explains, or None."""
        return None

    def inputs(self, batch: Batch, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What the model reads of a batch.

        Pictures `[B,28,28]` uint8 -> `[B,28,28,1]`, spectrograms `[B,128,128,3]` uint8 -> the same
        shape, both divided by 255; pictures normalised by `data.pixels`; words `[B,10000]` int16
        within ±1; all else as it is. With a key, augmentation and noise as the config asks, for
        training.
        """
        read = {}
        for number, name in enumerate(self.reads):
            if name not in batch and name not in self.given:
                continue
            x = batch[name]
            if name in MODALITIES and MODALITIES[name].dtype == "uint8":
                x = x.astype(jnp.float32) / 255
            if name == "image":
                x = self._picture(x[..., None], key)
            if name == "word":
                x = self._word(x.astype(jnp.float32) / 32_768, key)
            if key is not None and self.config.input_noise:
                own = jax.random.fold_in(key, number)
                x += self.config.input_noise * noise.gaussian(own, x.shape)
            read[name] = x.astype(self.dtype)
        return read

    def _picture(self, x_BxHxWx1: jax.Array, key: jax.Array | None) -> jax.Array:
        chosen, (mean, std) = self.config.augment, self.config.data.pixels
        if key is not None and chosen.strength and not chosen.generated:
            own = jax.random.fold_in(key, 1 << 16)
            x_BxHxWx1 = augment.apply(chosen.name, x_BxHxWx1, own, chosen.strength)
        return (x_BxHxWx1 - mean) / std

    def _word(self, x_BxT: jax.Array, key: jax.Array | None) -> jax.Array:
        strength = self.config.augment.strength
        if key is None or not strength:
            return x_BxT
        return voices.combined(x_BxT, jax.random.fold_in(key, 1 << 18), strength)

    @property
    def dtype(self) -> jnp.dtype:
        """Of activations; parameters, statistics and losses are float32."""
        return choose(self.config.dtype, DTYPES, "dtype")

    def cast(self, params):
        """Parameters in the activations' type."""
        return jax.tree.map(lambda p: p.astype(self.dtype), params)

    def init(self, key: jax.Array, batch: Batch) -> dict:
        """Variables `params` and, where the model normalises by batches, `batch_stats`."""
        read = {name: x.astype(jnp.float32) for name, x in self.inputs(batch).items()}
        return self.model.init(key, read, train=False)


def blank_batch(reads: tuple[str, ...]) -> dict[str, np.ndarray]:
    """One item of the modalities that a model reads, zeros, and a label; any length is 1."""
    made = {"label": np.zeros(1, np.int32)}
    for name in reads:
        shape = [size or 1 for size in MODALITIES[name].read]
        made[name] = np.zeros((1, *shape), MODALITIES[name].dtype)
    return made
