"""Stage: a classifier of pictures, recordings, or both, by cross-entropy."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

Batch = Mapping[str, jax.Array]


def inputs(batch: Batch) -> dict[str, jax.Array]:
    """uint8 pictures `[B,28,28]` -> float32 `[B,28,28,1]` by mean 0.5, sd 0.5 (R0); MFCC as is."""
    if "image" not in batch:
        return dict(batch)
    image = (batch["image"].astype(jnp.float32) / 255 - 0.5) / 0.5
    return {**batch, "image": image[..., None]}


class Classify(NamedTuple):
    """The pure functions of the stage, for one model."""

    model: nn.Module

    def init(self, key: jax.Array, batch: Batch) -> dict:
        """Variables `params` and, where the model normalises by batches, `batch_stats`."""
        return self.model.init(key, inputs(batch), train=False)

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Mean cross-entropy; aux: new batch statistics, and loss and accuracy."""
        outputs, mutated = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            inputs(batch),
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        logits, label = outputs["logits"], batch["label"]
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
        metrics = {"loss": loss, "accuracy": (logits.argmax(-1) == label).mean()}
        return loss, (mutated.get("batch_stats", {}), metrics)

    def evaluate(self, params, batch_stats, batch: Batch) -> dict[str, jax.Array]:
        """`logits` `[B, 10]` and the embeddings, without dropout."""
        variables = {"params": params, "batch_stats": batch_stats}
        return self.model.apply(variables, inputs(batch), train=False)
