"""MobileNetV2 (Sandler et al. 2018) as in Keras, without its classifier: R4's auxiliary judge."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fdigits.errors import UserError
from fdigits.models.layers import KERAS_EPSILON, KERAS_MOMENTUM, Dropout, KerasDense, glorot, watch

# Expansion, features, blocks, stride of the first: Table 2 of the paper.
SETTINGS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _norm(x: jax.Array, train: bool) -> jax.Array:
    """BatchNorm. Keras' MobileNetV2 keeps 0.999 of its statistics a step, for ImageNet's many."""
    return nn.BatchNorm(not train, momentum=KERAS_MOMENTUM, epsilon=KERAS_EPSILON)(x)


class Depthwise(nn.Module):
    """3 x 3 convolution of each channel by itself, zeros around: `[B, H, W, C]` ->
    `[B, ceil(H/stride), ceil(W/stride), C]`.

    A sum of nine shifted products: quicker on CPUs than a grouped convolution.
    """

    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", glorot, (3, 3, 1, x.shape[-1]))[:, :, 0]
        pads = jax.lax.padtype_to_pads(x.shape[1:3], (3, 3), (self.stride,) * 2, "SAME")
        out = [-(-size // self.stride) for size in x.shape[1:3]]
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
        last = [self.stride * (size - 1) + 1 for size in out]
        return sum(
            x[:, i : i + last[0] : self.stride, j : j + last[1] : self.stride] * kernel[i, j]
            for i in range(3)
            for j in range(3)
        )


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; the input is added where the shapes are equal.

    `[B, H, W, C]` -> `[B, ceil(H/stride), ceil(W/stride), features]`.
    """

    expansion: int
    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        before = x
        if self.expansion > 1:
            wide = KerasDense(self.expansion * x.shape[-1], use_bias=False)
            x = nn.relu6(_norm(wide(x), train))
        x = nn.relu6(_norm(Depthwise(self.stride)(x), train))
        x = _norm(KerasDense(self.features, use_bias=False)(x), train)
        return before + x if x.shape == before.shape else x


class MobileNetV2(nn.Module):
    """`[B, H, W, 1]` in 0..1 or normalised, copied to three channels -> `[B, H/32, W/32, 1280]`."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = jnp.broadcast_to(x, (*x.shape[:3], 3))
        kernel = self.param("kernel", glorot, (3, 3, 3, 32))
        dims = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=dims)
        x = nn.relu6(_norm(x, train))
        for expansion, features, blocks, stride in SETTINGS:
            for block in range(blocks):
                x = InvertedResidual(expansion, features, 1 if block else stride)(x, train)
        x = nn.relu6(_norm(KerasDense(1280, use_bias=False)(x), train))
        return watch(self, x)


class MobileNetEncoder(nn.Module):
    """R4's auxiliary classifier (Table 4) up to its scores: `[B, 28, 28, 1]` -> `[B, width]`.

    With `weights="imagenet"` it is to start from `imagenet()`.
    """

    width: int = 512
    dropout: float = 0.5
    weights: str = ""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = MobileNetV2(name="base")(x, train).mean((1, 2))
        return Dropout(self.dropout)(nn.relu(KerasDense(self.width)(x)), train)


def imagenet() -> dict[str, dict]:
    """The variables of `MobileNetV2` trained on ImageNet, through Keras' own loader.

    Raises:
      UserError: Keras is not installed, or cannot fetch them.
    """
    try:
        import keras

        model = keras.applications.MobileNetV2(
            weights="imagenet", include_top=False, input_shape=(32, 32, 3)
        )
    except Exception as error:  # Keras raises a bare one where it cannot connect
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"model.weights=imagenet: Keras cannot give these weights ({told}): connect once, or "
            "leave model.weights empty, which trains from scratch"
        ) from error
    return from_keras(model)


def from_keras(model) -> dict[str, dict]:
    """The variables of `MobileNetV2` from a `keras.applications.MobileNetV2` without its top.

    Keras' layers and ours stand in one order: convolutions, and the BatchNorm after each.
    """
    layers = [layer for layer in model.layers if layer.weights]
    convolved = [np.asarray(x.weights[0]) for x in layers if "Conv" in type(x).__name__]
    normed = [[np.asarray(w) for w in x.weights] for x in layers if "Batch" in type(x).__name__]
    variables: dict[str, dict] = {"params": {"kernel": convolved[0]}, "batch_stats": {}}
    _put_norm(variables, (), 0, normed[0])
    at, block = 1, 0
    for expansion, _, blocks, _ in SETTINGS:
        for _ in range(blocks):
            path, dense = (f"InvertedResidual_{block}",), 0
            for number in range(3 if expansion > 1 else 2):
                kernel = convolved[at]
                if kernel.shape[0] == 3:
                    _put(variables["params"], (*path, "Depthwise_0"), kernel.transpose(0, 1, 3, 2))
                else:
                    _put(variables["params"], (*path, f"Dense_{dense}"), kernel[0, 0])
                    dense += 1
                _put_norm(variables, path, number, normed[at])
                at += 1
            block += 1
    _put(variables["params"], ("Dense_0",), convolved[at][0, 0])
    _put_norm(variables, (), 1, normed[at])
    return variables


def _put(tree: dict, path: tuple[str, ...], kernel: np.ndarray) -> None:
    for name in path:
        tree = tree.setdefault(name, {})
    tree["kernel"] = kernel


def _put_norm(variables: dict, path: tuple[str, ...], number: int, weights: list) -> None:
    names = ("params", "scale"), ("params", "bias"), ("batch_stats", "mean"), ("batch_stats", "var")
    for (collection, name), held in zip(names, weights, strict=True):
        tree = variables[collection]
        for step in (*path, f"BatchNorm_{number}"):
            tree = tree.setdefault(step, {})
        tree[name] = held
