"""Classifiers: one encoder, or two whose embeddings are joined."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fdigits.config import CLASSIFIER, choose
from fdigits.data.corpus import CLASSES
from fdigits.errors import UserError
from fdigits.models import fusion
from fdigits.models.ears import WordEncoder
from fdigits.models.encoders import (
    Conv1DEncoder,
    ConvEncoder,
    ExampleEncoder,
    LeNetEncoder,
    LSTMEncoder,
    MLPEncoder,
    PlainEncoder,
)
from fdigits.models.frames import DenseEncoder, FramesEncoder
from fdigits.models.layers import EPSILON, MOMENTUM, Dense, Dropout, glorot, torch_uniform
from fdigits.models.mobilenet import MobileNetEncoder

DEFAULTS = CLASSIFIER  # field of `config.model` -> its default
ENCODERS = {  # input -> encoder -> its module, and the fields that it reads
    "image": {
        "cnn": (ConvEncoder, ("filters", "width", "dropout")),
        "example": (ExampleEncoder, ("width", "dropout")),
        "mobilenet": (MobileNetEncoder, ("width", "dropout", "weights")),
        "plain": (PlainEncoder, ("attention", "width", "dropout")),
    },
    "audio": {
        "cnn": (ConvEncoder, ("filters", "width", "dropout")),
        "lstm": (LSTMEncoder, ("width",)),
        "mlp": (MLPEncoder, ("width",)),
        "conv1d": (Conv1DEncoder, ("width",)),
    },
}
MODELS = {  # model -> the fields that it reads, beside those of its encoders
    "image": ("image", "hidden"),
    "audio": ("audio", "hidden"),
    "word": ("filters", "dropout"),
    "spectrogram": ("attention",),
    "hybrid": ("image", "audio"),
    "fusion": ("image", "audio", "fusion", "hidden"),
    "experts": ("image", "filters", "dropout"),
    "frames": ("hidden", "dropout", "norm"),  # of the mean over an utterance's frames
    "code": ("hidden", "dropout", "norm"),  # of what an earlier stage makes of each item
}


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


class Experts(nn.Module):
    """The product of the opinions of two classifiers, each with as much weight as it deserves.

    p(digit | both) ~ p(digit | picture)^a p(digit | word)^b: for a = b = 1 it is what follows where
    the two err independently. Here 1 / a and 1 / b are temperatures (Guo et al. 2017), learnt from
    log a = log b = 0. Either modality may be absent; in training each is, of a third of the items.
    """

    image_encoder: nn.Module
    image_head: nn.Module
    word_encoder: nn.Module
    word_head: nn.Module

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], train: bool) -> dict[str, jax.Array]:
        """Returns `logits` `[B, 10]` and the embeddings `image` and `word` `[B, D]`, as given."""
        experts = {
            "image": (self.image_encoder, self.image_head),
            "word": (self.word_encoder, self.word_head),
        }
        outputs, opinions = {}, []
        for name in (name for name in experts if name in batch):
            encoder, head = experts[name]
            outputs[name] = embedding = encoder(batch[name], False)  # frozen, so as in use
            trust = jnp.exp(self.param(f"{name}_trust", nn.initializers.zeros, ()))
            opinions.append(trust * nn.log_softmax(head(embedding)))
        heard_BxM = jnp.ones((len(opinions[0]), len(opinions)))
        if train:
            left_out_B = jax.random.randint(self.make_rng("dropout"), (len(heard_BxM),), 0, 3)
            heard_BxM = 1 - jax.nn.one_hot(left_out_B, len(opinions))
        return outputs | {"logits": jnp.einsum("bm,mbv->bv", heard_BxM, jnp.stack(opinions))}


def modalities(model: ConfigDict) -> tuple[str, ...]:
    """The inputs that a model reads."""
    if model.name == "experts":
        return "image", "word"
    return _chosen(model) or (model.name,)


def _chosen(model: ConfigDict) -> tuple[str, ...]:
    """Of which inputs the model lets the config choose the encoder."""
    own = choose(model.name, MODELS, "model.name")
    return tuple(field for field in own if field in ENCODERS)


def _encoder(model: ConfigDict, modality: str) -> tuple[type[nn.Module], tuple[str, ...]]:
    """The encoder of "image" or "audio", and the fields that it reads."""
    return choose(model[modality], ENCODERS[modality], f"model.{modality}")


def fields(model: ConfigDict) -> set[str]:
    """The fields of `config.model` that this model reads, `name` among them."""
    own = choose(model.name, MODELS, "model.name")
    return {"name", *own}.union(*(_encoder(model, chosen)[1] for chosen in _chosen(model)))


def check(model: ConfigDict) -> None:
    """Refuses a field that the model does not read, unless it has its default.

    Raises:
      UserError: names the field, and those that the model has.
    """
    read = fields(model)
    for field in (name for name in DEFAULTS if name not in read):
        value = tuple(model[field]) if isinstance(model[field], list) else model[field]
        if value != DEFAULTS[field]:
            chosen = "".join(f", {name}={model[name]}" for name in _chosen(model))
            raise UserError(
                f"model.{field} is {value}, which model.name={model.name}{chosen} does not have: "
                f"it has {', '.join(sorted(read - {'name'}))}"
            )


def make(model: ConfigDict) -> nn.Module:
    """`config.model` -> module; the fields are those of `DEFAULTS`.

    Raises:
      UserError: a word that names nothing, or a field that the model does not have.
    """
    check(model)
    choose(model.get("weights", ""), {"": None, "imagenet": None}, "model.weights")

    def encoder(modality: str, **more) -> nn.Module:
        module, read = _encoder(model, modality)
        return module(**{field: model[field] for field in read}, **more)

    hidden = tuple(model.hidden)
    match model.name:
        case "image":
            keras = model.image in ("plain", "mobilenet")
            drawn = glorot if keras else torch_uniform
            return Classifier("image", encoder("image"), Head(hidden, drawn))
        case "audio":
            return Classifier("audio", encoder("audio"), Head(hidden))
        case "word" | "experts":
            ear = WordEncoder(tuple(model.filters), model.dropout)
            if model.name == "word":
                return Classifier("word", ear, Head())
            return Experts(encoder("image"), Head(), ear, Head())
        case "spectrogram":
            return Classifier("spectrogram", LeNetEncoder(model.attention), Head((), glorot))
        case "frames" | "code":
            dense = DenseEncoder(hidden, model.dropout, model.norm)
            reads = FramesEncoder(dense) if model.name == "frames" else dense
            return Classifier(model.name, reads, Head((), glorot))
        case "hybrid":
            more = dict(dropout=0.25) if model.audio == "lstm" else {}
            return HybridNet(encoder("image"), encoder("audio", **more))
    if model.fusion == "late":
        return LateFusion(encoder("image"), encoder("audio"), hidden)
    return FusionNet(encoder("image"), encoder("audio"), fusion.make(model.fusion), hidden)
