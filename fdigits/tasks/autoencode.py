"""Task: an autoencoder of recordings, whose code a later stage may read."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.models.frames import PairAutoencoder, WholeAutoencoder
from fdigits.tasks.task import Batch, Outputs, Task

MODELS = {"whole": WholeAutoencoder, "pair": PairAutoencoder}


class Coding(Task):
    """A model of `frames` that learns by the mean of its `error` `[B]` and makes a `code`."""

    SCORES: ClassVar = {"loss": -1}
    PREDICTIONS = ("error", "reconstruction")
    reads = ("frames",)

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """The mean error and the model's penalties; aux: statistics as they were, the error."""
        outputs, sown = self.model.apply(
            {"params": self.cast(params)},
            self.inputs(batch, key),
            train=True,
            rngs={"draw": key},
            mutable=["losses"],
        )
        loss = outputs["error"].astype(jnp.float32).mean()
        penalties = jax.tree.leaves(sown.get("losses", {}))
        return loss + sum(penalties), (batch_stats, {"loss": loss})

    def evaluate(self, params, batch_stats, batch: Batch) -> Outputs:
        """The model's outputs, float32."""
        outputs = self.model.apply({"params": self.cast(params)}, self.inputs(batch), train=False)
        return {name: array.astype(jnp.float32) for name, array in outputs.items()}

    def encode(self, params, batch_stats, batch: Batch) -> Outputs:
        """The `code` alone."""
        return {"code": self.evaluate(params, batch_stats, batch)["code"]}

    def summary(self, outputs: Mapping[str, np.ndarray], label_N: np.ndarray) -> dict:
        """The mean error, without penalties, as "loss"."""
        return {"loss": float(outputs["error"].mean(dtype=np.float64)), "n": len(label_N)}


class Autoencode(Coding):
    """Squared error of the reconstruction of whole utterances or of pairs of frames (R4)."""

    FIELDS = ("name", "bottleneck")

    @classmethod
    def of(cls, config: ConfigDict) -> "Autoencode":
        """Of `config.model`: `name` "whole" or "pair", and `bottleneck`.

        Raises:
          UserError: another name.
        """
        model = choose(config.model.name, MODELS, "model.name")
        return cls(model(config.model.bottleneck), config)
