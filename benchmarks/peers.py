"""The models in PyTorch (`twins/`), trained by a plain loop: the peers of `steps.py`."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from benchmarks import twins
from benchmarks.twins import gan
from fdigits.config import choose
from fdigits.errors import UserError

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cuda":  # TF32, as XLA multiplies float32 there
    torch.set_float32_matmul_precision("high")


class Setting(NamedTuple):
    """How PyTorch is set; `Setting()` is what it does untold."""

    compiled: bool = False
    fused: bool = False  # Adam's update of all parameters in one kernel
    channels_last: bool = False
    bfloat16: bool = False  # autocast
    graphs: bool = False  # compiled for CUDA graphs

    def autocast(self) -> AbstractContextManager:
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(DEVICE.type, torch.bfloat16)

    def compile(self, net: nn.Module) -> Callable:
        if not self.compiled:
            return net
        return torch.compile(net, **dict(mode="reduce-overhead") if self.graphs else {})

    def place(self, net: nn.Module) -> nn.Module:
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        return net.to(DEVICE, memory_format=layout)


BEST = dict(fused=True, channels_last=True)
SETTINGS = {
    "torch": Setting(),
    "torch_fused": Setting(fused=True),
    "torch_channels_last": Setting(**BEST),
    "torch_compile": Setting(compiled=True, **BEST),
    "torch_graphs": Setting(compiled=True, graphs=True, **BEST),
    "torch_bfloat16": Setting(bfloat16=True, **BEST),
    "torch_bfloat16_compile": Setting(compiled=True, bfloat16=True, **BEST),
    "torch_bfloat16_graphs": Setting(compiled=True, bfloat16=True, graphs=True, **BEST),
}


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


def tensors(
    batch: dict[str, np.ndarray], setting: Setting = SETTINGS["torch"]
) -> dict[str, Tensor]:
    """One batch as PyTorch reads it: integer labels, pictures and spectrograms NCHW."""
    layout = torch.channels_last if setting.channels_last else torch.contiguous_format
    inputs = {name: torch.tensor(array) for name, array in batch.items()}
    inputs["label"] = inputs["label"].long()
    for name in inputs.keys() & {"image", "spectrogram"}:
        inputs[name] = inputs[name].permute(0, 3, 1, 2).contiguous(memory_format=layout)
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def make_optimizer(rule: ConfigDict, net: nn.Module, setting: Setting) -> torch.optim.Optimizer:
    """As `optim.make`, less the schedule and the clipping."""
    settings = dict(lr=rule.learning_rate, weight_decay=rule.weight_decay)
    settings |= dict(fused=True) if setting.fused else {}
    if rule.name == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=rule.momentum, **settings)
    return torch.optim.Adam(net.parameters(), **settings)


def noisy(batch: dict[str, Tensor], sd: float) -> dict[str, Tensor]:
    return {k: x if k == "label" else x + sd * torch.randn_like(x) for k, x in batch.items()}


def runner(
    config: ConfigDict,
    batches: list[dict[str, np.ndarray]],
    setting: Setting = SETTINGS["torch"],
) -> Callable[[], int]:
    """A call that takes one training step per batch and returns how many it took.

    Loss, noise, clipping and optimizer as the config's. The batches hold what the task's `inputs`
    gives, before noise, and labels, and lie on the device beforehand. A compiled one has taken its
    first steps.

    Raises:
      UserError: PyTorch cannot compile it, or did not.
    """
    if not setting.compiled:
        return _runner(config, batches, setting)
    _forget()
    run = _runner(config, batches, setting)
    run()
    _check_compiled()
    return run


def predictor(
    model: ConfigDict, inputs: dict[str, np.ndarray], setting: Setting = SETTINGS["torch"]
) -> Callable[[], np.ndarray]:
    """A call that predicts one item: the probabilities `[1, 10]` of the twin of a model, of which
    an expert is what reads `inputs`, as the task's `inputs` gives them.

    Raises:
      UserError: as `runner`.
    """
    if setting.compiled:
        _forget()
    torch.manual_seed(0)
    net = twins.expert(model, *inputs) if model.name == "experts" else twins.make(model)
    forward = setting.compile(setting.place(net).eval())
    arrays = inputs | {"label": np.zeros(1, np.int32)}

    @torch.inference_mode()
    def predict() -> np.ndarray:
        with setting.autocast():
            logits = forward(tensors(arrays, setting))
        return logits.float().softmax(-1).cpu().numpy()

    predict()
    if setting.compiled:
        _check_compiled()
    return predict


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


def _check_compiled() -> None:
    """Refuses to go on where torch.compile has made no graph since `_forget`."""
    from torch import _dynamo

    if not _dynamo.utils.counters["stats"]["unique_graphs"]:
        raise UserError(
            "torch.compile compiled nothing, so PyTorch would be measured as it is: unset "
            "TORCHDYNAMO_DISABLE and TORCH_COMPILE_DISABLE, or name no peer that compiles"
        )


def _runner(
    config: ConfigDict, batches: list[dict[str, np.ndarray]], setting: Setting
) -> Callable[[], int]:
    torch.manual_seed(0)
    if config.task == "gan":
        return gan.runner(config, [tensors(batch) for batch in batches], DEVICE, setting)
    net = setting.place(twins.make(config.model)).train()
    forward = setting.compile(net)
    optimizer = make_optimizer(config.optimizer, net, setting)
    loss = choose(config.task, twins.LOSSES, "task")(config, net)
    clip, noise = config.optimizer.clip_norm, config.input_noise
    inputs = [tensors(batch, setting) for batch in batches]

    def run() -> int:
        for batch in inputs:
            optimizer.zero_grad()
            with setting.autocast():
                error = loss(forward(noisy(batch, noise) if noise else batch), batch)
            error.backward()
            if clip:
                for parameter in net.parameters():
                    nn.utils.clip_grad_norm_(parameter, clip)
            optimizer.step()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return len(inputs)

    return run
