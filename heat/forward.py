"""The model as a function of its input embeddings, read at the positions that matter."""

import inspect
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.last_block import last_mlp_at

Replacement = Literal["zero", "mean", "pad"]


def embed(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Input embeddings E of a batch, cut from any graph.

    Args:
        model: The model.
        batch: B sequences of T tokens.

    Returns:
        Model's dtype [B, T, d].
    """
    embeddings: Tensor = model.get_input_embeddings()(batch.token_ids)
    return embeddings.detach()


def log_probs(
    model: PreTrainedModel,
    embeddings: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    rows: Tensor,
    positions: Tensor,
    **options: Any,
) -> Tensor:
    """Next-token log-probabilities at chosen places; vocabulary head and last MLP run at those columns alone.

    Args:
        model: The model.
        embeddings: [B, T, d].
        attention_mask: [B, T], 1 on tokens.
        position_ids: int64 [B, T].
        rows: int64 [P], sequence of each place.
        positions: int64 [P], column of each place.
        **options: Passed on to the model's forward.

    Returns:
        [P, V], float32 (float64 for a float64 model).
    """
    columns, index = torch.unique(positions, return_inverse=True)
    if "position_ids" in inspect.signature(model.forward).parameters:
        options["position_ids"] = position_ids
    with last_mlp_at(model, columns):
        output = model(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            logits_to_keep=columns,
            use_cache="past_key_values" in options,
            **options,
        )
    logits: Tensor = output.logits
    return at_least_float32(logits[rows.to(logits.device), index.to(logits.device)]).log_softmax(-1)


def at_targets(model: PreTrainedModel, batch: Batch, embeddings: Tensor, **options: Any) -> Tensor:
    """Next-token log-probabilities at the position of each target of a batch, [R, V]; see `log_probs`."""
    return log_probs(
        model,
        embeddings,
        batch.attention_mask,
        batch.position_ids,
        batch.rows,
        batch.positions,
        **options,
    )


def target_log_probs(model: PreTrainedModel, batch: Batch, embeddings: Tensor) -> Tensor:
    """Give log p(target | E) for each target of a batch.

    Args:
        model: The model.
        batch: B sequences with R targets.
        embeddings: [B, T, d], in place of the batch's own.

    Returns:
        [R], float32 (float64 for a float64 model).
    """
    values = at_targets(model, batch, embeddings)
    return values.gather(1, batch.target_ids.to(values.device)[:, None])[:, 0]


def explained(model: PreTrainedModel, batch: Batch, embeddings: Tensor) -> Tensor:
    """The scalar g(E) that is explained: log p(target | E), or with a foil log p(target | E) - log p(foil | E).

    Args:
        model: The model.
        batch: B sequences with R targets.
        embeddings: [B, T, d], in place of the batch's own.

    Returns:
        [R], float32 (float64 for a float64 model).
    """
    return explained_values(batch, at_targets(model, batch, embeddings))


def explained_values(batch: Batch, values: Tensor) -> Tensor:
    """Read g from the log-probabilities at the targets' positions, [R, V] to [R]."""
    g = values.gather(1, batch.target_ids.to(values.device)[:, None])[:, 0]
    if batch.foil_ids is None:
        return g
    return g - values.gather(1, batch.foil_ids.to(values.device)[:, None])[:, 0]


def replacement(model: PreTrainedModel, batch: Batch, embeddings: Tensor, kind: Replacement) -> Tensor:
    """The embedding that stands for "no token here".

    `mean` is taken over the context and the target itself, as the method's public release does.

    Args:
        model: The model.
        batch: One target per row.
        embeddings: [B, T, d].
        kind: `zero`, `mean`, or `pad` (the padding token; without one the end-of-text token, else id 0).

    Returns:
        [B, d], the embeddings' dtype.
    """
    if kind == "zero":
        return torch.zeros_like(embeddings[:, 0])
    if kind == "pad":
        pad = torch.tensor(_pad_token_id(model), device=batch.token_ids.device)
        vector: Tensor = model.get_input_embeddings()(pad).detach()
        return vector.to(embeddings.dtype).expand(len(embeddings), -1)
    columns = torch.arange(embeddings.shape[1], device=embeddings.device)
    inside = ((columns <= batch.positions[:, None] + 1) & batch.attention_mask.bool())[..., None]
    return (embeddings * inside).sum(1) / inside.sum(1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half-precision numbers upcast to float32; others as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _pad_token_id(model: PreTrainedModel) -> int:
    for candidate in (model.config.pad_token_id, model.config.eos_token_id):
        if isinstance(candidate, list):
            return int(candidate[0])
        if candidate is not None:
            return int(candidate)
    return 0
