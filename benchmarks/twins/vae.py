"""From a sound to a picture (R2)."""

import torch
from torch import Tensor, nn

from benchmarks.twins.encoders import example_encoder, head
from benchmarks.twins.layers import UpFlat, sequence


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
