"""Baselines that read attention weights."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.transition import flow
from heat.errors import PromptTooLongError
from heat.internals.attention import BlockAttention, capture_attention
from heat.internals.forward import at_least_float32, token_vectors
from heat.internals.state import frozen
from heat.internals.target_rows import target_rows
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("attention-rollout")
@dataclass(frozen=True)
class AttentionRollout(Method):
    """Product of the blocks' attention matrices, each averaged over heads and mixed with identity.

    The row of the target's position is the score: a = e_T Â_L ... Â_1 with Â = ½ Ā + ½ I. In most models
    the first token collects mass ("sink").
    """

    summary = "attention multiplied through the blocks"
    source = "Abnar & Zuidema 2020, eq. 1"
    needs = ("forward", "attention")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            _, blocks = capture_attention(lm.model, batch, token_vectors(lm.model, batch))
            rho = torch.nn.functional.one_hot(batch.positions, batch.token_ids.shape[1])
            rho = rho.to(at_least_float32(blocks[0].values).dtype)
            for block in reversed(blocks):
                rho = rho.to(block.values.device)
                rows = batch.rows.to(rho.device)
                moved = torch.zeros_like(rho)
                for queries, weights in block.by_queries():
                    moved += torch.einsum("rq,rqk->rk", rho[:, queries], weights.mean(1)[rows])
                rho = 0.5 * rho + 0.5 * moved
        return Scores(rho)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0}


@register("attention-last")
@dataclass(frozen=True)
class AttentionLast(Method):
    """Attention of the last block at the target's position, averaged over heads.

    a_j = (1/H) Σ_h A^{(L,h)}_{tj}, where t predicts the target. It sums to 1 over the context. The paper names it "raw
    attention" and shows it to agree less with ablation than rollout and flow do.
    """

    summary = "attention of the last block"
    source = "Abnar & Zuidema 2020, raw attention"
    needs = ("forward", "attention")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            _, blocks = capture_attention(lm.model, batch, token_vectors(lm.model, batch))
            return Scores(target_rows(blocks[-1], batch).mean(1))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0}


@register("attention-flow")
@dataclass(frozen=True)
class AttentionFlow(Method):
    """Largest flow that the blocks' attention graph carries from the target's position to each input token.

    Node (l, i) is token i above block l; an edge from (l, i) to (l-1, j) has capacity Â_l[i, j] with Â = ½ Ā + ½ I, Ā
    averaged over heads. a_j = maxflow((L, t) → (0, j)) / Σ_k maxflow((L, t) → (0, k)): one max-flow for each target and
    token, each on its own as published. Capacities are rounded to whole 2⁻²⁸ths (ours), which is finer than float32.

    The pass through the model costs 1; the flows run on the CPU beside it and grow with L·n³, hence the cap.

    Attributes:
        max_tokens: Longest context; a longer one is refused.
    """

    summary = "maximum flow through the attention graph, short prompts only"
    source = "Abnar & Zuidema 2020, attention flow"
    needs = ("forward", "attention")
    only_named = "takes contexts of at most 64 tokens"

    max_tokens: Annotated[int, Field(ge=1)] = 64

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token.

        Raises:
            PromptTooLongError: A context is longer than `max_tokens`.
        """
        longest = int(batch.context.sum(-1).max())
        if longest > self.max_tokens:
            raise PromptTooLongError(
                f"a context has {longest} tokens and attention-flow takes {self.max_tokens}, as it solves "
                "a flow problem for each; use attention-rollout, or raise the option max_tokens"
            )
        with frozen(lm.model), torch.no_grad():
            _, blocks = capture_attention(lm.model, batch, token_vectors(lm.model, batch))
            means = [at_least_float32(block.weights).mean(1).double().cpu() for block in blocks]
        scores = torch.zeros(batch.context.shape)
        for target, inside in enumerate(batch.context.cpu()):
            row, columns = int(batch.rows[target]), inside.nonzero()[:, 0]
            matrices = torch.stack([mean[row][columns][:, columns] for mean in means])
            flows = max_flows(0.5 * matrices + 0.5 * torch.eye(len(columns)))
            scores[target, columns] = (flows / flows.sum()).float()
        return Scores(scores)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of the pass; the flows themselves are not counted."""
        return {"attention": 1.0}


@register("value-norms")
@dataclass(frozen=True)
class ValueNorms(Method):
    """Length of what attention moves from each token to the target's position.

    In each block a_j = ‖Σ_h α^h_{tj} f^h(x_j)‖₂ with f^h(x) = (x W_V^h + b_V^h) W_O^h, x being what enters the
    attention (after the norm, in models that norm before). The output's own bias belongs to no token and is left out;
    a gate or RMS norm between attention and W_O counts as the factor that it is at the target's position (ours).

    The paper compares single layers and says of no way to join them: ours is the mean over blocks.

    Attributes:
        layers: Average over the top N blocks only; None for all.
    """

    summary = "L2 norm of the value vectors that attention moves, mean over blocks"
    source = "Kobayashi et al. 2020, eq. 3-5; mean over blocks ours"
    needs = ("forward", "attention")

    layers: Annotated[int, Field(ge=1)] | None = None

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            _, blocks = capture_attention(lm.model, batch, token_vectors(lm.model, batch))
            norms = [_moved_norms(block, batch) for block in blocks[-(self.layers or len(blocks)) :]]
        return Scores(torch.stack([norm.to(norms[0].device) for norm in norms]).mean(0))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0}


@register("relevance")
@dataclass(frozen=True)
class Relevance(Method):
    """Attention times its gradient, positive part, walked through the blocks.

    R ← R + Ā R from R = I, with Ā = mean_h (A ⊙ ∂g/∂A)⁺ and g = log p(target), less log p(foil) where there is one; the
    score is the row of the target's position. As published, the path that never leaves that position stays in, which
    gives the last token 1 more than the others can have from it.
    """

    summary = "attention times gradient, walked through the blocks"
    source = "Chefer et al. 2021, eq. 5-6"
    needs = ("forward", "gradients", "attention")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return Scores(
            flow(lm.model, batch, kind="gradient", residual="full", layers=None, batch_tokens=batch_tokens)
        )

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"relevance": 1.0 + n_targets}


def max_flows(capacities: Tensor) -> Tensor:
    """Largest flow from the last token above the top block to each token below the first.

    Args:
        capacities: [L, n, n], at most 1 each: entry [l, i, j] leads from token i above block l to token j below it.

    Returns:
        float64 [n].
    """
    n_layers, n_tokens, _ = capacities.shape
    scale = 2.0**28  # whole numbers of 32 bits; all that leaves the source stays below 2³¹
    layer, above, below = (index.numpy() for index in capacities.nonzero(as_tuple=True))
    graph = csr_array(
        (
            np.rint(scale * capacities.numpy()[layer, above, below]).astype(np.int32),
            ((layer + 1) * n_tokens + above, layer * n_tokens + below),
        ),
        shape=((n_layers + 1) * n_tokens,) * 2,
    )
    source = (n_layers + 1) * n_tokens - 1
    flow_values = [maximum_flow(graph, source, sink).flow_value for sink in range(n_tokens)]
    return torch.tensor(flow_values, dtype=torch.float64) / scale


def _moved_norms(block: BlockAttention, batch: Batch) -> Tensor:
    """‖Σ_h α^h_{tj} V^h_j W_O^h‖₂ of every token j at each target's position t, [R, T].

    Where a gate or an RMS norm stands before W_O, V^h_j is multiplied with what it is at t.
    """
    weights, gate = target_rows(block, batch), block.gate()
    values, projection = at_least_float32(block.expanded_values()), at_least_float32(block.projection)
    norms = []
    # One target at a time: its moved vectors are [T, d].
    for row, position, alpha in zip(batch.rows.tolist(), batch.positions.tolist(), weights, strict=True):
        value = values[row] if gate is None else values[row] * gate[row, :, position, None]
        moved = torch.einsum("ht,htk,hkd->td", alpha, value, projection)
        norms.append(torch.linalg.vector_norm(moved, dim=-1))
    return torch.stack(norms)
