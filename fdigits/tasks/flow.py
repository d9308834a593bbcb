"""Task: a conditional flow from noise to digits (flow matching, Lipman et al. 2023).

A generator that bears few pictures: it has one loss, a squared error, so nothing can collapse.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.data.corpus import SIDE
from fdigits.errors import UserError
from fdigits.models import flow
from fdigits.models.classifiers import Head
from fdigits.models.encoders import ExampleEncoder
from fdigits.tasks.generate import Generate, refuse_half_precision
from fdigits.tasks.task import Batch
from fdigits.train import Player

STEPS = 12  # of the way from noise to a picture


class Modules(nn.Module):
    """All modules, to make their parameters at once; each is applied by itself."""

    width: int

    def setup(self):
        self.flow = flow.UNet(self.width)
        self.judge_encoder, self.judge_head = ExampleEncoder(), Head()

    def __call__(self, batch: Batch, train: bool) -> None:
        image = batch["image"]
        self.flow(image, jnp.zeros(len(image)), jnp.zeros(len(image), jnp.int32))
        self.judge_head(self.judge_encoder(image, train))


class Flow(Generate):
    """Learns the velocity of straight ways from noise (time 0) to pictures (1), which `data.pixels`
    puts within -1..1."""

    FIELDS = ("width",)

    @classmethod
    def of(cls, config: ConfigDict) -> "Flow":
        refuse_half_precision(config)
        if config.model.width % flow.GROUPS:
            raise UserError(
                f"model.width is {config.model.width}: {config.name} needs a multiple of "
                f"{flow.GROUPS}"
            )
        return cls(Modules(config.model.width), config)

    @property
    def players(self) -> dict[str, Player]:
        return {"flow": Player(self.loss, ("flow",))}

    @property
    def noise_size(self) -> int:
        """A number a pixel."""
        return SIDE * SIDE

    def _velocity(self, params, x: jax.Array, time_B: jax.Array, label_B: jax.Array) -> jax.Array:
        unet = flow.UNet(self.config.model.width)
        return unet.apply({"params": params["flow"]}, x, time_B, label_B)

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Mean squared error of the velocity, picture minus noise, at a random time."""
        keys, label = jax.random.split(key, 3), batch["label"]
        image = self.inputs(batch, keys[0])["image"]
        noise = jax.random.normal(keys[1], image.shape)
        time_B = jax.random.uniform(keys[2], label.shape)
        at = time_B[:, None, None, None]
        found = self._velocity(params, (1 - at) * noise + at * image, time_B, label)
        loss = jnp.square(found - (image - noise)).mean()
        return loss, (batch_stats, {"loss": loss})

    def draw(self, params, batch_stats, noise_BxZ: jax.Array, label_B: jax.Array) -> jax.Array:
        """Goes along the velocity in `STEPS` equal steps."""

        def step(number, x):
            time_B = jnp.full(len(x), number / STEPS)
            return x + self._velocity(params, x, time_B, label_B) / STEPS

        start = noise_BxZ.reshape(-1, SIDE, SIDE, 1)
        return self.within_1(jax.lax.fori_loop(0, STEPS, step, start))
