"""Classifiers: one encoder, or two whose embeddings are joined."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.models import fusion
from fdigits.models.encoders import (
    Conv1DEncoder,
    ConvEncoder,
    LeNetEncoder,
    LSTMEncoder,
    MLPEncoder,
    PlainEncoder,
)
from fdigits.models.layers import EPSILON, MOMENTUM, Dense, Dropout, glorot, torch_uniform

CLASSES = 10


class Head(nn.Module):
    """Dense layers with ReLU, then the class scores: `[B, D]` -> `[B, 10]`."""

    hidden: Sequence[int] = ()
    kernel_init: nn.initializers.Initializer = torch_uniform

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=self.kernel_init)(x))
        return nn.Dense(CLASSES, kernel_init=self.kernel_init)(x)


class Classifier(nn.Module):
    """One modality: its encoder, then the class scores (R0 Tables 1 to 3; R1, R3, R4)."""

    modality: str
    encoder: nn.Module
    head: nn.Module

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], train: bool) -> dict[str, jax.Array]:
        """Returns `logits` `[B, 10]` and, under the modality's name, its embedding `[B, D]`."""
        embedding = self.encoder(batch[self.modality], train)
        return {self.modality: embedding, "logits": self.head(embedding)}


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


class FusionNet(nn.Module):
    """Two encoders, a fusion of their embeddings, and dense layers (R1, R3)."""

    image_encoder: nn.Module
    audio_encoder: nn.Module
    fusion: nn.Module
    hidden: Sequence[int]

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], train: bool) -> dict[str, jax.Array]:
        """As `HybridNet`, and `weights` `[B, 2]` of image and audio where the fusion has some."""
        image = self.image_encoder(batch["image"], train)
        audio = self.audio_encoder(batch["audio"], train)
        fused, weights_Bx2 = self.fusion([image, audio])
        outputs = {"image": image, "audio": audio, "logits": Head(self.hidden, name="head")(fused)}
        return outputs if weights_Bx2 is None else outputs | {"weights": weights_Bx2}


class LateFusion(nn.Module):
    """Two encoders with a head each; the logits are the mean of both heads'."""

    image_encoder: nn.Module
    audio_encoder: nn.Module
    hidden: Sequence[int]

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], train: bool) -> dict[str, jax.Array]:
        """As `HybridNet`."""
        image = self.image_encoder(batch["image"], train)
        audio = self.audio_encoder(batch["audio"], train)
        logits = [Head(self.hidden)(embedding) for embedding in (image, audio)]
        return {"image": image, "audio": audio, "logits": sum(logits) / 2}


def modalities(model: ConfigDict) -> tuple[str, ...]:
    """The inputs a model reads."""
    both = ("image", "audio")
    inputs = {name: (name,) for name in (*both, "spectrogram")} | {"hybrid": both, "fusion": both}
    return choose(model.name, inputs, "model.name")


def make(model: ConfigDict) -> nn.Module:
    """`config.model` -> module; the fields are those of `config.base`."""
    hybrid = model.name == "hybrid"
    hidden = tuple(model.hidden)

    def conv() -> nn.Module:
        return ConvEncoder(filters=tuple(model.filters), width=model.width, dropout=model.dropout)

    pictures = {
        "cnn": conv,
        "plain": lambda: PlainEncoder(model.attention, model.width, model.dropout),
    }
    recordings = {
        "cnn": conv,
        "lstm": lambda: LSTMEncoder(width=model.width, dropout=0.25 if hybrid else 0.0),
        "mlp": lambda: MLPEncoder(model.width),
        "conv1d": lambda: Conv1DEncoder(model.width),
    }
    image = choose(model.image, pictures, "model.image")
    audio = choose(model.audio, recordings, "model.audio")

    def fused() -> nn.Module:
        if model.fusion == "late":
            return LateFusion(image(), audio(), hidden)
        return FusionNet(image(), audio(), fusion.make(model.fusion), hidden)

    of_pictures = glorot if model.image == "plain" else torch_uniform
    return choose(
        model.name,
        {
            "image": lambda: Classifier("image", image(), Head(hidden, of_pictures)),
            "audio": lambda: Classifier("audio", audio(), Head(hidden)),
            "spectrogram": lambda: Classifier(
                "spectrogram", LeNetEncoder(model.attention), Head((), glorot)
            ),
            "hybrid": lambda: HybridNet(image(), audio()),
            "fusion": fused,
        },
        "model.name",
    )()
