"""Fusions of two embeddings (R0, R1)."""

import torch
from torch import Tensor, nn

Fused = tuple[Tensor, Tensor | None]


class Concat(nn.Module):
    def forward(self, parts: list[Tensor]) -> Fused:
        return torch.cat(parts, -1), None


class Add(nn.Module):
    def forward(self, parts: list[Tensor]) -> Fused:
        return sum(parts), None


class Weighted(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.Dense_0, self.Dense_1 = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, parts: list[Tensor]) -> Fused:
        weights = [torch.sigmoid(d(x)) for d, x in zip(self.children(), parts, strict=True)]
        return weights[0] * parts[0] + weights[1] * parts[1], torch.cat(weights, -1)


class Gated(nn.Module):
    def __init__(self, width: int, tokens: int = 16) -> None:
        super().__init__()
        self.tokens, self.key, self.value = tokens, nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, parts: list[Tensor]) -> Fused:
        first, second = parts
        query, key, value = (
            x.unflatten(-1, (self.tokens, -1))
            for x in (first, self.key(second), self.value(second))
        )
        return first + (torch.softmax(query @ key.mT, -1) @ value).flatten(1), None


class LowRank(nn.Module):
    def __init__(self, width: int, rank: int = 4) -> None:
        super().__init__()
        self.rank, self.ranks = rank, nn.Linear(rank, 1)
        self.Dense_0, self.Dense_1 = (nn.Linear(width, rank * width) for _ in range(2))

    def forward(self, parts: list[Tensor]) -> Fused:
        product = self.Dense_0(parts[0]) * self.Dense_1(parts[1])
        return self.ranks(product.unflatten(-1, (self.rank, -1)).mT)[..., 0], None


class CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.LayerNorm_0 = heads, nn.LayerNorm(width, eps=1e-6)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, parts: list[Tensor]) -> Fused:
        tokens = torch.stack(parts, 1)
        query, key, value = (
            dense(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for dense in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, -1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return self.LayerNorm_0(tokens + self.out(mixed)).flatten(1), weights.mean((1, 2))


FUSIONS = {  # name -> of the embeddings' width: module, and the width of what it makes
    "concat": lambda width: (Concat(), 2 * width),
    "add": lambda width: (Add(), width),
    "weighted": lambda width: (Weighted(width), width),
    "gated": lambda width: (Gated(width), width),
    "low_rank": lambda width: (LowRank(width), width),
    "cross_attention": lambda width: (CrossAttention(width), 2 * width),
}
