"""Explicit Hessians, by torch itself."""

import torch
from torch import Tensor

from heat.batch import Batch
from heat.internals.forward import embed, target_log_probs
from heat.internals.state import eager_attention


def explicit_hessian(model: torch.nn.Module, batch: Batch) -> Tensor:
    """∇²_E Σ log p(target) of one text, [n, d, n, d]."""
    with eager_attention(model):
        hessian = torch.autograd.functional.hessian(
            lambda embeddings: target_log_probs(model, batch, embeddings).sum(), embed(model, batch)
        )
    return hessian[0, :, :, 0]
