"""What each token's value vectors contribute to the residual stream behind a block's attention, as shares by row.

In every block y_i = x_i + Σ_{j,h} f_ij^h + b_O with f_ij^h = A_ij^h v_j^h W_O^h. A part f counts by how near it brings
the sum, max(0, ‖y_i‖₁ - ‖y_i - f‖₁) (Ferrando et al. 2022). The n × n × d vectors are made a few at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.errors import UnsupportedModelError
from heat.internals.attention import WEIGHTS_AT_ONCE, BlockAttention, capture_attention
from heat.internals.forward import at_least_float32, token_vectors
from heat.internals.residual import Addition, recorded_additions

Parts = Literal["tokens", "heads"]

# Numbers of a CPU's cache; other devices take as many as `WEIGHTS_AT_ONCE`.
_CACHED = 1 << 17


@dataclass(frozen=True, eq=False)
class Block:
    """One block's attention taken apart.

    Attributes:
        attention: What it did.
        addition: What that added to the residual stream.
    """

    attention: BlockAttention
    addition: Addition

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.attention.values.device

    @cached_property
    def projection(self) -> Tensor:
        """W_O, at least float32, [H, d_head, d]."""
        return at_least_float32(self.attention.projection)

    @cached_property
    def gate(self) -> Tensor | None:
        """What stands between A V and W_O as a factor, [B, H, T, d_head]; None where nothing does."""
        return self.attention.gate()

    def values(self, text: int, keys: slice) -> Tensor:
        """V of some tokens of a text for every query head, at least float32, [H, k, d_head]."""
        values = at_least_float32(self.attention.values[text, :, keys])
        return values.repeat_interleave(self.attention.n_heads // len(values), dim=0)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one text's matrix of shares.

    Attributes:
        text: Index of the text.
        queries: int64 [q], the rows.
        moved: [q, T], share of each token's part in the row's position; 0 behind the row.
        stayed: [q], share of the residual stream where it is a part of its own, else 0. With `moved` it sums to 1.
    """

    text: int
    queries: Tensor
    moved: Tensor
    stayed: Tensor


def taken_apart(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, list[Block]]:
    """One forward pass that takes every block's attention apart.

    Args:
        model: The model, frozen, without gradients.
        batch: B sequences of T tokens with R targets.

    Returns:
        Next-token log-probabilities at the targets' positions [R, V], and the blocks from first to last.

    Raises:
        UnsupportedModelError: Attention cannot be read, or is not added to the residual stream in a known way.
    """
    with recorded_additions(model) as additions:
        values, blocks = capture_attention(model, batch, token_vectors(model, batch))
    if len(additions) != len(blocks):
        raise UnsupportedModelError(
            f"{type(model).__name__} runs its blocks more than once; use a method that needs no attention"
        )
    return values, [Block(*pair) for pair in zip(blocks, additions, strict=True)]


def shares_of_parts(block: Block, wanted: Tensor, parts: Parts, threshold: float = 0.0) -> Iterator[Rows]:
    """Share of every part in y_i, for some rows i.

    `tokens` (ALTI): the parts are Σ_h f_ij^h, with x_i added to the part of i itself.
    `heads` (information flow routes): the parts are every f_ij^h, and x_i apart; shares are summed over heads.
    A row in which no part counts stays where it is.

    Args:
        block: The block.
        wanted: Bool [B, T], the rows to compute.
        parts: Which of the two.
        threshold: With `heads`, parts whose share is below it are left out, and the others sum to 1.

    Yields:
        Rows of one text, text by text; at least float32.
    """
    wanted = wanted.to(block.device)
    texts = wanted.any(1).nonzero()[:, 0].tolist()
    for queries, weights in block.attention.by_queries():
        for text in texts:
            places = wanted[text, queries].nonzero()[:, 0]
            if len(places):
                yield _rows(block, text, places + queries.start, weights[text, :, places], parts, threshold)


