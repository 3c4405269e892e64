"""The model as a function of its input embeddings, read at the positions that matter."""

import inspect
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.internals.head import head_at
from heat.internals.last_block import last_mlp_at
from heat.internals.state import text_decoder

Replacement = Literal["zero", "mean", "pad"]


def embed(model: PreTrainedModel, batch: Batch) -> Tensor:
    """The tokens' vectors in the model's embedding, cut from any graph.

    Args:
        model: The model.
        batch: B sequences of T tokens.

    Returns:
        Model's dtype [B, T, d].
    """
    embeddings: Tensor = model.get_input_embeddings()(batch.token_ids)
    return embeddings.detach()


def token_vectors(model: PreTrainedModel, batch: Batch) -> Tensor:
    """All that a model looks up for its tokens, E of a batch, cut from any graph.

    That is the embedding, and in families that look a token up for every block too (Gemma-3n, Gemma-4) what they find
    there, behind it: a token that is masked is then hidden from all of the model, and no path to it is left out of a
    gradient.

    Args:
        model: The model.
        batch: B sequences of T tokens.

    Returns:
        Model's dtype [B, T, d]; d is the embedding's width, in those families with all L blocks' parts behind it.
    """
    return _looked_up(model, batch.token_ids)


def _looked_up(model: PreTrainedModel, token_ids: Tensor) -> Tensor:
    embeddings: Tensor = model.get_input_embeddings()(token_ids).detach()
    return _with_block_parts(model, token_ids, embeddings)


def _with_block_parts(model: PreTrainedModel, token_ids: Tensor, embeddings: Tensor) -> Tensor:
    """Embeddings [..., T, d] with what the blocks look up for the tokens behind them; others as they are."""
    source = _block_parts(model)
    if source is None or embeddings.shape[-1] > _embedding_width(model):
        return embeddings
    parts: Tensor = source(token_ids).detach().flatten(-2)
    return torch.cat([embeddings, parts.to(embeddings)], -1)


def _block_parts(model: PreTrainedModel) -> Any:
    """Gives what each block looks up for token ids, [..., T] to [..., T, L, d_block]; None in most families."""
    decoder = text_decoder(model)
    if not getattr(decoder.config, "hidden_size_per_layer_input", None):
        return None
    return getattr(decoder, "get_per_layer_inputs", None)


def _embedding_width(model: PreTrainedModel) -> int:
    weight: Any = model.get_input_embeddings().weight
    return int(weight.shape[-1])


def log_probs(
    model: PreTrainedModel,
    embeddings: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    rows: Tensor,
    positions: Tensor,
    **options: Any,
) -> Tensor:
    """Next-token log-probabilities at chosen places, float32 [P, V] (float64 for a float64 model); see `logits`."""
    return logits(model, embeddings, attention_mask, position_ids, rows, positions, **options).log_softmax(-1)


def logits(
    model: PreTrainedModel,
    embeddings: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    rows: Tensor,
    positions: Tensor,
    **options: Any,
) -> Tensor:
    """Next-token logits at chosen places; vocabulary head and last MLP run at those columns alone.

    Args:
        model: The model.
        embeddings: [B, T, d], as `token_vectors` gives them.
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
    if _block_parts(model) is not None:
        width = _embedding_width(model)
        n_blocks = model.config.get_text_config().num_hidden_layers
        options["per_layer_inputs"] = embeddings[..., width:].unflatten(-1, (n_blocks, -1))
        embeddings = embeddings[..., :width]
    with last_mlp_at(model, columns), head_at(model, rows, index) as places:
        output = model(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            logits_to_keep=columns,
            use_cache="past_key_values" in options,
            **options,
        )
    return at_least_float32(places.of(output.logits))


def at_targets(model: PreTrainedModel, batch: Batch, embeddings: Tensor, **options: Any) -> Tensor:
    """Next-token log-probabilities at the position of each target of a batch, [R, V]; see `logits_at_targets`."""
    return logits_at_targets(model, batch, embeddings, **options).log_softmax(-1)


def logits_at_targets(model: PreTrainedModel, batch: Batch, embeddings: Tensor, **options: Any) -> Tensor:
    """Next-token logits at the position of each target of a batch, [R, V]; see `logits`.

    Where the blocks look tokens up too, embeddings without those parts get those of the batch's own tokens.
    """
    return logits(
        model,
        _with_block_parts(model, batch.token_ids, embeddings),
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
    """Read g from the log-probabilities (or logits) at the targets' positions, [R, V] to [R]."""
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
        vector = _looked_up(model, pad[None])[0]
        return vector.to(embeddings.dtype).expand(len(embeddings), -1)
    columns = torch.arange(embeddings.shape[1], device=embeddings.device)
    inside = ((columns <= batch.positions[:, None] + 1) & batch.attention_mask.bool())[..., None]
    return (embeddings * inside).sum(1) / inside.sum(1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half-precision numbers upcast to float32; others as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _pad_token_id(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    for name in ("pad_token_id", "eos_token_id"):
        candidate = getattr(config, name, None)
        if isinstance(candidate, list):
            candidate = candidate[0] if candidate else None
        # Some configs say -1 where they have none.
        if candidate is not None and candidate >= 0:
            return int(candidate)
    return 0
