"""Utterances of any length, and autoencoders of them (R4 Problem 1)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional


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
