"""Stage: a classifier of pictures, recordings, or both."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits import augment, noise
from fdigits.config import choose
from fdigits.models import classifiers

Batch = Mapping[str, jax.Array]
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}


def blank_batch() -> dict[str, np.ndarray]:
    """One item of everything that a batch can hold, zeros."""
    return {
        "image": np.zeros((1, 28, 28), np.uint8),
        "audio": np.zeros((1, 39, 13), np.float32),
        "spectrogram": np.zeros((1, 128, 128, 3), np.uint8),
        "label": np.zeros(1, np.int32),
    }


def cross_entropy(logits_BxV: jax.Array, label_B: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(logits_BxV, label_B).mean()


def squared_error(scores_BxV: jax.Array, label_B: jax.Array) -> jax.Array:
    """Mean squared error of scores on one-hot targets (R3)."""
    return jnp.square(scores_BxV - jax.nn.one_hot(label_B, scores_BxV.shape[-1])).mean()


LOSSES = {"cross_entropy": cross_entropy, "mse": squared_error}


class Classify(NamedTuple):
    """The pure functions of the stage, for one config."""

    model: nn.Module
    config: ConfigDict

    def inputs(self, batch: Batch, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What the model reads of a batch.

        Pictures `[B,28,28]` uint8 -> `[B,28,28,1]`, spectrograms `[B,128,128,3]` uint8 -> the same
        shape, both divided by 255; pictures normalised by `data.pixels`; MFCC as they are. With a
        key, augmentation and noise as the config asks, for training.
        """
        read = {}
        for number, modality in enumerate(classifiers.modalities(self.config.model)):
            x = batch[modality]
            if modality != "audio":
                x = x.astype(jnp.float32) / 255
            if modality == "image":
                x = self._picture(x[..., None], key)
            if key is not None and self.config.input_noise:
                own = jax.random.fold_in(key, number)
                x += self.config.input_noise * noise.gaussian(own, x.shape)
            read[modality] = x.astype(self.dtype)
        return read

    def _picture(self, x_BxHxWx1: jax.Array, key: jax.Array | None) -> jax.Array:
        chosen, (mean, std) = self.config.augment, self.config.data.pixels
        if key is not None and chosen.strength and not chosen.generated:
            own = jax.random.fold_in(key, 1 << 16)
            x_BxHxWx1 = augment.apply(chosen.name, x_BxHxWx1, own, chosen.strength)
        return (x_BxHxWx1 - mean) / std

    @property
    def dtype(self) -> jnp.dtype:
        """Of activations; parameters, statistics and losses are float32."""
        return choose(self.config.dtype, DTYPES, "dtype")

    def init(self, key: jax.Array, batch: Batch) -> dict:
        """Variables `params` and, where the model normalises by batches, `batch_stats`."""
        read = {name: x.astype(jnp.float32) for name, x in self.inputs(batch).items()}
        return self.model.init(key, read, train=False)

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """The config's loss and the model's penalties; aux: new statistics, loss and accuracy."""
        outputs, mutated = self.model.apply(
            {"params": self._cast(params), "batch_stats": batch_stats},
            self.inputs(batch, key),
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "losses"],
        )
        logits, label = outputs["logits"].astype(jnp.float32), batch["label"]
        loss = choose(self.config.loss, LOSSES, "loss")(logits, label)
        metrics = {"loss": loss, "accuracy": (logits.argmax(-1) == label).mean()}
        penalties = jax.tree.leaves(mutated.get("losses", {}))
        return loss + sum(penalties), (mutated.get("batch_stats", {}), metrics)

    def evaluate(self, params, batch_stats, batch: Batch) -> dict[str, jax.Array]:
        """`logits` `[B, 10]` and the embeddings, without dropout, float32."""
        variables = {"params": self._cast(params), "batch_stats": batch_stats}
        outputs = self.model.apply(variables, self.inputs(batch), train=False)
        return {name: array.astype(jnp.float32) for name, array in outputs.items()}

    def _cast(self, params):
        return jax.tree.map(lambda p: p.astype(self.dtype), params)


def make(config: ConfigDict) -> Classify:
    """The stage of a config."""
    return Classify(classifiers.make(config.model), config)
