"""The models of report R0 in PyTorch, trained by a plain eager loop: the peers of `steps.py`."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def conv_block(inputs: int, features: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, features, kernel_size=3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(features), nn.ReLU(), nn.MaxPool2d(2))


def cnn(flat: int) -> nn.Sequential:
    blocks = conv_block(1, 32), conv_block(32, 64), nn.Dropout(0.25), nn.Flatten()
    return nn.Sequential(*blocks, nn.Linear(flat, 128), nn.ReLU(), nn.Dropout(0.5))


class LastStepLSTM(nn.Module):
    """[B, 39, 13] -> the last step of two stacked LSTM layers of 64, [B, 64]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(13, 64, num_layers=2, batch_first=True)

    def forward(self, audio: Tensor) -> Tensor:
        return self.lstm(audio)[0][:, -1]


class Single(nn.Module):
    """One modality: encoder, then FC 10."""

    def __init__(self, modality: str, encoder: nn.Module, features: int) -> None:
        super().__init__()
        self.modality, self.encoder, self.out = modality, encoder, nn.Linear(features, 10)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.out(self.encoder(batch[self.modality]))


class Hybrid(nn.Module):
    """Both modalities: encoders to 128 each, concatenated, FC 128 BatchNorm ReLU, FC 10."""

    def __init__(self, audio: nn.Module) -> None:
        super().__init__()
        self.image, self.audio = cnn(3136), audio
        hidden = nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.25)
        self.head = nn.Sequential(*hidden, nn.Linear(128, 10))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.head(torch.cat([self.image(batch["image"]), self.audio(batch["audio"])], 1))


def lstm_head(features: int) -> tuple[nn.Module, ...]:
    return LastStepLSTM(), nn.Linear(64, features), nn.ReLU()


TWINS: dict[str, Callable[[], nn.Module]] = {
    "image_cnn": lambda: Single("image", cnn(3136), 128),
    "audio_cnn": lambda: Single("audio", cnn(1728), 128),
    "audio_lstm": lambda: Single("audio", nn.Sequential(*lstm_head(64)), 64),
    "hybrid_cnn": lambda: Hybrid(cnn(1728)),
    "hybrid_lstm": lambda: Hybrid(nn.Sequential(*lstm_head(128), nn.Dropout(0.25))),
}


def versions() -> dict[str, str | int]:
    """PyTorch's version, device and threads."""
    return {
        "torch": torch.__version__,
        "torch_device": DEVICE.type,
        "torch_threads": torch.get_num_threads(),
    }


def parameters(model: str) -> int:
    """The number of trainable parameters of the twin of `model`."""
    return sum(p.numel() for p in TWINS[model]().parameters())


def tensors(model: str, batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """One batch (image [B,28,28,1], audio [B,39,13], label [B]) in PyTorch's layout, NCHW."""
    inputs = {"label": torch.as_tensor(batch["label"].astype(np.int64))}
    if "image" in batch:
        inputs["image"] = torch.as_tensor(batch["image"][..., 0])[:, None]
    if "audio" in batch:
        audio = torch.as_tensor(batch["audio"])
        inputs["audio"] = audio if model.endswith("lstm") else audio[:, None]
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def runner(
    model: str,
    batches: list[dict[str, np.ndarray]],
    learning_rate: float,
    weight_decay: float,
    compiled: bool = False,
) -> Callable[[], int]:
    """A call that takes one training step per batch and returns how many it took.

    Adam with L2 decay and cross-entropy, as R0. The batches lie on the device beforehand.
    """
    torch.manual_seed(0)
    net = TWINS[model]().to(DEVICE).train()
    forward = torch.compile(net) if compiled else net
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    inputs = [tensors(model, batch) for batch in batches]

    def run() -> int:
        for batch in inputs:
            optimizer.zero_grad()
            nn.functional.cross_entropy(forward(batch), batch["label"]).backward()
            optimizer.step()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return len(inputs)

    return run
