"""R4's GAN in PyTorch, both players' turns: the peer of the task `gan`, as a careful user sets it
(channels_last, fused Adam)."""

from collections.abc import Callable

import torch
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from fdigits.data.corpus import CLASSES
from fdigits.models.mobilenet import SETTINGS


class ConditionalBatchNorm(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(features, eps=1e-3, momentum=0.01, affine=False)
        self.scale, self.offset = (nn.Embedding(CLASSES, features) for _ in range(2))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        scale, offset = (t(label)[:, :, None, None] for t in (self.scale, self.offset))
        return self.norm(x) * scale + offset


class Generator(nn.Module):
    def __init__(self, noise: int, embedding: int = 50) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, embedding)
        self.dense = nn.Linear(noise + embedding, 7 * 7 * 256)
        self.norm, self.dropout = nn.BatchNorm1d(7 * 7 * 256), nn.Dropout(0.3)
        layers = [(256, 128), (128, 64)]
        self.turned = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 5, stride=2, padding=2, output_padding=1) for a, b in layers
        )
        self.norms = nn.ModuleList(ConditionalBatchNorm(b) for _, b in layers)
        self.out = nn.Conv2d(64, 1, 5, padding=2)

    def forward(self, noise: Tensor, label: Tensor) -> Tensor:
        x = self.dense(torch.cat([noise, self.embedding(label)], -1))
        x = self.dropout(functional.relu(self.norm(x))).view(-1, 256, 7, 7)
        x = x.to(memory_format=torch.channels_last)
        for turned, norm in zip(self.turned, self.norms, strict=True):
            x = self.dropout(functional.relu(norm(turned(x), label)))
        return torch.tanh(self.out(x))


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = [(1, 64), (64, 128), (128, 256)]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 5, stride=2, padding=2), nn.LeakyReLU(0.2), nn.Dropout(0.3)
                )
                for a, b in sizes
            )
        )
        self.out = nn.Linear(256 * 16 + CLASSES, 1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        known = functional.one_hot(label, CLASSES).to(x.dtype)
        return self.out(torch.cat([self.layers(x).flatten(1), known], -1))[:, 0]


class InvertedResidual(nn.Module):
    def __init__(self, features: int, expansion: int, out: int, stride: int) -> None:
        super().__init__()
        wide = features * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(features, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        ]
        self.layers, self.added = nn.Sequential(*layers), stride == 1 and features == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.added else self.layers(x)


class Auxiliary(nn.Module):
    """MobileNetV2 and R4's head; frozen, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)]
        layers.append(nn.ReLU6())
        features = 32
        for expansion, out, blocks, stride in SETTINGS:
            for block in range(blocks):
                layers.append(InvertedResidual(features, expansion, out, 1 if block else stride))
                features = out
        layers += [nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
        self.base = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(1280, 512), nn.ReLU(), nn.Linear(512, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.base(x.expand(-1, 3, -1, -1)).mean((2, 3)))


def modules(config: ConfigDict) -> tuple[Generator, Discriminator, Auxiliary]:
    return Generator(config.model.noise), Discriminator(), Auxiliary()


def runner(
    config: ConfigDict, batches: list[dict[str, Tensor]], device: torch.device, setting
) -> Callable[[], int]:
    """A call that takes one step, a turn of each player, per batch; returns how many it took.

    `setting` as `peers.Setting`; channels_last and fused Adam always.
    """
    nets = [net.to(device, memory_format=torch.channels_last) for net in modules(config)]
    nets[2].eval().requires_grad_(False)
    generator, discriminator, auxiliary = map(setting.compile, nets)
    rule = config.optimizer
    fields = dict(lr=rule.learning_rate, betas=(rule.beta1, 0.999), fused=True)
    g_rule, d_rule = (torch.optim.Adam(net.parameters(), **fields) for net in nets[:2])
    entropy = functional.binary_cross_entropy_with_logits

    def draw(label: Tensor) -> Tensor:
        return generator(torch.randn(len(label), config.model.noise, device=device), label)

    def step(image: Tensor, label: Tensor) -> None:
        with torch.no_grad(), setting.autocast():
            drawn = draw(label)
        with setting.autocast():
            real, fake = discriminator(image, label), discriminator(drawn, label)
            error = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
        d_rule.zero_grad()
        error.backward()
        d_rule.step()
        nets[1].requires_grad_(False)
        with setting.autocast():
            drawn = draw(label)
            score = discriminator(drawn, label)
            named = functional.cross_entropy(auxiliary(drawn), label)
            error = entropy(score, torch.ones_like(score)) + named
        g_rule.zero_grad()
        error.backward()
        g_rule.step()
        nets[1].requires_grad_(True)

    given = [(b["image"].to(memory_format=torch.channels_last), b["label"]) for b in batches]

    def run() -> int:
        for image, label in given:
            step(image, label)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return len(given)

    return run
