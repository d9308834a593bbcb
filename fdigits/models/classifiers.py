"""The five classifiers of report R0: one encoder, or two whose embeddings are joined."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.models.encoders import ConvEncoder, LSTMEncoder
from fdigits.models.layers import EPSILON, MOMENTUM, Dense, Dropout

CLASSES = 10


class Classifier(nn.Module):
    """One modality: its encoder, then the class scores (R0 Tables 1 to 3)."""

    modality: str
    encoder: nn.Module

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], train: bool) -> dict[str, jax.Array]:
        """Returns `logits` `[B, 10]` and, under the modality's name, its embedding `[B, D]`."""
        embedding = self.encoder(batch[self.modality], train)
        return {self.modality: embedding, "logits": Dense(CLASSES, name="head")(embedding)}


class HybridNet(nn.Module):
    """Two encoders, concatenated, and a classifier (R0 Tables 4 to 6)."""

    image_encoder: nn.Module
    audio_encoder: nn.Module
    width: int = 128
    dropout: float = 0.25

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], train: bool) -> dict[str, jax.Array]:
        """Returns `logits` `[B, 10]` and the embeddings `image` and `audio` `[B, D]`."""
        image = self.image_encoder(batch["image"], train)
        audio = self.audio_encoder(batch["audio"], train)
        x = Dense(self.width, name="joint")(jnp.concatenate([image, audio], -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=MOMENTUM, epsilon=EPSILON)(x)
        x = Dropout(self.dropout)(nn.relu(x), train)
        return {"image": image, "audio": audio, "logits": Dense(CLASSES, name="head")(x)}


def modalities(model: ConfigDict) -> tuple[str, ...]:
    """The inputs a model reads."""
    single = {name: (name,) for name in ("image", "audio")}
    return choose(model.name, single | {"hybrid": ("image", "audio")}, "model.name")


def make(model: ConfigDict) -> nn.Module:
    """`config.model` -> module: `image`, `audio` (net cnn or lstm) or `hybrid`."""
    hybrid = model.name == "hybrid"

    def conv():
        return ConvEncoder(filters=tuple(model.filters), width=model.width)

    def lstm():
        return LSTMEncoder(width=model.width, dropout=0.25 if hybrid else 0.0)

    audio = choose(model.audio, {"cnn": conv, "lstm": lstm}, "model.audio")
    return choose(
        model.name,
        {
            "image": lambda: Classifier("image", conv()),
            "audio": lambda: Classifier("audio", audio()),
            "hybrid": lambda: HybridNet(conv(), audio()),
        },
        "model.name",
    )()
