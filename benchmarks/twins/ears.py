"""The ear of fdigits' recogniser in use: a word's samples in, an embedding out."""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.twins.layers import ConvBlock, sequence
from fdigits import voices
from fdigits.models import ears


def taps(size: int, speed: float, voice: float) -> tuple[np.ndarray, np.ndarray]:
    """Places `[4, size]` and weights `[4, size]` that make a changed copy of a word: two pieces
    that fade, each between two samples (`voices.stretched`)."""
    t = np.arange(size) - size / 2
    before = np.floor(t / voices._HOP) * voices._HOP
    fade = 0.5 - 0.5 * np.cos(np.pi * (t - before) / voices._HOP)
    places, weights = [], []
    for middle, share in ((before, 1 - fade), (before + voices._HOP, fade)):
        at = size / 2 + middle * speed + (t - middle) * speed * voice
        first = np.floor(at)
        for place, weight in ((first, 1 - (at - first)), (first + 1, at - first)):
            inside = (first >= 0) & (place < size)
            places.append(np.where(inside, place, 0).astype(np.int64))
            weights.append(np.where(inside, weight * share, 0).astype(np.float32))
    return np.stack(places), np.stack(weights)


def norm_conv(channels: int, features: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, features, 3, padding=1)
    return sequence(Conv_0=conv, BatchNorm_0=nn.BatchNorm2d(features), relu=nn.ReLU())


class WordEncoder(nn.Module):
    """`ears.WordEncoder` in use: [B, T] -> [B, 2 C]; what is fixed is computed once."""

    def __init__(self, filters: tuple[int, ...], size: int) -> None:
        super().__init__()
        made = [taps(size, *change) for change in ears.AGAIN]
        places, weights = (np.stack(one) for one in zip(*made, strict=True))
        for name, array in {
            "places": places,
            "weights": weights,
            "window": np.hanning(ears.WINDOW + 1)[:-1].astype(np.float32),
            "mel": ears.mel_filters(),
            "cosines": ears.cosines(),
        }.items():
            self.register_buffer(name, torch.tensor(array), persistent=False)
        blocks, before = [], 1
        for features in filters:
            blocks += [norm_conv(before, features), ConvBlock(features, features)]
            before = features
        self.layers = nn.Sequential(*blocks, norm_conv(before, before))

    def cepstra(self, word: Tensor) -> Tensor:
        x = word - ears.EMPHASIS * nn.functional.pad(word, (1, 0))[:, :-1]
        windows = x.unfold(-1, ears.WINDOW, ears.SHIFT) * self.window
        power = torch.fft.rfft(windows, ears.POINTS).abs().square() @ self.mel
        total = power.sum(-1, keepdim=True)
        loudest = total.amax(1, keepdim=True) + 1e-9
        cepstrum = (power / loudest + ears.FLOOR / ears.BANDS).log() @ self.cosines
        loud = (total > ears.QUIET * loudest).to(power.dtype)
        mean = (cepstrum * loud).sum(1, keepdim=True) / loud.sum(1, keepdim=True).clamp(min=1)
        return (cepstrum - mean) * loud

    def forward(self, word: Tensor) -> Tensor:
        again = (word[:, self.places] * self.weights).sum(2)  # [B, 4, T]
        heard = torch.cat([word[:, None], again], 1).flatten(0, 1)
        x = self.layers(self.cepstra(heard)[:, None])
        x = torch.cat([x.amax((2, 3)), x.mean((2, 3))], -1)
        return x.unflatten(0, (len(word), -1)).mean(1)
