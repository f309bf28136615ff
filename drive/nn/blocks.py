"""Small parts that networks are made of: perceptrons, attention over masked tokens, decoders.

Attention blocks normalise before, not after (Xiong et al. 2020): deep ones then train without warm-up.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, constant, functional, nn, torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def mlp(sizes: Sequence[int], *, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """Linear layers from `sizes[0]` to `sizes[-1]` with ReLU between them.

    `norm` puts a LayerNorm before each ReLU.
    """
    if len(sizes) < 2:
        raise InputError(f"a perceptron needs at least an input's and an output's size, got {list(sizes)}")
    parts: list[nn.Module] = []
    for a, b in pairwise(sizes[:-1]):
        parts.append(nn.Linear(a, b))
        if norm:
            parts.append(nn.LayerNorm(b))
        parts.append(nn.ReLU())
        if dropout > 0.0:
            parts.append(nn.Dropout(dropout))
    parts.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*parts)


def sinusoidal(
    values: Tensor, width: int, *, shortest: float = 2.0 * math.pi, longest: float = 2e4 * math.pi
) -> Tensor:
    """Sines and cosines of `values (...)` at wavelengths from `shortest` to `longest`: `(..., width)`.

    The defaults are those of Vaswani et al. 2017, section 3.5, for steps and positions in a sequence.
    """
    if width < 2 or width % 2:
        raise InputError(f"a sinusoidal embedding needs an even width, got {width}")
    waves = constant(_waves(width // 2, shortest, longest), values.device, values.dtype)
    angles = values[..., None] * waves
    return torch.cat((angles.sin(), angles.cos()), -1)


@lru_cache(maxsize=64)
def _waves(count: int, shortest: float, longest: float) -> tuple[float, ...]:
    ratio = (longest / shortest) ** (1.0 / max(count - 1, 1))
    return tuple(2.0 * math.pi / (shortest * ratio**k) for k in range(count))


class Memory(NamedTuple):
    """What one layer attends to: its keys and values, computed once, and which of them count."""

    keys: Tensor  # (B, heads, L, d / heads)
    values: Tensor  # (B, heads, L, d / heads)
    mask: Tensor | None  # (B, 1, 1, L) bool


class Attention(nn.Module):
    """Multi-head attention of queries (B, K, d) to a memory (B, L, d), without dropout of the weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise InputError(f"an attention's width ({width}) must be a multiple of its heads ({heads})")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def remember(self, memory: Tensor, valid: Tensor | None = None) -> Memory:
        """Keys and values of `memory (B, L, d)`; rows that are not `valid (B, L)` are never looked at."""
        keys, values = map(self._split, self.key_value(memory).chunk(2, -1))
        if valid is None:
            return Memory(keys, values, None)
        # The softmax over nothing is not a number: who has nothing to see sees zeros everywhere.
        nothing = ~valid.any(-1)[:, None, None, None]
        return Memory(keys, values.masked_fill(nothing, 0.0), valid[:, None, None, :] | nothing)

    def forward(self, queries: Tensor, memory: Memory) -> Tensor:
        """(B, K, d) from queries (B, K, d). A moment without one valid row gives the output's bias."""
        q = self._split(self.query(queries))
        mixed = functional.scaled_dot_product_attention(q, memory.keys, memory.values, attn_mask=memory.mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, tensor: Tensor) -> Tensor:
        b, k, d = tensor.shape
        return tensor.view(b, k, self.heads, d // self.heads).transpose(1, 2)


class SelfAttention(nn.Module):
    """Tokens look at each other; what they see is added to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, L, d) from tokens (B, L, d) and which of them are valid (B, L)."""
        normed = self.norm(tokens)
        out: Tensor = tokens + self.attention(normed, self.attention.remember(normed, valid))
        return out


class EncoderLayer(nn.Module):
    """Self-attention, then a perceptron, each added to what came in."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.own = SelfAttention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.ffn = mlp((width, ffn, width), dropout=dropout)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, L, d) from tokens (B, L, d) and which of them are valid (B, L)."""
        tokens = self.own(tokens, valid)
        out: Tensor = tokens + self.ffn(self.norm(tokens))
        return out


class DecoderLayer(nn.Module):
    """Queries look at each other (if asked), then at the memory, then think: pre-norm, residual."""

    def __init__(
        self, width: int, heads: int, ffn: int, *, self_attention: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.own = SelfAttention(width, heads) if self_attention else None
        self.norm, self.norm_ffn = nn.LayerNorm(width), nn.LayerNorm(width)
        self.cross = Attention(width, heads)
        self.ffn = mlp((width, ffn, width), dropout=dropout)

    def forward(self, queries: Tensor, memory: Memory, queries_valid: Tensor | None = None) -> Tensor:
        """(B, K, d) from queries (B, K, d); `queries_valid (B, K)` matters to self-attention alone."""
        if self.own is not None:
            queries = self.own(queries, queries_valid)
        queries = queries + self.cross(self.norm(queries), memory)
        out: Tensor = queries + self.ffn(self.norm_ffn(queries))
        return out


class Decoder(nn.Module):
    """Layers of `DecoderLayer` and a last LayerNorm.

    Without `self_attention` each query is answered for itself: the cost is linear in their number, and other
    candidates never change a candidate's answer.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        ffn: int,
        self_attention: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, ffn, self_attention=self_attention, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def remember(self, memory: Tensor, memory_valid: Tensor | None = None) -> list[Memory]:
        """Each layer's keys and values of `memory (B, L, d)`, for several calls of `attend`."""
        return [layer.cross.remember(memory, memory_valid) for layer in self.layers]  # type: ignore[union-attr, operator]

    def attend(
        self, queries: Tensor, memories: Sequence[Memory], queries_valid: Tensor | None = None
    ) -> list[Tensor]:
        """Every layer's output (B, K, d), the last layer's last; `norm` has not seen them yet."""
        outputs = []
        for layer, memory in zip(self.layers, memories, strict=True):
            queries = layer(queries, memory, queries_valid)
            outputs.append(queries)
        return outputs

    def forward(
        self,
        queries: Tensor,
        memory: Tensor,
        memory_valid: Tensor | None = None,
        *,
        queries_valid: Tensor | None = None,
        all_layers: bool = False,
    ) -> Tensor | list[Tensor]:
        """(B, K, d) from queries (B, K, d) and memory (B, L, d); with `all_layers` a list, one a layer."""
        outputs = self.attend(queries, self.remember(memory, memory_valid), queries_valid)
        return [self.norm(output) for output in outputs] if all_layers else self.norm(outputs[-1])


__all__ = [
    "Attention",
    "Decoder",
    "DecoderLayer",
    "EncoderLayer",
    "Memory",
    "SelfAttention",
    "mlp",
    "sinusoidal",
]
