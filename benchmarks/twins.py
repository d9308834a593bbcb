"""fdigits' models in plain PyTorch, NCHW: the same mathematics, submodules of the same names.

`peers.py` trains them; `tests/models/torch_twins.py` gives them fdigits' weights and compares.
"""

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

KERAS_EPSILON = 1e-3
Fused = tuple[Tensor, Tensor | None]
Loss = Callable[[Tensor, dict[str, Tensor]], Tensor]  # of a net's output and a batch


def sequence(**layers: nn.Module | None) -> nn.Sequential:
    return nn.Sequential(OrderedDict((name, layer) for name, layer in layers.items() if layer))


class Flat(nn.Linear):
    """A dense layer over a flattened map: [B, *shape] -> [B, width]."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__(math.prod(shape), width)
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.Dense_0, self.Dense_1 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = functional.relu(self.Dense_0(x.mean((2, 3))))
        return x * torch.sigmoid(self.Dense_1(squeezed))[:, :, None, None]


class SpatialAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Dense_0 = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.Dense_0(x))


class PooledAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Conv_0 = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.Conv_0(pooled))


class CBAM(nn.Sequential):
    def __init__(self, channels: int) -> None:
        layers = OrderedDict(channel=ChannelAttention(channels), spatial=PooledAttention())
        super().__init__(layers)


class SelfAttention(nn.Module):
    def __init__(self, channels: int, heads: int = 4, width: int = 64) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.query, self.key, self.value = (nn.Linear(channels, heads * width) for _ in range(3))
        self.out = nn.Linear(heads * width, channels)
        self.LayerNorm_0 = nn.LayerNorm(channels, eps=KERAS_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT
        shape = (*tokens.shape[:2], self.heads, self.width)
        heads = [p(tokens).view(shape).transpose(1, 2) for p in (self.query, self.key, self.value)]
        mixed = functional.scaled_dot_product_attention(*heads)
        out = self.LayerNorm_0(self.out(mixed.transpose(1, 2).flatten(2)))
        return out.mT.reshape(x.shape)


class ConvBlock(nn.Sequential):
    def __init__(self, channels: int, features: int) -> None:
        conv = nn.Conv2d(channels, features, 3, padding=1)
        super().__init__(conv, nn.BatchNorm2d(features), nn.ReLU(), nn.MaxPool2d(2))


class ConvPool(nn.Sequential):
    def __init__(self, channels: int, features: int) -> None:
        conv = nn.Conv2d(channels, features, 3)
        super().__init__(OrderedDict(Conv_0=conv, relu=nn.ReLU(), pool=nn.MaxPool2d(2)))


class Conv1DBlock(nn.Sequential):
    def __init__(self, channels: int, features: int, size: int) -> None:
        conv = nn.Conv1d(channels, features, size, padding="same")
        super().__init__(OrderedDict(Conv_0=conv, relu=nn.ReLU(), pool=nn.MaxPool1d(4)))


class LeNetBlock(nn.Sequential):
    def __init__(self, channels: int, features: int, attention: str) -> None:
        layers = OrderedDict(Conv_0=nn.Conv2d(channels, features, 5), relu=nn.ReLU())
        if attention != "none":
            layers["BatchNorm_0"] = nn.BatchNorm2d(features, eps=KERAS_EPSILON, momentum=0.01)
        if attention == "cbam":
            layers["CBAM_0"] = CBAM(features)
        if attention == "hybrid":
            layers["ChannelAttention_0"] = ChannelAttention(features)
            layers["LayerNorm_0"] = ChannelNorm(features, eps=KERAS_EPSILON)
            layers["dropout"] = nn.Dropout(0.1)
        super().__init__(layers | {"pool": nn.AvgPool2d(2)})


class ConvEncoder(nn.Module):
    def __init__(
        self, size: tuple[int, int], filters: tuple[int, ...], width: int, dropout: float
    ) -> None:
        super().__init__()
        pairs = enumerate(itertools.pairwise((1, *filters)))
        blocks = {f"ConvBlock_{n}": ConvBlock(*channels) for n, channels in pairs}
        high, wide = (places >> len(filters) for places in size)
        dense = Flat((filters[-1], high, wide), width)
        rest = dict(first=nn.Dropout(0.25), Dense_0=dense, relu=nn.ReLU(), last=nn.Dropout(dropout))
        for name, layer in (blocks | rest).items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None] if x.ndim == 3 else x
        for layer in self.children():
            x = layer(x)
        return x


class LSTMEncoder(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.LSTM = nn.LSTM(13, 64, num_layers=2, batch_first=True)
        self.Dense_0, self.dropout = nn.Linear(64, width), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(functional.relu(self.Dense_0(self.LSTM(x)[0][:, -1])))


class Conv1DEncoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.Conv1DBlock_0, self.Conv1DBlock_1 = Conv1DBlock(1, 32, 13), Conv1DBlock(32, 64, 5)
        self.Dense_0 = Flat((64, 507 // 4 // 4), width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv1DBlock_1(self.Conv1DBlock_0(x.flatten(1)[:, None]))
        return functional.relu(self.Dense_0(x))


class LeNetEncoder(nn.Sequential):
    def __init__(self, attention: str) -> None:
        self.hybrid = attention == "hybrid"
        layers = OrderedDict(
            LeNetBlock_0=LeNetBlock(3, 6, attention), LeNetBlock_1=LeNetBlock(6, 16, attention)
        )
        for n, dense in enumerate((Flat((16, 29, 29), 120), nn.Linear(120, 84))):
            layers |= {f"Dense_{n}": dense, f"relu_{n}": nn.ReLU()}
            if attention == "hybrid":
                layers[f"dropout_{n}"] = nn.Dropout(0.5)
        super().__init__(layers)


def dense_encoder(
    features: int, hidden: tuple[int, ...], dropout: float, norm: bool
) -> nn.Sequential:
    layers = {}
    for n, width in enumerate(hidden):
        layers |= {f"Dense_{n}": nn.Linear(features, width), f"relu_{n}": nn.ReLU()}
        if norm:
            layers[f"BatchNorm_{n}"] = nn.BatchNorm1d(width, eps=KERAS_EPSILON, momentum=0.01)
        layers[f"dropout_{n}"] = nn.Dropout(dropout)
        features = width
    return sequence(**layers)


def sound(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients, 0 in padding, and which frames hold sound."""
    mask = frames[..., -1] > 0
    return torch.where(mask[..., None], frames[..., :-1], 0), mask


