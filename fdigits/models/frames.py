"""Models of MFCC frames of any length: dense encoders, autoencoders, a merger (R4 Problem 1).

`frames` `[B, T, 14]` are standardised MFCC and, in the last column, 1 for sound and 0 for padding.
What stands in the padding changes nothing.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.errors import UserError
from fdigits.models.layers import KERAS_EPSILON, KERAS_MOMENTUM, Dropout, KerasDense

Batch = Mapping[str, jax.Array]
DRAWN = 8  # pairs of each utterance in a training step
PENALTY = 1e-3  # L2 of the kernels of `WholeAutoencoder`, but its output layer's


def sound(frames_BxTx14: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The coefficients `[B, T, 13]`, 0 in padding, and which frames hold sound `[B, T]`."""
    mask_BxT = frames_BxTx14[..., -1] > 0
    return jnp.where(mask_BxT[..., None], frames_BxTx14[..., :-1], 0), mask_BxT


def pairs(x_BxTxC: jax.Array, mask_BxT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each frame beside the next `[B, T, 2C]`, and which pairs there are `[B, T]`, the first ones.

    An utterance of one frame has one pair, that frame twice.
    """
    follows_BxT = jnp.pad(mask_BxT[:, 1:], ((0, 0), (0, 1)))
    next_BxTxC = jnp.pad(x_BxTxC[:, 1:], ((0, 0), (0, 1), (0, 0)))
    next_BxTxC = jnp.where(follows_BxT[..., None], next_BxTxC, x_BxTxC)
    return jnp.concatenate([x_BxTxC, next_BxTxC], -1), follows_BxT.at[:, 0].set(True)


def mean_where(x_BxT: jax.Array, mask_BxT: jax.Array) -> jax.Array:
    """Mean over the places of `[B, T, ...]` that the mask names; 0 where it names none."""
    count_B = jnp.maximum(mask_BxT.sum(1), 1)
    mask = mask_BxT.reshape(*mask_BxT.shape, *(1,) * (x_BxT.ndim - 2))
    return jnp.where(mask, x_BxT, 0).sum(1) / count_B.reshape(-1, *mask.shape[2:])


def draw(key: jax.Array, mask_BxT: jax.Array, arrays: Sequence[jax.Array], count: int):
    """`count` places of each row, drawn among the first ones that the mask names, with replacement.

    Returns:
      The arrays `[B, T, ...]` at these places, `[B, count, ...]`, and the mask there.
    """
    u_BxK = jax.random.uniform(key, (len(mask_BxT), count))
    row_BxK = (u_BxK * mask_BxT.sum(1, keepdims=True)).astype(jnp.int32)
    found = [jnp.take_along_axis(x, row_BxK[..., None], 1) for x in arrays]
    return found, jnp.take_along_axis(mask_BxT, row_BxK, 1)


class DenseEncoder(nn.Module):
    """Dense layers with ReLU, BatchNorm (with `norm`), dropout: `[B, D]` -> `[B, hidden[-1]]`."""

    hidden: Sequence[int]
    dropout: float
    norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for width in self.hidden:
            x = nn.relu(KerasDense(width)(x))
            if self.norm:
                x = nn.BatchNorm(not train, momentum=KERAS_MOMENTUM, epsilon=KERAS_EPSILON)(x)
            x = Dropout(self.dropout)(x, train)
        return x


class FramesEncoder(nn.Module):
    """The mean over an utterance's frames, then dense layers: `[B, T, 14]` -> `[B, D]`."""

    dense: nn.Module

    def __call__(self, frames_BxTx14: jax.Array, train: bool) -> jax.Array:
        return self.dense(mean_where(*sound(frames_BxTx14)), train)


class Coder(nn.Module):
    """Half an autoencoder: a dense layer with ReLU, a linear one; `[..., D]` -> `[..., width]`.

    `PENALTY` times the squares of its first `penalised` kernels is sown into "losses".
    """

    hidden: int
    width: int
    penalised: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        layers = KerasDense(self.hidden), KerasDense(self.width)
        out = layers[1](nn.relu(layers[0](x)))
        for layer in layers[: self.penalised]:
            kernel = layer.variables["params"]["kernel"]
            self.sow("losses", "l2", PENALTY * jnp.square(kernel).sum())
        return out


class WholeAutoencoder(nn.Module):
    """An utterance, padded and flattened, through a bottleneck (R4 Problem 1, approach A).

    The L2 penalty is of the kernels of all layers but the output's: with that one too, all that the
    code holds is paid for, and it holds little (configs/audio_autoencoder.py has both figures).
    """

    bottleneck: int

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> dict[str, jax.Array]:
        """`code` `[B, bottleneck]`, `reconstruction` `[B, T, 13]`, and `error` `[B]`, the mean
        square over all places, padding among them.

        Raises:
          UserError: a bottleneck wider than the input.
        """
        x_BxTxC, _ = sound(batch["frames"])
        flat_BxD = x_BxTxC.reshape(len(x_BxTxC), -1)
        places = flat_BxD.shape[1]
        if self.bottleneck > places:
            raise UserError(
                f"model.bottleneck is {self.bottleneck}, but the longest recording has {places} "
                f"numbers: give {places} at most"
            )
        code = Coder(256, self.bottleneck, 2, name="encoder")(flat_BxD)
        again_BxD = Coder(256, places, 1, name="decoder")(code)
        error_B = jnp.square(again_BxD - flat_BxD).mean(1)
        return {"code": code, "reconstruction": again_BxD.reshape(x_BxTxC.shape), "error": error_B}


class PairAutoencoder(nn.Module):
    """Two frames in a row through a bottleneck (R4 Problem 1, approach B, step 1).

    In training `DRAWN` pairs of each utterance, of the stream "draw"; else all.
    """

    bottleneck: int

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> dict[str, jax.Array]:
        """`error` `[B]`, the mean square over the pairs; when all are read, `code`
        `[B, bottleneck]`, the mean over the pairs, and `reconstruction` `[B, T, 13]` of each
        pair's first frame."""
        pair_BxTxP, real_BxT = pairs(*sound(batch["frames"]))
        if train:
            (pair_BxTxP,), real_BxT = draw(self.make_rng("draw"), real_BxT, [pair_BxTxP], DRAWN)
        width = pair_BxTxP.shape[-1]
        code_BxTxD = Coder(128, self.bottleneck, name="encoder")(pair_BxTxP)
        again_BxTxP = Coder(128, width, name="decoder")(code_BxTxD)
        error_B = mean_where(jnp.square(again_BxTxP - pair_BxTxP).mean(-1), real_BxT)
        if train:
            return {"error": error_B}
        first_BxTxC = jnp.where(real_BxT[..., None], again_BxTxP[..., : width // 2], 0)
        code_BxD = mean_where(code_BxTxD, real_BxT)
        return {"error": error_B, "code": code_BxD, "reconstruction": first_BxTxC}


class Merger(nn.Module):
    """A latent `[..., D]` and the next frame `[..., C]` -> the next latent `[..., D]`."""

    @nn.compact
    def __call__(self, latent: jax.Array, frame: jax.Array) -> jax.Array:
        x = nn.relu(KerasDense(64)(jnp.concatenate([latent, frame], -1)))
        return KerasDense(latent.shape[-1])(x)


def chain(
    merger: nn.Module, start_BxD: jax.Array, frame_BxTxC: jax.Array, mask_BxT: jax.Array
) -> jax.Array:
    """The latents that the merger makes frame by frame of its own latents, `[B, T, D]`.

    Where the mask names no frame the latent stays: the last one is that of the last frame.
    """

    def step(merger, latent_BxD, item):
        frame_BxC, real_B = item
        latent_BxD = jnp.where(real_B[:, None], merger(latent_BxD, frame_BxC), latent_BxD)
        return latent_BxD, latent_BxD

    along = dict(in_axes=1, out_axes=1)
    scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, **along)
    return scan(merger, start_BxD, (frame_BxTxC, mask_BxT))[1]


class UtteranceMerger(nn.Module):
    """A merger that predicts the code of the next pair (R4 Problem 1, approach B, steps 2 and 3).

    It learns from true codes, `DRAWN` steps of each utterance in a training step; the utterance's
    code comes of a chain of its own latents, which starts from the first pair's code: the chain's
    last latent (pool "last", as in the paper), or the mean of all ("mean").
    """

    bottleneck: int
    pool: str = "last"

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> dict[str, jax.Array]:
        """`error` `[B]`, the mean square over the steps; and, unless trained, `code` `[B, D]`."""
        encoder, merger = Coder(128, self.bottleneck, name="encoder"), Merger(name="merger")
        x_BxTxC, mask_BxT = sound(batch["frames"])
        pair_BxTxP, _ = pairs(x_BxTxC, mask_BxT)
        frame, real = x_BxTxC[:, 2:], mask_BxT[:, 2:]
        given, wanted = pair_BxTxP[:, :-2], pair_BxTxP[:, 1:-1]
        if train:
            steps = [given, wanted, frame]
            (given, wanted, frame), real = draw(self.make_rng("draw"), real, steps, DRAWN)
        predicted = merger(encoder(given), frame)
        error_B = mean_where(jnp.square(predicted - encoder(wanted)).mean(-1), real)
        if train:
            return {"error": error_B}
        start_BxD = encoder(pair_BxTxP[:, 0])
        latent_BxTxD = chain(merger, start_BxD, frame, real)
        latent_BxTxD = jnp.concatenate([start_BxD[:, None], latent_BxTxD], 1)
        if self.pool == "last":
            return {"error": error_B, "code": latent_BxTxD[:, -1]}
        made = jnp.pad(real, ((0, 0), (1, 0)), constant_values=True)
        return {"error": error_B, "code": mean_where(latent_BxTxD, made)}
