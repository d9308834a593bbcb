"""Task: a classifier of pictures, recordings, or both."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from fdigits import metrics
from fdigits.config import choose
from fdigits.models import classifiers, mobilenet
from fdigits.tasks.task import Batch, Outputs, Task


def cross_entropy(logits_BxV: jax.Array, label_B: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(logits_BxV, label_B).mean()


def squared_error(scores_BxV: jax.Array, label_B: jax.Array) -> jax.Array:
    """Mean squared error of scores on one-hot targets (R3)."""
    return jnp.square(scores_BxV - jax.nn.one_hot(label_B, scores_BxV.shape[-1])).mean()


LOSSES = {"cross_entropy": cross_entropy, "mse": squared_error}


class Classify(Task):
    """Scores of the ten digits, by cross-entropy or squared error."""

    SCORES: ClassVar = {"accuracy": 1, "loss": -1}
    PREDICTIONS = ("logits", "weights")

    @classmethod
    def of(cls, config: ConfigDict) -> "Classify":
        return cls(classifiers.make(config.model), config)

    @property
    def reads(self) -> tuple[str, ...]:
        return classifiers.modalities(self.config.model)

    @property
    def given(self) -> tuple[str, ...]:
        return () if self.config.model.get("name") == "experts" else self.reads

    def started(self, params, batch_stats):
        """With `model.weights="imagenet"` the base of MobileNetV2 is Keras'."""
        if self.config.model.get("weights") != "imagenet":
            return params, batch_stats
        held = mobilenet.imagenet()
        collections = zip((params, batch_stats), ("params", "batch_stats"), strict=True)
        return tuple(
            given | {"encoder": given["encoder"] | {"base": jax.tree.map(jnp.asarray, held[kind])}}
            for given, kind in collections
        )

    def _error(self, logits, label) -> jax.Array:
        return choose(self.config.loss, LOSSES, "loss")(logits, label)

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """The config's loss and the model's penalties; aux: new statistics, loss and accuracy."""
        outputs, mutated = self.trained(params, batch_stats, batch, key)
        logits = outputs["logits"].astype(jnp.float32)
        loss, told = self.told(logits, batch["label"], mutated)
        return loss, (mutated.get("batch_stats", {}), told)

    def trained(self, params, batch_stats, batch: Batch, key: jax.Array):
        """The model's outputs in training, and its new statistics and penalties."""
        return self.model.apply(
            {"params": self.cast(params), "batch_stats": batch_stats},
            self.inputs(batch, key),
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "losses"],
        )

    def told(self, logits_BxV: jax.Array, label_B: jax.Array, mutated):
        """The loss with the model's penalties, and the loss without them and the accuracy."""
        loss = self._error(logits_BxV, label_B)
        right = (logits_BxV.argmax(-1) == label_B).mean()
        penalties = jax.tree.leaves(mutated.get("losses", {}))
        return loss + sum(penalties), {"loss": loss, "accuracy": right}

    def evaluate(self, params, batch_stats, batch: Batch) -> Outputs:
        """`logits` `[B, 10]` and the embeddings, without dropout, float32."""
        variables = {"params": self.cast(params), "batch_stats": batch_stats}
        outputs = self.model.apply(variables, self.inputs(batch), train=False)
        return {name: array.astype(jnp.float32) for name, array in outputs.items()}

    def summary(self, outputs: Mapping[str, np.ndarray], label_N: np.ndarray) -> dict:
        """The config's loss, without the model's penalties, and `metrics.summary`."""
        loss = self._error(outputs["logits"], label_N)
        return {"loss": float(loss)} | metrics.summary(outputs["logits"], label_N)

    def probabilities(self, outputs: Outputs) -> jax.Array:
        return jax.nn.softmax(outputs["logits"])

    def explained(self, outputs: Outputs) -> jax.Array:
        """The predicted digit's score."""
        return outputs["logits"].max(-1)