def mean_where(x: Tensor, mask: Tensor) -> Tensor:
    count = mask.sum(1).clamp(min=1)
    mask, count = (m.reshape(*m.shape, *(1,) * (x.ndim - 2)) for m in (mask, count))
    return torch.where(mask, x, 0).sum(1) / count


def pairs(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Each frame beside the next, and which pairs there are; a lone frame is doubled."""
    follows = functional.pad(mask[:, 1:], (0, 1))
    after = torch.where(follows[..., None], functional.pad(x[:, 1:], (0, 0, 0, 1)), x)
    return torch.cat([x, after], -1), follows | (torch.arange(x.shape[1]) == 0).to(x.device)


def drawn(mask: Tensor, arrays: list[Tensor], count: int = 8) -> tuple[list[Tensor], Tensor]:
    """`count` places of each row at random, among those that the mask names."""
    random = torch.rand(len(mask), count, device=mask.device)
    row = (random * mask.sum(1, keepdim=True)).long()
    found = [x.gather(1, row[..., None].expand(-1, -1, x.shape[-1])) for x in arrays]
    return found, mask.gather(1, row)


class FramesEncoder(nn.Module):
    def __init__(self, dense: nn.Module) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, frames: Tensor) -> Tensor:
        return self.dense(mean_where(*sound(frames)))


class Coder(nn.Sequential):
    def __init__(self, features: int, hidden: int, width: int) -> None:
        first, second = nn.Linear(features, hidden), nn.Linear(hidden, width)
        super().__init__(OrderedDict(Dense_0=first, relu=nn.ReLU(), Dense_1=second))


class WholeAutoencoder(nn.Module):
    """Of 39 frames; gives each utterance's error, as `PairAutoencoder` and `UtteranceMerger`."""

    def __init__(self, bottleneck: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Coder(507, 256, bottleneck), Coder(bottleneck, 256, 507)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        flat = sound(batch["frames"])[0].flatten(1)
        return (self.decoder(self.encoder(flat)) - flat).square().mean(1)


class PairAutoencoder(nn.Module):
    def __init__(self, bottleneck: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Coder(26, 128, bottleneck), Coder(bottleneck, 128, 26)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        pair, real = pairs(*sound(batch["frames"]))
        if self.training:
            (pair,), real = drawn(real, [pair])
        return mean_where((self.decoder(self.encoder(pair)) - pair).square().mean(-1), real)


class UtteranceMerger(nn.Module):
    def __init__(self, bottleneck: int) -> None:
        super().__init__()
        self.encoder = Coder(26, 128, bottleneck).requires_grad_(False)
        self.merger = Coder(bottleneck + 13, 64, bottleneck)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        x, mask = sound(batch["frames"])
        pair, _ = pairs(x, mask)
        arrays, real = [pair[:, :-2], pair[:, 1:-1], x[:, 2:]], mask[:, 2:]
        if self.training:
            arrays, real = drawn(real, arrays)
        given, wanted, frame = arrays
        predicted = self.merger(torch.cat([self.encoder(given), frame], -1))
        return mean_where((predicted - self.encoder(wanted)).square().mean(-1), real)


CODERS = {"whole": WholeAutoencoder, "pair": PairAutoencoder, "merger": UtteranceMerger}


def mlp_encoder(width: int) -> nn.Sequential:
    dense = dict(
        Dense_0=Flat((1, 39, 13), width), relu_0=nn.ReLU(), Dense_1=nn.Linear(width, width)
    )
    return sequence(**dense, relu_1=nn.ReLU())


def plain_encoder(attention: str, width: int, dropout: float) -> nn.Sequential:
    first = {"spatial": SpatialAttention, "cbam": CBAM, "se": ChannelAttention}.get(attention)
    return sequence(
        ConvPool_0=ConvPool(1, 32),
        **({f"{first.__name__}_0": first(32)} if first else {}),
        ConvPool_1=ConvPool(32, 64),
        SelfAttention_0=SelfAttention(64) if attention == "self" else None,
        Dense_0=Flat((64, 5, 5), width),
        relu=nn.ReLU(),
        dropout=nn.Dropout(dropout),
    )


def head(features: int, hidden: tuple[int, ...] = ()) -> nn.Sequential:
    layers = {}
    for n, width in enumerate(hidden):
        layers |= {f"Dense_{n}": nn.Linear(features, width), f"relu_{n}": nn.ReLU()}
        features = width
    return sequence(**layers, **{f"Dense_{len(hidden)}": nn.Linear(features, 10)})


def example_encoder() -> nn.Sequential:
    return sequence(
        Conv_0=nn.Conv2d(1, 32, 3),
        relu_0=nn.ReLU(),
        ConvPool_0=ConvPool(32, 64),
        first=nn.Dropout(0.25),
        Dense_0=Flat((64, 12, 12), 128),
        relu_1=nn.ReLU(),
        last=nn.Dropout(0.5),
    )


class UpFlat(nn.Linear):
    """A dense layer to a map: [B, width] -> [B, *shape]."""

    def __init__(self, width: int, shape: tuple[int, ...]) -> None:
        super().__init__(width, math.prod(shape))
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x)).unflatten(1, self.shape)


class VAE(nn.Module):
    """R2's, and the judge beside it, which a step does not touch."""

    def __init__(self, sound: str, latent: int) -> None:
        super().__init__()
        self.sound, width = sound, {"mean_mfcc": 40, "audio": 507}[sound]
        dense = dict(Dense_0=nn.Linear(width, 256), relu_0=nn.ReLU(), Dense_1=nn.Linear(256, 256))
        self.encoder = sequence(**dense, relu_1=nn.ReLU(), Dense_2=nn.Linear(256, 2 * latent))
        self.decoder = sequence(
            Dense_0=UpFlat(latent, (64, 7, 7)),
            ConvTranspose_0=nn.ConvTranspose2d(64, 32, 4, 2, 1),
            relu=nn.ReLU(),
            ConvTranspose_1=nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )
        self.judge_encoder, self.judge_head = example_encoder(), head(128)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(batch[self.sound].flatten(1)).chunk(2, -1)
        noise = torch.randn_like(mean) if self.training else 0.0
        pixels = self.decoder(mean + torch.exp(log_variance / 2) * noise)
        return pixels, mean, log_variance


class Concat(nn.Module):
    def forward(self, parts: list[Tensor]) -> Fused:
        return torch.cat(parts, -1), None


class Add(nn.Module):
    def forward(self, parts: list[Tensor]) -> Fused:
        return sum(parts), None


class Weighted(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.Dense_0, self.Dense_1 = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, parts: list[Tensor]) -> Fused:
        weights = [torch.sigmoid(d(x)) for d, x in zip(self.children(), parts, strict=True)]
        return weights[0] * parts[0] + weights[1] * parts[1], torch.cat(weights, -1)


class Gated(nn.Module):
    def __init__(self, width: int, tokens: int = 16) -> None:
        super().__init__()
        self.tokens, self.key, self.value = tokens, nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, parts: list[Tensor]) -> Fused:
        first, second = parts
        query, key, value = (
            x.unflatten(-1, (self.tokens, -1))
            for x in (first, self.key(second), self.value(second))
        )
        return first + (torch.softmax(query @ key.mT, -1) @ value).flatten(1), None


