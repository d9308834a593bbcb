"""Encoders, a fusion and a head, put together."""

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.twins.encoders import head
from benchmarks.twins.fusion import FUSIONS


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
