"""The modules and models of `parity.py` in PyTorch; writes what they give, `torch_twins.npz`.

python -m tests.models.torch_twins

Needs PyTorch: pip install -c constraints.txt -e '.[bench]'. Computed in double precision, kept in
single.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks import twins
from benchmarks.systems import load_config
from benchmarks.twins import attention, encoders, fusion, layers
from tests.models import parity

TWINS: dict[str, Callable[[], nn.Module]] = {
    "channel": lambda: attention.ChannelAttention(16),
    "channel_of_6": lambda: attention.ChannelAttention(6),
    "spatial": lambda: attention.SpatialAttention(16),
    "pooled": attention.PooledAttention,
    "cbam": lambda: attention.CBAM(16),
    "self": lambda: attention.SelfAttention(16, heads=2, width=8),
    "conv_pool": lambda: layers.ConvPool(3, 5),
    "dense_norm": lambda: encoders.dense_encoder(6, (5, 4), 0.2, norm=True),
    "conv1d_block": lambda: layers.Conv1DBlock(3, 4, 13),
    "lenet_none": lambda: encoders.LeNetBlock(3, 4, "none"),
    "lenet_cbam": lambda: encoders.LeNetBlock(3, 4, "cbam"),
    "lenet_hybrid": lambda: encoders.LeNetBlock(3, 4, "hybrid"),
    "joined_concat": fusion.Concat,
    "joined_add": fusion.Add,
    "joined_weighted": lambda: fusion.Weighted(16),
    "joined_gated": lambda: fusion.Gated(32),
    "joined_low_rank": lambda: fusion.LowRank(16),
    "joined_cross_attention": lambda: fusion.CrossAttention(16),
}


def leaves(module: nn.Module, of: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """A module's state from the variables of the same path in fdigits, which `of` finds by name."""
    match module:
        case layers.ConvBlock():
            yield from {"0.weight": of("kernel").permute(3, 2, 0, 1), "0.bias": of("bias")}.items()
            yield from {"1.weight": of("scale"), "1.bias": of("offset")}.items()
            yield from {"1.running_mean": of("mean"), "1.running_var": of("var")}.items()
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            yield from {"weight": of("scale"), "bias": of("bias")}.items()
            yield from {"running_mean": of("mean"), "running_var": of("var")}.items()
        case nn.LayerNorm():
            yield from {"weight": of("scale"), "bias": of("bias")}.items()
        case nn.Conv1d():
            yield from {"weight": of("kernel")[0].permute(2, 1, 0), "bias": of("bias")}.items()
        case nn.Conv2d():
            kernel = of("kernel")  # of a dense layer for 1 x 1
            kernel = kernel if kernel.ndim == 4 else kernel[None, None]
            yield from {"weight": kernel.permute(3, 2, 0, 1), "bias": of("bias")}.items()
        case layers.Flat():  # fdigits flattens with the channels last
            channels, *places = module.shape
            kernel = of("kernel").unflatten(0, (*places, channels))
            kernel = kernel.movedim((-1, -2), (0, 1)).flatten(1)
            yield from {"weight": kernel, "bias": of("bias")}.items()
        case nn.ConvTranspose2d():
            yield from {
                "weight": of("kernel").permute(2, 3, 0, 1),
                "bias": of("bias"),
            }.items()
        case layers.UpFlat():  # fdigits' maps have their channels last
            channels, *places = module.shape
            kernel = of("kernel").unflatten(1, (*places, channels)).movedim(-1, 1).flatten(1).T
            bias = of("bias").unflatten(0, (*places, channels)).movedim(-1, 0).flatten()
            yield from {"weight": kernel, "bias": bias}.items()
        case nn.Linear():
            yield from {"weight": of("kernel").T, "bias": of("bias")}.items()
        case nn.LSTM():
            for n in range(module.num_layers):
                yield f"weight_ih_l{n}", of(f"{n}/kernel").T
                yield f"weight_hh_l{n}", of(f"{n}/recurrent_kernel").T
                yield f"bias_ih_l{n}", of(f"{n}/bias")
                yield f"bias_hh_l{n}", torch.zeros_like(of(f"{n}/bias"))