def moved_vectors(block: Block, text: int, queries: Tensor, weights: Tensor, keys: slice) -> Tensor:
    """f_ij^h of some positions i and tokens j, with whatever factors stand before and behind W_O.

    Args:
        block: The block.
        text: Index of the text.
        queries: int64 [q].
        weights: A of the queries and all T tokens, [H, q, T].
        keys: The tokens.

    Returns:
        [H, q, k, d], at least float32.
    """
    values, gate, factor = block.values(text, keys), block.gate, block.addition.factor
    if gate is None:
        vectors = (values @ block.projection)[:, None] * weights[:, :, keys, None]
    else:
        mixed = values[:, None] * gate[text][:, queries, None] * weights[:, :, keys, None]
        vectors = mixed @ block.projection[:, None]
    return vectors if factor is None else vectors * factor[text, queries, None]


def _rows(block: Block, text: int, queries: Tensor, weights: Tensor, parts: Parts, threshold: float) -> Rows:
    before = at_least_float32(block.addition.before[text, queries])
    after = at_least_float32(block.addition.after[text, queries])
    n_tokens = weights.shape[-1]
    last = int(queries.max()) + 1
    if parts == "tokens":
        near = _token_nearness(block, text, queries, weights, before, after, last)
        total = near.sum(-1)
        counts = total > 0
        moved = near / torch.where(counts, total, 1.0)[:, None]
        stayed = torch.where(counts, 0.0, 1.0).to(moved)
    else:
        residual = nearness(after, before)
        near = _head_nearness(block, text, queries, weights, after, last)
        if threshold > 0:
            least = threshold * (near.sum((0, 2)) + residual)
            near = torch.where(near < least[:, None], 0.0, near)
            residual = torch.where(residual < least, 0.0, residual)
        moved = near.sum(0)
        total = moved.sum(-1) + residual
        counts = total > 0
        moved = moved / torch.where(counts, total, 1.0)[:, None]
        stayed = torch.where(counts, residual / torch.where(counts, total, 1.0), 1.0)
    padded = moved.new_zeros(len(queries), n_tokens)
    padded[:, :last] = moved
    return Rows(text, queries, padded, stayed)


def _token_nearness(
    block: Block, text: int, queries: Tensor, weights: Tensor, before: Tensor, after: Tensor, last: int
) -> Tensor:
    """max(0, ‖y_i‖₁ - ‖y_i - T_i(x_j)‖₁), [q, last]."""
    factor, gated = block.addition.factor, block.gate is not None
    rest = after.new_zeros(len(queries), last)
    for keys, pieces in _pieces(block, queries, last, block.attention.n_heads if gated else 1):
        vectors = None if gated else (block.values(text, keys) @ block.projection).transpose(0, 1)
        for places in pieces:
            rows, here, sums = queries[places], weights[:, places], after[places]
            if vectors is None:
                differences = moved_vectors(block, text, rows, here, keys).sum(0).transpose(0, 1) - sums
            elif factor is None:
                # [k, q, H] @ [k, H, d]: the sum over heads in one product.
                weight = here[:, :, keys].permute(2, 1, 0)
                differences = torch.baddbmm(sums.expand(len(vectors), -1, -1), weight, vectors, beta=-1)
            else:
                differences = here[:, :, keys].permute(2, 1, 0) @ vectors * factor[text, rows] - sums
            # x_i belongs to the part of i itself.
            inside = ((rows >= keys.start) & (rows < keys.stop)).nonzero()[:, 0]
            differences[rows[inside] - keys.start, inside] += before[places][inside]
            rest[places, keys] = _length(differences).T
    return _causal((_length(after)[:, None] - rest).clamp_min_(0), queries)


