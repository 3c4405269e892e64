"""Token relevance by propagation: how much of the target's logit each token has handed on."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.internals.forward import at_least_float32, explained_values, logits_at_targets, token_vectors
from heat.internals.lrp import Rules, relevance_rules
from heat.internals.memory import by_sequences
from heat.internals.state import frozen


def relevance(
    model: PreTrainedModel, batch: Batch, *, rules: Rules, batch_tokens: int = DEFAULT_BATCH_TOKENS
) -> Tensor:
    """Relevance of each token for the target's logit z, Σ_d E_id · ∂z/∂E_id with the derivatives of some rules.

    The targets of a sequence share its forward pass; each has a backward pass.

    Args:
        model: The model; left as it was.
        batch: B sequences with R targets; with foils, z is the difference of the two logits.
        rules: `attn` (AttnLRP, Achtibat et al. 2024) or `cp` (CP-LRP, Ali et al. 2022).
        batch_tokens: Tokens that one pass may hold.

    Returns:
        [R, T], signed; float32 (float64 for a float64 model).
    """
    return by_sequences(batch, batch_tokens, lambda part: _of_part(model, part, rules))


def relevance_flow(model: PreTrainedModel, batch: Batch) -> Tensor:
    """AttnLRP's scores as a transition before its positive part is divided by its sum, [R, T]."""
    return _of_part(model, batch, "attn")


def _of_part(model: PreTrainedModel, batch: Batch, rules: Rules) -> Tensor:
    with frozen(model), torch.enable_grad():
        embeddings = token_vectors(model, batch).requires_grad_()
        with relevance_rules(model, rules):
            values = logits_at_targets(model, batch, embeddings)
        z = explained_values(batch, values)
        result = torch.zeros(batch.context.shape).to(at_least_float32(embeddings.detach()))
        last = int(batch.turns.max())
        for turn in range(last + 1):
            chosen = (batch.turns == turn).nonzero()[:, 0]
            (gradient,) = torch.autograd.grad(
                z[chosen.to(z.device)].sum(), embeddings, retain_graph=turn < last
            )
            products = at_least_float32(embeddings.detach()) * at_least_float32(gradient)
            result[chosen] = products.sum(-1)[batch.rows[chosen]]
    return result
