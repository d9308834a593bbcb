"""What fdigits and its PyTorch twins are given alike, by NumPy alone, and what fdigits makes of it.

Every module has inputs and weights of `RandomState(0)`, a stream that NumPy keeps: first the inputs
in their order, then the variables by their sorted paths (`params/Dense_0/kernel`).
"""

import math
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from benchmarks.systems import SYSTEMS, load_config
from fdigits import tasks
from fdigits.models import attention, encoders, frames, fusion, layers

GOLDEN = Path(__file__).with_name("torch_twins.npz")
Arrays = dict[str, np.ndarray]


class Case(NamedTuple):
    """A module and the shapes of its inputs; `train` where it asks whether it is trained."""

    module: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    train: bool | None = None


MAP = ((2, 5, 4, 16),)
LENET = ((3, 12, 10, 3),)
MODULES = {
    "channel": Case(attention.ChannelAttention(), MAP),
    "channel_of_6": Case(attention.ChannelAttention(), ((2, 4, 5, 6),)),
    "spatial": Case(attention.SpatialAttention(), MAP),
    "pooled": Case(attention.PooledAttention(), MAP),
    "cbam": Case(attention.CBAM(), MAP),
    "self": Case(attention.SelfAttention(heads=2, width=8), MAP),
    "conv_pool": Case(layers.ConvPool(5), ((2, 9, 8, 3),), False),
    "conv_pool_trained": Case(layers.ConvPool(5), ((2, 9, 8, 3),), True),
    "dense_norm": Case(frames.DenseEncoder((5, 4), 0.2, norm=True), ((3, 6),), False),
    "dense_norm_trained": Case(frames.DenseEncoder((5, 4), 0.2, norm=True), ((3, 6),), True),
    "conv1d_block": Case(encoders.Conv1DBlock(4, 13), ((2, 1, 18, 3),), False),
    "conv1d_block_trained": Case(encoders.Conv1DBlock(4, 13), ((2, 1, 18, 3),), True),
    **{
        f"lenet_{name}{'_trained' * train}": Case(encoders.LeNetBlock(4, name), LENET, train)
        for name in ("none", "cbam", "hybrid")
        for train in (False, True)
    },
    **{
        f"joined_{name}": Case(fusion.make(name), ((3, 16 * width),) * 2)
        for name, width in [("concat", 1), ("add", 1), ("weighted", 1), ("gated", 2)]
        + [("low_rank", 1), ("cross_attention", 1)]
    },
}
# The model of augmentation is attention_base's; sound_to_image and gan are tested in tests/tasks.
MODELS = tuple(name for name in SYSTEMS if name not in ("augmentation", "sound_to_image", "gan"))
INPUTS = {
    "image": (3, 28, 28, 1),
    "audio": (3, 39, 13),
    "spectrogram": (3, 128, 128, 3),
    "frames": (3, 39, 14),
}


def normal(rng: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def inputs(name: str, rng: np.random.RandomState) -> list[np.ndarray]:
    return [normal(rng, shape) for shape in MODULES[name].shapes]


def batch(name: str, rng: np.random.RandomState) -> Arrays:
    read = tasks.make(load_config(name)).reads
    return {modality: normal(rng, INPUTS[modality]) for modality in read}


def draw(shapes: dict, rng: np.random.RandomState) -> Arrays:
    """Values, by path, for the params and batch_stats among the variables of a module."""
    kept = {kind: shapes[kind] for kind in ("params", "batch_stats") if kind in shapes}
    return {
        path: value(path.rpartition("/")[2], normal(rng, leaf.shape))
        for path, leaf in sorted(flatten_dict(kept, sep="/").items())
    }


def variables(module: nn.Module, *args) -> dict:
    """Values of a module's variables, without the random numbers that take long to compile."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args))
    return unflatten_dict(draw(shapes, np.random.RandomState(0)), sep="/")


def value(leaf: str, x: np.ndarray) -> np.ndarray:
    """Standard normal values -> values such as a trained module has."""
    if leaf.endswith("kernel"):
        return x / np.float32(math.sqrt(math.prod(x.shape[:-1])))
    return {"scale": 1 + x / 10, "var": 1 + x * x / 10}.get(leaf, x / 10)


def module_variables(name: str, given: list, rng: np.random.RandomState) -> Arrays:
    case = MODULES[name]
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    init = jax.eval_shape(lambda given: case.module.init(rngs, *arguments(case, given)), given)
    return draw(init, rng)


def model_variables(name: str, given: Arrays, rng: np.random.RandomState) -> Arrays:
    model = tasks.make(load_config(name)).model
    init = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), given)
    return draw(init, rng)


def arguments(case: Case, given: list) -> list:
    """Of the module's call: a map, or a list of embeddings; then `train` where it asks for it."""
    fused = type(case.module).__module__ == fusion.__name__
    return [given if fused else given[0]] + [case.train] * (case.train is not None)


def module_values(name: str) -> Arrays:
    """Output, `weights` where there are some, and gradients of the output's random projection."""
    case, rng = MODULES[name], np.random.RandomState(0)
    given = inputs(name, rng)
    flat = module_variables(name, given, rng)
    stats = {k: v for k, v in flat.items() if k.startswith("batch_stats")}
    params = {k: v for k, v in flat.items() if k not in stats}

    def outputs(params: Arrays, given: list) -> tuple[jax.Array, jax.Array | None]:
        variables = unflatten_dict(params | stats, sep="/")
        made, _ = case.module.apply(variables, *arguments(case, given), mutable=["batch_stats"])
        return made if isinstance(made, tuple) else (made, None)

    @jax.jit
    def values(params: Arrays, given: list):
        out, back, weights = jax.vjp(outputs, params, given, has_aux=True)
        return out, weights, back(jnp.asarray(normal(np.random.RandomState(1), out.shape)))

    out, weights, (by_params, by_inputs) = values(params, given)
    made = {"output": out} | ({} if weights is None else {"weights": weights})
    made |= {f"gradient/{path}": gradient for path, gradient in by_params.items()}
    made |= {f"gradient/{n}": gradient for n, gradient in enumerate(by_inputs)}
    return {f"{name}/{key}": np.asarray(array) for key, array in made.items()}


def model_values(name: str) -> Arrays:
    """Logits, or errors of what is no classifier, without dropout and without drawing pairs."""
    rng = np.random.RandomState(0)
    given = batch(name, rng)
    variables = unflatten_dict(model_variables(name, given, rng), sep="/")
    config = load_config(name)
    model, kind = tasks.make(config).model, told(config)
    output = jax.jit(lambda v, x: model.apply(v, x, train=False)[kind])(variables, given)
    return {f"{name}/{kind}": np.asarray(output)}


def told(config: ConfigDict) -> str:
    """The output that a model and its twin both give."""
    return "logits" if config.task == "classify" else "error"