def _head_nearness(
    block: Block, text: int, queries: Tensor, weights: Tensor, after: Tensor, last: int
) -> Tensor:
    """max(0, ‖y_i‖₁ - ‖y_i - f_ij^h‖₁), [H, q, last]."""
    n_heads = block.attention.n_heads
    plain = block.gate is None and block.addition.factor is None
    rest = after.new_zeros(n_heads, len(queries), last)
    for keys, pieces in _pieces(block, queries, last, n_heads):
        vectors = (block.values(text, keys) @ block.projection)[:, None] if plain else None
        for places in pieces:
            rows, here, sums = queries[places], weights[:, places], after[places][:, None]
            if vectors is None:
                differences = moved_vectors(block, text, rows, here, keys) - sums
            else:
                differences = torch.addcmul(sums, here[:, :, keys, None], vectors, value=-1)
            rest[:, places, keys] = _length(differences)
    return _causal((_length(after)[:, None] - rest).clamp_min_(0), queries)


def vectors_at_once(block: Block, copies: int) -> int:
    """How many vectors of the width, so many times over, fit into a CPU's cache, or into memory elsewhere."""
    width = block.addition.after.shape[-1] * copies
    return max(1, (_CACHED if block.device.type == "cpu" else WEIGHTS_AT_ONCE) // width)


def nearness(whole: Tensor, parts: Tensor) -> Tensor:
    """max(0, ‖y‖₁ - ‖y - f‖₁) of a sum y [..., d] and parts f of it [..., d]."""
    return (_length(whole) - _length(whole - parts)).clamp_min(0)


def _length(vectors: Tensor) -> Tensor:
    """L1 norms over the last axis; several times as fast as `torch.linalg.vector_norm` on a CPU."""
    return vectors.abs().sum(-1)


def _causal(near: Tensor, queries: Tensor) -> Tensor:
    """0 at the tokens behind each query, for [..., q, k]."""
    columns = torch.arange(near.shape[-1], device=near.device)
    return torch.where(columns <= queries[:, None], near, 0.0)


def _pieces(block: Block, queries: Tensor, last: int, copies: int) -> Iterator[tuple[slice, Iterator[slice]]]:
    """Tokens, each with pieces of the queries that see one of them, as vectors that fit into cache or memory."""
    most = vectors_at_once(block, copies)
    n_places = min(len(queries), max(1, most // 8))
    n_keys = max(1, most // n_places)
    for first in range(0, last, n_keys):
        begin = int(torch.searchsorted(queries, first))
        pieces = range(begin, len(queries), n_places)
        yield slice(first, min(first + n_keys, last)), (slice(place, place + n_places) for place in pieces)


def one_at_targets(blocks: list[Block], batch: Batch) -> Tensor:
    """1 at each target's position, where every walk begins, at least float32 [R, T]."""
    like = at_least_float32(blocks[-1].attention.values)
    start = like.new_zeros(len(batch.rows), batch.token_ids.shape[1])
    return start.scatter(1, batch.positions.to(start.device)[:, None], 1.0)


def walked(
    blocks: list[Block],
    batch: Batch,
    shares: Callable[[Block, Tensor], Iterator[Rows]],
    start: Tensor,
    added: Callable[[Block], Tensor] | None = None,
) -> Tensor:
    """A row vector for each target, handed down through the blocks' matrices of shares from the last to the first.

    Args:
        blocks: First to last.
        batch: B sequences with R targets.
        shares: Rows of a block's matrix, for wanted rows [B, T].
        start: What is handed to the last block, [R, T].
        added: What each block adds below its matrix, [R, T].

    Returns:
        [R, T].
    """
    mass = start
    for block in reversed(blocks):
        mass = mass.to(block.device)
        rows = batch.rows.to(block.device)
        wanted = mass.new_zeros(batch.token_ids.shape).index_add_(0, rows, (mass != 0).to(mass)) > 0
        below = torch.zeros_like(mass)
        if wanted.any():
            for part in shares(block, wanted):
                targets = (rows == part.text).nonzero()[:, 0]
                here = mass[targets][:, part.queries]
                handed = here @ part.moved.to(mass)
                handed[:, part.queries] += here * part.stayed.to(mass)
                below[targets] += handed
        mass = below if added is None else below + added(block)
    return mass
