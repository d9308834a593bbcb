"""Task: R4's conditional DCGAN, whose generator also has to please an auxiliary classifier."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.models import gan
from fdigits.models.classifiers import Head
from fdigits.models.encoders import ExampleEncoder
from fdigits.models.layers import glorot
from fdigits.models.mobilenet import MobileNetEncoder
from fdigits.tasks.classify import cross_entropy
from fdigits.tasks.generate import Generate, refuse_half_precision
from fdigits.tasks.task import Batch
from fdigits.train import Player

AUXILIARY = ("auxiliary_encoder", "auxiliary_head")  # start from the stage `auxiliary`, and stay


class Modules(nn.Module):
    """All modules, to make their parameters at once; each is applied by itself."""

    noise: int

    def setup(self):
        self.generator, self.discriminator = gan.Generator(), gan.Discriminator()
        self.auxiliary_encoder, self.auxiliary_head = MobileNetEncoder(), Head((), glorot)
        self.judge_encoder, self.judge_head = ExampleEncoder(), Head()

    def __call__(self, batch: Batch, train: bool) -> None:
        image, label = batch["image"], jnp.zeros(len(batch["image"]), jnp.int32)
        self.generator(jnp.zeros((len(image), self.noise)), label, train)
        self.discriminator(image, label, train)
        self.auxiliary_head(self.auxiliary_encoder(image, train))
        self.judge_head(self.judge_encoder(image, train))


class Gan(Generate):
    """The discriminator's turn, then the generator's, in each step."""

    FIELDS = ("noise",)

    @classmethod
    def of(cls, config: ConfigDict) -> "Gan":
        refuse_half_precision(config)
        return cls(Modules(config.model.noise), config)

    @property
    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self._tell_apart, ("discriminator",)),
            "generator": Player(self._deceive, ("generator",)),
        }

    def _drawn(self, params, batch_stats, label: jax.Array, key: jax.Array):
        """Pictures `[B, 28, 28, 1]` in training, and the generator's new statistics."""
        noise_key, dropout = jax.random.split(key)
        noise = jax.random.normal(noise_key, (len(label), self.noise_size))
        own = {"params": params["generator"], "batch_stats": batch_stats["generator"]}
        return gan.Generator().apply(
            own, noise, label, train=True, rngs={"dropout": dropout}, mutable=["batch_stats"]
        )

    def _score(self, params, image: jax.Array, label: jax.Array, key: jax.Array) -> jax.Array:
        own = {"params": params["discriminator"]}
        return gan.Discriminator().apply(own, image, label, train=True, rngs={"dropout": key})

    def _tell_apart(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Cross-entropy of real against drawn pictures of the same labels."""
        keys, label = jax.random.split(key, 4), batch["label"]
        drawn, _ = self._drawn(params, batch_stats, label, keys[0])
        real = self._score(params, self.inputs(batch, keys[1])["image"], label, keys[2])
        fake = self._score(params, jax.lax.stop_gradient(drawn), label, keys[3])
        loss = _entropy(real, 1) + _entropy(fake, 0)
        right = ((real > 0).mean() + (fake < 0).mean()) / 2
        return loss, (batch_stats, {"loss": loss, "accuracy": right})

    def _deceive(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Cross-entropy of drawn pictures as real, and of the auxiliary's scores."""
        keys, label = jax.random.split(key), batch["label"]
        drawn, new = self._drawn(params, batch_stats, label, keys[0])
        deceived = _entropy(self._score(params, drawn, label, keys[1]), 1)
        named = cross_entropy(self._auxiliary(params, batch_stats, drawn), label)
        batch_stats = {**batch_stats, "generator": new["batch_stats"]}
        loss = deceived + named
        return loss, (batch_stats, {"loss": loss, "deceived": deceived, "named": named})

    def _auxiliary(self, params, batch_stats, image: jax.Array) -> jax.Array:
        """Scores `[B, 10]` of the frozen auxiliary classifier."""
        encoder, head = AUXILIARY
        own = {"params": params[encoder], "batch_stats": batch_stats[encoder]}
        features = MobileNetEncoder().apply(own, image, train=False)
        return Head((), glorot).apply({"params": params[head]}, features)

    def draw(self, params, batch_stats, noise_BxZ: jax.Array, label_B: jax.Array) -> jax.Array:
        own = {"params": params["generator"], "batch_stats": batch_stats["generator"]}
        return self.within_1(gan.Generator().apply(own, noise_BxZ, label_B, train=False))


def _entropy(score_B: jax.Array, target: int) -> jax.Array:
    """Mean cross-entropy of "real" (1) or "drawn" (0)."""
    return optax.sigmoid_binary_cross_entropy(score_B, jnp.full(score_B.shape, target)).mean()
