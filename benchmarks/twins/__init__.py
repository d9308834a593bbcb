"""fdigits' models in plain PyTorch, NCHW: the same mathematics, submodules of the same names.

`peers.py` trains them; `tests/models/torch_twins.py` gives them fdigits' weights and compares.
"""

from collections.abc import Callable

from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.twins.classifiers import Classifier, FusionNet, HybridNet, LateFusion
from benchmarks.twins.ears import WordEncoder
from benchmarks.twins.encoders import (
    Conv1DEncoder,
    ConvEncoder,
    LeNetEncoder,
    LSTMEncoder,
    dense_encoder,
    head,
    mlp_encoder,
    plain_encoder,
)
from benchmarks.twins.frames import CODERS, FramesEncoder, WholeAutoencoder
from benchmarks.twins.vae import VAE
from fdigits.data.corpus import MODALITIES

Loss = Callable[[Tensor, dict[str, Tensor]], Tensor]  # of a net's output and a batch


def expert(model: ConfigDict, reads: str) -> nn.Module:
    """The twin, in use, of what reads "image" or "word" of the model `experts`."""
    filters = tuple(model.filters)
    if reads == "word":
        ear = WordEncoder(filters, MODALITIES["word"].shape[0])
        return Classifier("word", ear, head(2 * filters[-1]))
    net = ConvEncoder((28, 28), filters, model.width, model.dropout)
    return Classifier("image", net, head(model.width))


def make(model: ConfigDict) -> nn.Module:
    """The twin of a task's model; reads NCHW pictures and spectrograms, gives logits, errors or
    what its loss reads."""
    if model.name in CODERS:
        return CODERS[model.name](model.bottleneck)
    if model.name == "vae":
        return VAE(model.sound, model.latent)
    width, hidden = model.width, tuple(model.hidden)

    def dense(features: int) -> nn.Module:
        return dense_encoder(features, hidden, model.dropout, model.norm)

    def conv(size: tuple[int, int]) -> nn.Module:
        return ConvEncoder(size, tuple(model.filters), width, model.dropout)

    image = {
        "cnn": lambda: conv((28, 28)),
        "plain": lambda: plain_encoder(model.attention, width, model.dropout),
    }[model.image]
    audio = {
        "cnn": lambda: conv((39, 13)),
        "lstm": lambda: LSTMEncoder(width, 0.25 if model.name == "hybrid" else 0.0),
        "mlp": lambda: mlp_encoder(width),
        "conv1d": lambda: Conv1DEncoder(width),
    }[model.audio]
    fusion = LateFusion if model.fusion == "late" else FusionNet
    return {
        "image": lambda: Classifier("image", image(), head(width, hidden)),
        "audio": lambda: Classifier("audio", audio(), head(width, hidden)),
        "spectrogram": lambda: Classifier("spectrogram", LeNetEncoder(model.attention), head(84)),
        "hybrid": lambda: HybridNet(image(), audio(), width),
        "frames": lambda: Classifier("frames", FramesEncoder(dense(13)), head(hidden[-1])),
        "fusion": lambda: fusion(image(), audio(), model),
    }[model.name]()


def penalised(net: nn.Module) -> list[Tensor]:
    """The kernels whose squares, times 1e-3, R4's hybrid and autoencoder add to their loss."""
    encoders = [m for m in net.modules() if isinstance(m, LeNetEncoder) and m.hybrid]
    layers = [dense for e in encoders for dense in (e.Dense_0, e.Dense_1)]
    if isinstance(net, WholeAutoencoder):
        layers = [net.encoder.Dense_0, net.encoder.Dense_1, net.decoder.Dense_0]
    return [dense.weight for dense in layers]


def classify_loss(config: ConfigDict, net: nn.Module) -> Loss:
    """Cross-entropy or squared error, as `tasks.classify`, and the penalty of `net`'s kernels."""
    kernels = penalised(net)

    def squared_error(scores: Tensor, label: Tensor) -> Tensor:
        targets = functional.one_hot(label, scores.shape[-1]).to(scores.dtype)
        return functional.mse_loss(scores, targets)

    errors = {"cross_entropy": functional.cross_entropy, "mse": squared_error}
    error = errors[config.loss]

    def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return error(logits, batch["label"]) + sum(1e-3 * k.square().sum() for k in kernels)

    return loss


def coding_loss(config: ConfigDict, net: nn.Module) -> Loss:
    """The mean error, as `tasks.autoencode` and `tasks.merge`, and the penalty."""
    kernels = penalised(net)

    def loss(error: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return error.mean() + sum(1e-3 * k.square().sum() for k in kernels)

    return loss


def bound_loss(config: ConfigDict, net: nn.Module) -> Loss:
    """Minus the evidence bound, as `tasks.sound_to_image` for R2's model."""

    def loss(told: tuple[Tensor, Tensor, Tensor], batch: dict[str, Tensor]) -> Tensor:
        pixels, mean, log_variance = told
        error = functional.binary_cross_entropy_with_logits
        reconstruction = error(pixels, batch["image"], reduction="sum")
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return (reconstruction + kl) / len(mean)

    return loss


LOSSES = {  # task -> of config and net: what it trains by
    "classify": classify_loss,
    "autoencode": coding_loss,
    "merge": coding_loss,
    "sound_to_image": bound_loss,
}
