"""Fusion: the embeddings of M modalities, `[B, D]` each, become one.

Every module maps a list of embeddings to `(fused [B, E], weights [B, M] or None)`; the weights are
what a modality counts in each example, where the fusion has such. Late fusion, the mean of two
heads' logits, is `classifiers.LateFusion`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from fdigits.config import choose
from fdigits.errors import UserError
from fdigits.models.layers import Dense

Fused = tuple[jax.Array, jax.Array | None]
TOKENS = 16  # of an embedding, in the non-local gate
RANK = 4  # of the low-rank tensor
HEADS = 4  # of cross-attention


def _part(width: int, count: int, fusion: str) -> int:
    if width % count:
        raise UserError(f"model.width is {width}: model.fusion={fusion} cuts it in {count}")
    return width // count


class Concat(nn.Module):
    """Side by side, E = M·D (R0 Tables 4 and 5)."""

    def __call__(self, parts: Sequence[jax.Array]) -> Fused:
        return jnp.concatenate(parts, -1), None


class Add(nn.Module):
    """The sum, E = D (R1 Table 1, "add without weights")."""

    def __call__(self, parts: Sequence[jax.Array]) -> Fused:
        return sum(parts), None


class Weighted(nn.Module):
    """The sum, each embedding times a weight in (0, 1) that a dense layer reads from it (R1)."""

    @nn.compact
    def __call__(self, parts: Sequence[jax.Array]) -> Fused:
        weights_BxM = nn.sigmoid(jnp.concatenate([Dense(1)(part) for part in parts], -1))
        return jnp.einsum("bm,mbd->bd", weights_BxM, jnp.stack(parts)), weights_BxM


class Gated(nn.Module):
    """Non-local gate: the first embedding plus what its parts draw from the second, E = D.

    Both are cut into tokens; those of the first attend to those of the second, without scaling:
    q + softmax(q kᵀ) v (MultiBench's NL-gate; Wang et al., Non-local Neural Networks, 2018).
    """

    @nn.compact
    def __call__(self, parts: Sequence[jax.Array]) -> Fused:
        first, second = parts
        batch, width = first.shape
        cut = (batch, TOKENS, _part(width, TOKENS, "gated"))
        key, value = (Dense(width, name=name)(second).reshape(cut) for name in ("key", "value"))
        query = first.reshape(cut)
        attention_BxQxK = nn.softmax(jnp.einsum("bqc,bkc->bqk", query, key))
        drawn = jnp.einsum("bqk,bkc->bqc", attention_BxQxK, value)
        return first + drawn.reshape(batch, width), None


class LowRank(nn.Module):
    """Low-rank tensor fusion: the product over modalities of W·[f, 1], summed over ranks, E = D.

    Liu et al., Efficient Low-rank Multimodal Fusion, 2018, equation 7.
    """

    @nn.compact
    def __call__(self, parts: Sequence[jax.Array]) -> Fused:
        width = parts[0].shape[-1]
        factors = [Dense(RANK * width)(part) for part in parts]  # the bias is the 1's column
        product = jnp.prod(jnp.stack(factors), 0).reshape(len(parts[0]), RANK, width)
        return Dense(1, name="ranks")(product.swapaxes(1, 2))[..., 0], None


class CrossAttention(nn.Module):
    """Each embedding, as a token, attends to all, with a residual; side by side, E = M·D.

    Vaswani et al., Attention Is All You Need, 2017, one layer over M tokens. The weights are what
    each token receives on average, over heads and tokens.
    """

    @nn.compact
    def __call__(self, parts: Sequence[jax.Array]) -> Fused:
        tokens_BxMxD = jnp.stack(parts, 1)
        batch, count, width = tokens_BxMxD.shape
        split = (batch, count, HEADS, _part(width, HEADS, "cross_attention"))
        query, key, value = (
            Dense(width, name=name)(tokens_BxMxD).reshape(split)
            for name in ("query", "key", "value")
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) * split[-1] ** -0.5
        attention_BxHxMxM = nn.softmax(scores)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", attention_BxHxMxM, value).reshape(tokens_BxMxD.shape)
        out = nn.LayerNorm()(tokens_BxMxD + Dense(width, name="out")(mixed))
        return out.reshape(batch, -1), attention_BxHxMxM.mean((1, 2))


def make(name: str) -> nn.Module:
    """`concat`, `add`, `weighted`, `gated`, `low_rank` or `cross_attention`."""
    modules = {
        "concat": Concat,
        "add": Add,
        "weighted": Weighted,
        "gated": Gated,
        "low_rank": LowRank,
        "cross_attention": CrossAttention,
    }
    return choose(name, modules, "model.fusion")()