class LowRank(nn.Module):
    def __init__(self, width: int, rank: int = 4) -> None:
        super().__init__()
        self.rank, self.ranks = rank, nn.Linear(rank, 1)
        self.Dense_0, self.Dense_1 = (nn.Linear(width, rank * width) for _ in range(2))

    def forward(self, parts: list[Tensor]) -> Fused:
        product = self.Dense_0(parts[0]) * self.Dense_1(parts[1])
        return self.ranks(product.unflatten(-1, (self.rank, -1)).mT)[..., 0], None


class CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.LayerNorm_0 = heads, nn.LayerNorm(width, eps=1e-6)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, parts: list[Tensor]) -> Fused:
        tokens = torch.stack(parts, 1)
        query, key, value = (
            dense(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for dense in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, -1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return self.LayerNorm_0(tokens + self.out(mixed)).flatten(1), weights.mean((1, 2))


FUSIONS = {  # name -> of the embeddings' width: module, and the width of what it makes
    "concat": lambda width: (Concat(), 2 * width),
    "add": lambda width: (Add(), width),
    "weighted": lambda width: (Weighted(width), width),
    "gated": lambda width: (Gated(width), width),
    "low_rank": lambda width: (LowRank(width), width),
    "cross_attention": lambda width: (CrossAttention(width), 2 * width),
}


class Classifier(nn.Module):
    def __init__(self, modality: str, encoder: nn.Module, out: nn.Module) -> None:
        super().__init__()
        self.modality, self.encoder, self.head = modality, encoder, out

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.head(self.encoder(batch[self.modality]))


class TwoEncoders(nn.Module):
    """To be completed: `join` maps the embeddings of picture and recording to the logits."""

    def __init__(self, image: nn.Module, audio: nn.Module) -> None:
        super().__init__()
        self.image_encoder, self.audio_encoder = image, audio

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.join([self.image_encoder(batch["image"]), self.audio_encoder(batch["audio"])])


class HybridNet(TwoEncoders):
    def __init__(self, image: nn.Module, audio: nn.Module, width: int) -> None:
        super().__init__(image, audio)
        self.joint, self.BatchNorm_0 = nn.Linear(2 * width, 128), nn.BatchNorm1d(128)
        self.dropout, self.head = nn.Dropout(0.25), nn.Linear(128, 10)

    def join(self, parts: list[Tensor]) -> Tensor:
        x = self.BatchNorm_0(self.joint(torch.cat(parts, -1)))
        return self.head(self.dropout(functional.relu(x)))


class FusionNet(TwoEncoders):
    def __init__(self, image: nn.Module, audio: nn.Module, model: ConfigDict) -> None:
        super().__init__(image, audio)
        self.fusion, width = FUSIONS[model.fusion](model.width)
        self.head = head(width, tuple(model.hidden))

    def join(self, parts: list[Tensor]) -> Tensor:
        return self.head(self.fusion(parts)[0])


class LateFusion(TwoEncoders):
    def __init__(self, image: nn.Module, audio: nn.Module, model: ConfigDict) -> None:
        super().__init__(image, audio)
        self.Head_0, self.Head_1 = (head(model.width, tuple(model.hidden)) for _ in range(2))

    def join(self, parts: list[Tensor]) -> Tensor:
        return (self.Head_0(parts[0]) + self.Head_1(parts[1])) / 2


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
