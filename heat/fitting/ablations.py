"""What a model's attention says of a text, beside what the model answers where parts of the text are missing."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heat.algorithms.draws import generator_of
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, collate, rows_within
from heat.encoding import Encoded
from heat.errors import FitError
from heat.internals.attention import capture_attention
from heat.internals.forward import Replacement, at_targets, replacement, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen
from heat.internals.target_rows import target_rows
from heat.model import LanguageModel
from heat.sources import Sources, sources_of


@dataclass(frozen=True)
class Masking:
    """How texts are ablated.

    Attributes:
        n_masks: Random ablations of each text.
        sources: What is masked together, `words` or `sentences`; without a tokenizer every token by itself.
        mask: What stands in a missing token's place: `zero`, `pad` or `mean` (as `replacement` says).
        seed: Seed of the draws, together with the text.
    """

    n_masks: int = 32
    sources: Sources = "words"
    mask: Replacement = "zero"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Ablations:
    """Random ablations of one text; each keeps a source with probability ½.

    Attributes:
        features: float32 [K, F]: attention from the target to the sources that are left in, of each of all F heads
            (block by block); mean over the target's tokens, sum over the sources'.
        outcomes: float32 [K]: log-odds log p - log(1 - p) of the whole target.
        n_heads: Heads of each block; they sum to F.
    """

    features: Tensor
    outcomes: Tensor
    n_heads: tuple[int, ...]


def ablate(
    lm: LanguageModel, encoded: Encoded, masking: Masking, *, batch_tokens: int = DEFAULT_BATCH_TOKENS
) -> Ablations:
    """Ablate a text at random: one pass for its attention, and one for each mask.

    Args:
        lm: The model; left as it was.
        encoded: Prompt and target; the prompt's sources are ablated, but a beginning-of-text token.
        masking: How.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        Features and outcomes of K masks.

    Raises:
        FitError: The prompt has fewer than two sources, so that nothing can be told apart.
    """
    batch = collate([encoded], lm.device)
    source_of = torch.tensor(sources_of(lm, list(encoded.token_ids[: encoded.n_prompt]), masking.sources))
    n_sources = int(source_of.max()) + 1
    if n_sources < 2:
        raise FitError("the prompt has a single source; give longer texts, or smaller sources")
    drawn = torch.rand(masking.n_masks, n_sources, generator=generator_of(batch, 0, masking.seed))
    masks = drawn < 0.5
    with frozen(lm.model), torch.no_grad():
        attention, n_heads = _attention(lm, batch)
        by_source = torch.zeros(n_sources, attention.shape[1])
        inside = source_of >= 0
        by_source.index_add_(0, source_of[inside], attention[: encoded.n_prompt][inside])
        present = torch.ones(masking.n_masks, len(encoded.token_ids), dtype=torch.bool)
        present[:, : encoded.n_prompt] = masks[:, source_of.clamp_min(0)] | ~inside
        outcomes = _log_odds(lm, batch, present, masking.mask, batch_tokens)
    return Ablations(masks.float() @ by_source, outcomes.float(), n_heads)


def _attention(lm: LanguageModel, batch: Batch) -> tuple[Tensor, tuple[int, ...]]:
    """Attention of every head from the target's positions, their mean, [T, F] on CPU, and the heads of each block."""
    _, blocks = capture_attention(lm.model, batch, token_vectors(lm.model, batch))
    rows = [target_rows(block, batch).mean(0).float().cpu() for block in blocks]
    return torch.cat(rows).T, tuple(block.n_heads for block in blocks)


def _log_odds(
    lm: LanguageModel, batch: Batch, present: Tensor, mask: Replacement, batch_tokens: int
) -> Tensor:
    """Log-odds of the whole target for each choice of present tokens, float64 [K] on CPU.

    1 - p is summed over all that the model might say instead, token by token: 1 - Π p_t = Σ_t (Π_{s<t} p_s)(1 - p_t),
    so that it is exact where p is close to 1.
    """
    embeddings = token_vectors(lm.model, batch)
    last = batch.of_targets(torch.tensor([len(batch.rows) - 1], device=batch.rows.device))
    blank = replacement(lm.model, last, embeddings, mask)[:, None]

    def work(part: Tensor) -> Tensor:
        masked = torch.where(part.to(embeddings.device)[..., None], embeddings, blank)
        values = at_targets(lm.model, _copies(batch, len(part)), masked)
        targets = batch.target_ids.repeat(len(part)).to(values.device)[:, None]
        said = values.gather(1, targets)
        others = values.scatter(1, targets, -torch.inf).logsumexp(-1)
        log_p = said.double().reshape(len(part), -1)
        before = log_p.cumsum(-1) - log_p
        return (log_p.sum(-1) - (before + others.double().reshape(len(part), -1)).logsumexp(-1)).cpu()

    return torch.cat(list(in_parts(present, rows_within(batch_tokens, present.shape[1]), work)))


def _copies(batch: Batch, n_copies: int) -> Batch:
    """A batch of one sequence, stacked: its targets are those of the first copy, then those of the second."""
    n_targets = len(batch.rows)
    return replace(
        batch,
        token_ids=batch.token_ids.expand(n_copies, -1),
        attention_mask=batch.attention_mask.expand(n_copies, -1),
        rows=torch.arange(n_copies, device=batch.rows.device).repeat_interleave(n_targets),
        positions=batch.positions.repeat(n_copies),
        target_ids=batch.target_ids.repeat(n_copies),
    )
