"""What each hand-written gradient and layout of `fdigits/models/kernels.py` is worth.

python -m benchmarks.kernels [--kernels=lstm,...] [--rounds=7] [--seconds=2]

Trains a system that uses the kernel, as it is and with the plain function, whose gradient JAX
derives, by turns in this process. The ratio of a round is above 1 where the kernel is quicker.
Meant for CPUs: on other backends the `*_cpu` are not used.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen as nn
from rich.console import Console
from rich.table import Table

from benchmarks.sitting import positive, spread
from benchmarks.steps import fdigits_runners, measure, random_chunk
from benchmarks.systems import load_config
from fdigits.config import choose
from fdigits.errors import exit_cleanly
from fdigits.models import attention, encoders, kernels, layers


def mean_max(x: jax.Array) -> jax.Array:
    """`kernels.channel_mean_max`, plain."""
    return jnp.stack([x.mean(-1), x.max(-1)], -1)


def lstm(gates_TxBxG: jax.Array, recurrent: jax.Array) -> jax.Array:
    """`kernels.lstm`, plain."""

    def step(carry, gates):
        h, c = carry
        i, f, g, o = jnp.split(gates + h @ recurrent, 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((gates_TxBxG.shape[1], recurrent.shape[0]), gates_TxBxG.dtype)
    return jax.lax.scan(step, (zero, zero), gates_TxBxG)[1]


def conv(features: int, size: tuple[int, int], block: int) -> nn.Module:
    """`layers.Conv`, not by blocks."""
    return layers.Conv(features, size)


class SquaresConv(layers.SquaresConv):
    """`layers.SquaresConv`, whose outputs are laid by squares after the convolution."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", layers.glorot, (*self.size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = kernels.blocks(layers.convolution()(x, kernel, layers.VALID), 2)
        return x.reshape(*x.shape[:3], 4, self.features), bias


class Trial(NamedTuple):
    """What stands in for `owner.name`, and the systems that show the difference."""

    owner: ModuleType
    name: str
    plain: Callable
    systems: tuple[str, ...]


TRIALS = {
    "conv_of_one": Trial(
        kernels, "conv_of_one", kernels.conv_of_many, ("image_cnn", "audio_cnn", "attention_base")
    ),
    "conv_of_many": Trial(kernels, "conv_of_many", kernels.conv, ("image_cnn", "attention_base")),
    "conv_to_few": Trial(kernels, "conv_to_few", kernels.conv_of_many, ("gan",)),
    "relu_pool_cpu": Trial(
        kernels, "relu_pool_cpu", kernels.relu_pool, ("attention_base", "conv1d_fusion")
    ),
    "relu_mean_cpu": Trial(kernels, "relu_mean_cpu", kernels.relu_mean, ("spectrogram_lenet",)),
    "norm_relu_pool_cpu": Trial(
        kernels, "norm_relu_pool_cpu", kernels.norm_relu_pool, ("image_cnn",)
    ),
    "transposed_by_matmul": Trial(
        kernels, "transposed_by_matmul", kernels.transposed_by_phases, ("sound_to_image",)
    ),
    "channel_mean_max": Trial(
        kernels, "channel_mean_max", mean_max, ("attention_cbam", "spectrogram_cbam")
    ),
    "lstm": Trial(kernels, "lstm", lstm, ("audio_lstm",)),
    "blocks": Trial(attention, "Conv", conv, ("attention_cbam", "spectrogram_cbam")),
    "squares": Trial(encoders, "SquaresConv", SquaresConv, ("spectrogram_lenet",)),
}


@contextlib.contextmanager
def replaced(trial: Trial) -> Iterator[None]:
    """While the models use the plain function."""
    with mock.patch.object(trial.owner, trial.name, trial.plain):
        yield


def warm(system: str) -> Callable[[], int]:
    """A call that trains a chunk of a system on random data, compiled already."""
    config = load_config(system)
    run = fdigits_runners(config, random_chunk(config))[0]["chunk"]
    run()
    return run


def gain(trial: Trial, system: str, rounds: int, seconds: float) -> tuple[list[float], list]:
    """Of each round: how many times as quick the kernel is, and the cores busy elsewhere."""
    own = warm(system)
    with replaced(trial):
        plain = warm(system)
    ratios, busy = [], []
    for _ in range(rounds):
        (ours, first), (theirs, second) = measure(own, seconds), measure(plain, seconds)
        ratios.append(ours / theirs)
        busy += [cores for cores in (first, second) if cores is not None]
    return ratios, busy


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernels", default=",".join(TRIALS))
    parser.add_argument("--rounds", type=positive(int), default=7)
    each = "of each function in each round"
    parser.add_argument("--seconds", type=positive(float), default=2.0, help=each)
    args = parser.parse_args()
    names = args.kernels.split(",")
    for name in names:
        choose(name, TRIALS, "kernel")
    shown = Table(title="steps per second, kernel / plain: median (min–max)")
    for column in ("kernel", "system", "gain", "cores busy elsewhere"):
        shown.add_column(column, justify="left" if column in ("kernel", "system") else "right")
    for name in names:
        for system in TRIALS[name].systems:
            ratios, busy = gain(TRIALS[name], system, args.rounds, args.seconds)
            shown.add_row(name, system, spread(ratios, 2), spread(busy, 1) if busy else "?")
    Console().print(shown)


if __name__ == "__main__":
    main()
