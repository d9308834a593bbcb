"""Task: a conditional variational autoencoder of digits (Sohn et al. 2015), for scarce pictures.

It has one loss, which falls: there is no adversary that few pictures let win. A picture is drawn
from its digit and a style, which in training an encoder of that picture and digit gives. A reader
learns beside it (it is not the judge): what is drawn with a style of the normal distribution must
be read as its digit, or else style would carry some of that.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.data.corpus import CLASSES
from fdigits.models.classifiers import Head
from fdigits.models.encoders import ExampleEncoder
from fdigits.models.vae import Decoder, Gaussian, Reader
from fdigits.tasks.classify import cross_entropy
from fdigits.tasks.generate import Generate, refuse_half_precision
from fdigits.tasks.sound_to_image import READING, bernoulli, gaussian_kl
from fdigits.tasks.task import Batch
from fdigits.train import Player


class Modules(nn.Module):
    """All modules, to make their parameters at once, and what each does by itself."""

    latent: int

    def setup(self):
        # A layer before the map's: digit and style must meet in products, not in sums alone.
        self.style, self.decoder = Gaussian(self.latent, (512,)), Decoder((512,))
        self.reader = Reader()
        self.judge_encoder, self.judge_head = ExampleEncoder(), Head()

    def encode(self, image: jax.Array, digit_Bx10: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance `[B, D]` of the style of pictures 0..1."""
        return self.style(jnp.concatenate([image.reshape(len(image), -1), digit_Bx10], -1))

    def decode(self, digit_Bx10: jax.Array, style_BxD: jax.Array) -> jax.Array:
        """Pixels' logits `[B, 28, 28, 1]`."""
        return self.decoder(jnp.concatenate([digit_Bx10, style_BxD], -1))

    def read(self, image: jax.Array) -> jax.Array:
        """The reader's scores `[B, 10]` of pictures 0..1."""
        return self.reader(image)

    def __call__(self, batch: Batch, train: bool) -> None:
        image = batch["image"]
        digit = jnp.zeros((len(image), CLASSES))
        self.decode(digit, self.encode(image, digit)[0])
        self.reader(image)
        self.judge_head(self.judge_encoder(image, train))


class Cvae(Generate):
    """The evidence lower bound of pictures, given their digit."""

    FIELDS = ("noise",)

    @classmethod
    def of(cls, config: ConfigDict) -> "Cvae":
        refuse_half_precision(config)
        return cls(Modules(config.model.noise), config)

    @property
    def players(self) -> dict[str, Player]:
        return {"cvae": Player(self.loss, ("style", "decoder", "reader"))}

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Minus the bound; not told of, the reader's cross-entropy on true and drawn pictures."""
        keys, label = jax.random.split(key, 3), batch["label"]
        image = self.within_1(self.inputs(batch, keys[0])["image"])
        digit = jax.nn.one_hot(label, CLASSES)
        mean, log_variance = self._apply(params, "encode", image, digit)
        noise = jax.random.normal(keys[1], mean.shape)
        pixels = self._apply(params, "decode", digit, mean + jnp.exp(log_variance / 2) * noise)
        told = {
            "reconstruction": bernoulli(pixels, image).mean(),
            "kl": gaussian_kl(mean, log_variance).mean(),
        }
        loss = told["reconstruction"] + told["kl"]
        drawn = self.draw(params, batch_stats, jax.random.normal(keys[2], mean.shape), label)
        still = params | {"reader": jax.lax.stop_gradient(params["reader"])}
        aside = cross_entropy(self._apply(params, "read", image), label)
        aside += READING * cross_entropy(self._apply(still, "read", drawn), label)
        return loss + aside, (batch_stats, {"loss": loss} | told)

    def _apply(self, params, method: str, *given: jax.Array):
        return self.model.apply({"params": params}, *given, method=method)

    def draw(self, params, batch_stats, noise_BxZ: jax.Array, label_B: jax.Array) -> jax.Array:
        digit = jax.nn.one_hot(label_B, CLASSES)
        return jax.nn.sigmoid(self._apply(params, "decode", digit, noise_BxZ))
