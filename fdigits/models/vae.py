"""From the sound of a digit to a picture of it: variational autoencoders, and their judge (R2)."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.data.corpus import CLASSES, SIDE
from fdigits.models.classifiers import Head
from fdigits.models.encoders import ConvEncoder, ExampleEncoder
from fdigits.models.layers import ConvTranspose, Dense, Dropout, StridedConv

Batch = Mapping[str, jax.Array]


class Gaussian(nn.Module):
    """Dense layers, then a diagonal Gaussian: `[B, ...]` -> mean and log variance, `[B, D]`."""

    latent: int
    hidden: Sequence[int] = (256, 256)

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(Dense(width)(x))
        return tuple(jnp.split(Dense(2 * self.latent)(x), 2, -1))


class Decoder(nn.Module):
    """Dense layers, two transposed convolutions: `[B, D]` -> pixels' logits `[B, 28, 28, 1]`."""

    hidden: Sequence[int] = ()
    filters: Sequence[int] = (64, 32)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.hidden:
            x = nn.relu(Dense(width)(x))
        first, second = self.filters
        x = nn.relu(Dense(SIDE // 4 * (SIDE // 4) * first)(x))
        x = x.reshape(-1, SIDE // 4, SIDE // 4, first)
        x = nn.relu(ConvTranspose(second, 4)(x))
        return ConvTranspose(1, 4)(x)


class MeanEncoder(nn.Module):
    """Two dense layers with dropout over a recording's means: `[B, 40]` -> `[B, width]`."""

    width: int = 512
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for _ in range(2):
            x = Dropout(self.dropout)(nn.relu(Dense(self.width)(x)), train)
        return x


class Reader(nn.Module):
    """Two convolutions that go by 2, then the digits' scores: `[B, 28, 28, 1]` -> `[B, 10]`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for filters in (16, 32):
            x = nn.relu(StridedConv(filters, 5)(x))
        return Dense(CLASSES)(x.reshape(x.shape[0], -1))


EARS = {"mean_mfcc": MeanEncoder, "audio": ConvEncoder}  # what hears -> how, for the sharp one


class Judged(nn.Module):
    """What both generators have: the judge, which learns nothing here."""

    sound: str  # the modality that is heard
    latent: int

    def setup(self) -> None:
        self.judge_encoder, self.judge_head = ExampleEncoder(), Head()

    def judge(self, image_Bx28x28x1: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Its features `[B, 128]` and scores `[B, 10]` of pictures in its own normalisation."""
        features = self.judge_encoder(image_Bx28x28x1, False)
        return features, self.judge_head(features)

    def noise(self, batch: Batch, like: jax.Array) -> jax.Array:
        """The batch's `noise` `[B, D]`, else standard normal of the stream "latent", else 0."""
        if "noise" in batch:
            return batch["noise"].astype(like.dtype)
        shape = (like.shape[0], self.latent)
        if not self.has_rng("latent"):
            return jnp.zeros(shape, like.dtype)
        return jax.random.normal(self.make_rng("latent"), shape, like.dtype)

    def _initialise(self, like: jax.Array) -> None:
        if self.is_initializing():
            self.judge(jnp.zeros((1, SIDE, SIDE, 1), like.dtype))


class VAE(Judged):
    """R2's: the sound gives a Gaussian, a point of it the picture."""

    def setup(self) -> None:
        super().setup()
        self.encoder, self.decoder = Gaussian(self.latent), Decoder()

    def describe(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """What the sound says, twice: for the decoder `[B, 2D]`, and its embedding `[B, D]`."""
        mean, log_variance = self.encoder(batch[self.sound])
        return jnp.concatenate([mean, log_variance], -1), mean

    def draw(self, told_Bx2D: jax.Array, noise_BxD: jax.Array) -> jax.Array:
        """Pixels' logits `[B,28,28,1]` of the mean + noise x standard deviation."""
        mean, log_variance = jnp.split(told_Bx2D, 2, -1)
        return self.decoder(mean + jnp.exp(log_variance / 2) * noise_BxD)

    def __call__(self, batch: Batch, train: bool) -> dict[str, jax.Array]:
        """`mean`, `log_variance` `[B, D]`, and `pixels`, logits `[B,28,28,1]` of one draw."""
        sound = batch[self.sound]
        self._initialise(sound)
        told, mean = self.describe(batch)
        pixels = self.draw(told, self.noise(batch, sound))
        return {"mean": mean, "log_variance": told[:, self.latent :], "pixels": pixels}


class SharpVAE(Judged):
    """The sound says which digit; noise says how it is written.

    An ear names the digit. The decoder learns to draw true pictures from their digit and a style,
    which an encoder of that very picture and digit gives: a conditional variational autoencoder
    (Sohn et al., 2015). No style need be guessed from a sound that knows none, so nothing is
    averaged. Where there is no picture, the style is drawn from the digit's prior, a Gaussian that
    is learnt too. A small reader of pictures learns beside it (it is not the judge): what is drawn
    from the prior must be read as its digit, or else style would carry some of that.
    """

    def setup(self) -> None:
        super().setup()
        self.ear, self.ear_head = EARS[self.sound](), Head()
        # A layer before the map's: digit and style must meet in products, not in sums alone.
        self.style, self.decoder = Gaussian(self.latent, (512,)), Decoder((512,))
        self.prior = nn.Dense(2 * self.latent, False, kernel_init=nn.initializers.zeros)
        self.reader = Reader()

    def describe(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """The digit that is heard `[B, 10]`, one 1, and the ear's embedding `[B, width]`."""
        heard = self.ear(batch[self.sound], False)
        return jax.nn.one_hot(self.ear_head(heard).argmax(-1), CLASSES), heard

    def draw(self, digit_Bx10: jax.Array, noise_BxD: jax.Array) -> jax.Array:
        """Pixels' logits `[B,28,28,1]` of digits, each in a style of its prior."""
        mean, log_variance = jnp.split(self.prior(digit_Bx10), 2, -1)
        return self._decode(digit_Bx10, mean + jnp.exp(log_variance / 2) * noise_BxD)

    def read(self, image_Bx28x28x1: jax.Array) -> jax.Array:
        """The reader's scores `[B, 10]` of pictures in [0, 1]."""
        return self.reader(image_Bx28x28x1)

    def _decode(self, digit_Bx10: jax.Array, style_BxD: jax.Array) -> jax.Array:
        return self.decoder(jnp.concatenate([digit_Bx10, style_BxD], -1))

    def __call__(self, batch: Batch, train: bool) -> dict[str, jax.Array]:
        """As `VAE`, of the picture's style; `prior` `[B, 2D]`, mean and log variance of the digit's
        styles; `heard`, the ear's scores `[B, 10]`, and `read`, the reader's of the picture.

        Args:
          batch: the sound, the picture `image` and its `digit` `[B, 10]` (absent: the one heard).
        """
        self._initialise(batch[self.sound])
        heard = self.ear_head(self.ear(batch[self.sound], train))
        digit = batch.get("digit", jax.nn.one_hot(heard.argmax(-1), CLASSES))
        image = batch["image"].reshape(len(digit), -1)
        mean, log_variance = self.style(jnp.concatenate([image, digit], -1))
        style = mean + jnp.exp(log_variance / 2) * self.noise(batch, mean)
        return {
            "mean": mean,
            "log_variance": log_variance,
            "prior": self.prior(digit),
            "pixels": self._decode(digit, style),
            "heard": heard,
            "read": self.reader(batch["image"]),
        }


MODELS: dict[str, Callable[..., Judged]] = {"vae": VAE, "sharp": SharpVAE}


def make(model: ConfigDict) -> Judged:
    """`config.model` -> module.

    Raises:
      UserError: a word that names nothing.
    """
    choose(model.sound, EARS, "model.sound")
    return choose(model.name, MODELS, "model.name")(model.sound, model.latent)


class TunedJudge(nn.Module):
    """The judge twice: as it was, and one that learns from drawn pictures."""

    def setup(self) -> None:
        self.encoder, self.head = ExampleEncoder(), Head()
        self.judge_encoder, self.judge_head = ExampleEncoder(), Head()

    def __call__(self, batch: Batch, train: bool) -> dict[str, jax.Array]:
        """`logits` and `untouched` `[B, 10]` of `picture` `[B,28,28,1]`, and an embedding."""
        seen = self.encoder(batch["picture"], train)
        untouched = self.judge_head(self.judge_encoder(batch["picture"], False))
        return {"picture": seen, "logits": self.head(seen), "untouched": untouched}