def state(twin: nn.Module, flat: dict[str, Tensor]) -> dict[str, Tensor]:
    """The twin's state from fdigits' variables by path; gradients flow back to these.

    Raises:
      ValueError: one has what the other lacks.
    """
    made, used = {}, set()
    for name, module in twin.named_modules():
        if isinstance(twin.get_submodule(name.rpartition(".")[0]), layers.ConvBlock):
            continue

        def of(leaf: str, name: str = name, module: nn.Module = module) -> Tensor:
            kind = "batch_stats" if leaf in ("mean", "var") else "params"
            joint = "_" if isinstance(module, nn.LSTM) else "/"
            path = f"{kind}/{name.replace('.', '/')}{joint}{leaf}"
            if path not in flat:  # a block that keeps its convolution's variables itself
                path = path.replace("/Conv_0/", "/")
            used.add(path)
            return flat[path]

        made |= {f"{name}.{leaf}": tensor for leaf, tensor in leaves(module, of)}
    lacking = {name for name, _ in twin.named_parameters()} - made.keys()
    if lacking or used != flat.keys():
        raise ValueError(f"not carried over: {lacking or flat.keys() - used}")
    return made


def tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(array, dtype=torch.float64)


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def without_dropout(twin: nn.Module) -> nn.Module:
    for module in twin.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return twin.double()


def call(name: str, twin: nn.Module, flat: dict[str, Tensor], given: list[Tensor]):
    """Output as fdigits lays it out, and the fusion's weights or None."""
    carried = state(twin, flat)
    if name.startswith("joined"):
        return functional_call(twin, carried, (given,))
    if given[0].ndim == 2:
        return functional_call(twin, carried, (given[0],)), None
    if name.startswith("conv1d"):
        out = functional_call(twin, carried, (given[0][:, 0].mT,))
        return out.mT[:, None], None
    return functional_call(twin, carried, (nchw(given[0]),)).permute(0, 2, 3, 1), None


def module_values(name: str) -> parity.Arrays:
    """As `parity.module_values`."""
    rng = np.random.RandomState(0)
    given = parity.inputs(name, rng)
    drawn = parity.module_variables(name, given, rng)
    flat = {path: tensor(x).requires_grad_(path.startswith("params")) for path, x in drawn.items()}
    given = [tensor(x).requires_grad_() for x in given]
    twin = without_dropout(TWINS[name.removesuffix("_trained")]())
    out, weights = call(name, twin.train(name.endswith("_trained")), flat, given)
    out.backward(tensor(parity.normal(np.random.RandomState(1), tuple(out.shape))))
    made = {"output": out} | ({} if weights is None else {"weights": weights})
    made |= {f"gradient/{path}": x.grad for path, x in flat.items() if x.requires_grad}
    made |= {f"gradient/{n}": x.grad for n, x in enumerate(given)}
    return {f"{name}/{key}": x.detach().numpy().astype(np.float32) for key, x in made.items()}


def model_values(name: str) -> parity.Arrays:
    """As `parity.model_values`."""
    rng = np.random.RandomState(0)
    given = parity.batch(name, rng)
    flat = {k: tensor(x) for k, x in parity.model_variables(name, given, rng).items()}
    config = load_config(name)
    twin = without_dropout(twins.make(config.model)).eval()
    batch = {k: nchw(tensor(x)) if x.ndim == 4 else tensor(x) for k, x in given.items()}
    with torch.no_grad():
        output = functional_call(twin, state(twin, flat), (batch,))
    return {f"{name}/{parity.told(config)}": output.numpy().astype(np.float32)}


def golden() -> parity.Arrays:
    """Everything, by `module/output` and the like."""
    made = {}
    for name in parity.MODULES:
        made |= module_values(name)
    for name in parity.MODELS:
        made |= model_values(name)
    return made


if __name__ == "__main__":
    np.savez_compressed(parity.GOLDEN, **golden())
