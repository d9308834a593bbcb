"""The models in PyTorch (`twins/`), trained by a plain loop: the peers of `steps.py`."""

import os
import shutil
from collections.abc import Callable

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from benchmarks import twins
from benchmarks.twins import gan
from fdigits.config import choose
from fdigits.errors import UserError

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def versions() -> dict[str, str | int]:
    """PyTorch's version, device and threads."""
    return {
        "torch": torch.__version__,
        "torch_device": DEVICE.type,
        "torch_threads": torch.get_num_threads(),
    }


def parameters(config: ConfigDict) -> int:
    """The number of trainable parameters of the twin of a config's model."""
    nets = gan.modules(config) if config.task == "gan" else [twins.make(config.model)]
    return sum(p.numel() for net in nets for p in net.parameters())


def tensors(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """One batch as PyTorch reads it: integer labels, pictures and spectrograms NCHW."""
    inputs = {name: torch.tensor(array) for name, array in batch.items()}
    inputs["label"] = inputs["label"].long()
    for name in inputs.keys() & {"image", "spectrogram"}:
        inputs[name] = inputs[name].permute(0, 3, 1, 2).contiguous()
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def make_optimizer(rule: ConfigDict, net: nn.Module) -> torch.optim.Optimizer:
    """As `optim.make`, less the schedule and the clipping."""
    settings = dict(lr=rule.learning_rate, weight_decay=rule.weight_decay)
    if rule.name == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=rule.momentum, **settings)
    return torch.optim.Adam(net.parameters(), **settings)


def noisy(batch: dict[str, Tensor], sd: float) -> dict[str, Tensor]:
    return {k: x if k == "label" else x + sd * torch.randn_like(x) for k, x in batch.items()}


def runner(
    config: ConfigDict, batches: list[dict[str, np.ndarray]], compiled: bool = False
) -> Callable[[], int]:
    """A call that takes one training step per batch and returns how many it took.

    Loss, noise, clipping and optimizer as the config's. The batches hold what the task's `inputs`
    gives, before noise, and labels, and lie on the device beforehand. A compiled one has taken its
    first steps.

    Raises:
      UserError: PyTorch cannot compile it, or did not.
    """
    if not compiled:
        return _runner(config, batches, compiled)
    _forget()
    run = _runner(config, batches, compiled)
    run()
    if not _graphs():
        raise UserError(
            "torch.compile compiled nothing, so PyTorch would be measured as it is: unset "
            "TORCHDYNAMO_DISABLE and TORCH_COMPILE_DISABLE, or leave out --peers=torch_compile"
        )
    return run


def _forget() -> None:
    """Makes torch.compile start anew, and fail where it would go on without compiling.

    Twins share their code: without this only the first eight of them are compiled.
    """
    from torch import _dynamo  # takes a while

    compiler = os.environ.get("CXX", "g++")
    if not (shutil.which(compiler) or shutil.which("clang++")):
        raise UserError(f"torch_compile needs a C++ compiler, and {compiler} is not installed")
    _dynamo.reset()
    _dynamo.utils.counters.clear()
    _dynamo.config.fail_on_recompile_limit_hit = True
    _dynamo.config.suppress_errors = False


def _graphs() -> int:
    """How many graphs torch.compile has made since `_forget`."""
    from torch import _dynamo

    return _dynamo.utils.counters["stats"]["unique_graphs"]


def _runner(
    config: ConfigDict, batches: list[dict[str, np.ndarray]], compiled: bool
) -> Callable[[], int]:
    torch.manual_seed(0)
    if config.task == "gan":
        return gan.runner(config, [tensors(batch) for batch in batches], DEVICE, compiled)
    net = twins.make(config.model).to(DEVICE).train()
    forward = torch.compile(net) if compiled else net
    optimizer = make_optimizer(config.optimizer, net)
    loss = choose(config.task, twins.LOSSES, "task")(config, net)
    clip, noise = config.optimizer.clip_norm, config.input_noise
    inputs = [tensors(batch) for batch in batches]

    def run() -> int:
        for batch in inputs:
            optimizer.zero_grad()
            loss(forward(noisy(batch, noise) if noise else batch), batch).backward()
            if clip:
                for parameter in net.parameters():
                    nn.utils.clip_grad_norm_(parameter, clip)
            optimizer.step()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return len(inputs)

    return run
