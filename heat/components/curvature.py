"""Curvature S: how strongly the target's log-probability bends at each token's embedding."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.errors import ConfigError
from heat.forward import at_least_float32, embed, target_log_probs
from heat.state import eager_attention, frozen, in_float32

Mode = Literal["row", "block"]
Products = Literal["double-backward", "finite-difference"]
Product = Callable[[Tensor], Tensor]


def curvature(
    model: PreTrainedModel,
    batch: Batch,
    *,
    mode: Mode = "row",
    products: Products = "double-backward",
    n_probes: int = 10,
    probes: Tensor | None = None,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Hutchinson-style estimate of the size of each token's rows of H = ∇²_E log p(target | E).

    `row`: S_i = (1/m) Σ_k ‖(H r_k)_i‖₁, m products for the whole context; a token's interactions with the
    others count. `block`: S_i = (1/m) Σ_k ‖[H Π_i r_k]_i‖₁, where Π_i keeps token i; n·m products, as in the
    method's public release.

    Args:
        model: The model, in any format but float16; left as it was. bfloat16 is computed in float32.
        batch: B sequences with R targets.
        mode: `row` or `block`.
        products: `double-backward`, or `finite-difference` of two gradients where a second derivative costs
            too much memory.
        n_probes: m, number of Rademacher probes; without `probes`.
        probes: [m, n, d] to use in place of drawn ones; row i belongs to the token at position i, and
            there is one for each token of the longest context at least.
        seed: Seed of the drawn probes; the same for every text, so that a batch changes nothing.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        [R, T], non-negative, 0 outside each target's context; float32 (float64 for a float64 model).

    Raises:
        PrecisionError: The model is in float16.
        ConfigError: The given probes do not fit the batch.
    """
    rows = batch.one_target_per_row()
    n_tokens = rows.token_ids.shape[1]
    width = embed(model, batch).shape[-1]
    if probes is None:
        probes = rademacher(n_probes, n_tokens, width, seed)
    probes = _fitted(probes, batch, width)
    size = _block_size if mode == "block" else _row_size
    with frozen(model), eager_attention(model), in_float32(model):
        parts = [
            size(
                _product(model, part, products),
                part,
                probes,
                rows_within(batch_tokens, part.token_ids.numel()),
            )
            for part in rows.split(rows_within(batch_tokens, n_tokens * len(probes)))
        ]
    return torch.where(batch.context, torch.cat(parts), 0.0)


def rademacher(n_probes: int, n_tokens: int, width: int, seed: int) -> Tensor:
    """Random signs; a longer text's probes begin with a shorter one's.

    Args:
        n_probes: m.
        n_tokens: n.
        width: d.
        seed: Seed of a generator of its own.

    Returns:
        float32 [m, n, d] of -1 and 1, on CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 2, (n_tokens, n_probes, width), generator=generator)
    return (2.0 * bits - 1.0).permute(1, 0, 2)


def _fitted(probes: Tensor, batch: Batch, width: int) -> Tensor:
    """Probes with a row for each column of the batch; behind the contexts, where H is zero, they are zero."""
    longest = int(batch.context.sum(-1).max())
    if probes.dim() != 3 or probes.shape[1] < longest or probes.shape[2] != width:
        raise ConfigError(
            f"probes have shape {tuple(probes.shape)}; needed is [m, n >= {longest}, d = {width}]"
        )
    return torch.nn.functional.pad(probes, (0, 0, 0, max(0, batch.token_ids.shape[1] - probes.shape[1])))


def _row_size(product: Product, batch: Batch, probes: Tensor, n_vectors: int) -> Tensor:
    total = torch.zeros((), device=batch.token_ids.device)
    for some in torch.split(probes, n_vectors):
        total = total + product(_at_positions(some, batch)).abs().sum(-1).sum(0)
    return total / len(probes)


def _block_size(product: Product, batch: Batch, probes: Tensor, n_vectors: int) -> Tensor:
    """One vector for each (probe, token): the probe at that token and zeros elsewhere."""
    n_tokens = batch.token_ids.shape[1]
    total = torch.zeros(batch.token_ids.shape, device=batch.token_ids.device)
    pairs = torch.cartesian_prod(torch.arange(len(probes)), torch.arange(n_tokens))
    for some in torch.split(pairs, n_vectors):
        chosen, token = some.to(batch.token_ids.device).unbind(1)
        vectors = _at_positions(probes[chosen.cpu()], batch)
        only = torch.nn.functional.one_hot(token, n_tokens)[:, None, :, None]
        sizes = product(vectors * only).abs().sum(-1) * only[..., 0]
        total = total + sizes.sum(0)
    return total / len(probes)


def _at_positions(probes: Tensor, batch: Batch) -> Tensor:
    """Probes [K, n, d] laid on a batch's tokens, padding left out: [K, R, T, d]."""
    laid = probes.to(batch.token_ids.device)[:, batch.position_ids]
    return laid * batch.attention_mask[..., None]


def _product(model: PreTrainedModel, batch: Batch, products: Products) -> Product:
    """A function from v to H v, both [K, R, T, d]: R Hessians, K vectors each."""
    embeddings = at_least_float32(embed(model, batch))
    if products == "double-backward":
        return _double_backward(model, batch, embeddings)
    return _finite_difference(model, batch, embeddings)


def _double_backward(model: PreTrainedModel, batch: Batch, embeddings: Tensor) -> Product:
    """One gradient with its graph kept; each product is a backward pass through it, all vectors at once."""
    with torch.enable_grad():
        embeddings = embeddings.requires_grad_()
        g = target_log_probs(model, batch, embeddings).sum()
        (gradient,) = torch.autograd.grad(g, embeddings, create_graph=True)

    def product(vectors: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(
            gradient, embeddings, vectors.to(gradient.dtype), retain_graph=True, is_grads_batched=True
        )
        return result

    return product


def _finite_difference(model: PreTrainedModel, batch: Batch, embeddings: Tensor) -> Product:
    """(∇g(E + εv) - ∇g(E - εv)) / 2ε with ε = ∛(machine epsilon) · rms of the context's embeddings."""
    inside = batch.context[..., None]
    mean_square = (embeddings.square() * inside).sum((1, 2)) / (inside.sum((1, 2)) * embeddings.shape[-1])
    step = torch.finfo(embeddings.dtype).eps ** (1 / 3) * mean_square.sqrt()[:, None, None]

    def gradient_at(point: Tensor, repeated: Batch) -> Tensor:
        with torch.enable_grad():
            point = point.requires_grad_()
            (gradient,) = torch.autograd.grad(target_log_probs(model, repeated, point).sum(), point)
        return gradient

    def product(vectors: Tensor) -> Tensor:
        repeated = _repeat(batch, len(vectors))
        ahead = gradient_at((embeddings + step * vectors).flatten(0, 1), repeated)
        behind = gradient_at((embeddings - step * vectors).flatten(0, 1), repeated)
        difference: Tensor = (ahead - behind).reshape(vectors.shape) / (2 * step)
        return difference

    return product


def _repeat(batch: Batch, times: int) -> Batch:
    """A batch of one target per row, stacked so many times."""
    return Batch(
        token_ids=batch.token_ids.repeat(times, 1),
        attention_mask=batch.attention_mask.repeat(times, 1),
        rows=torch.arange(times * len(batch.rows), device=batch.rows.device),
        positions=batch.positions.repeat(times),
        target_ids=batch.target_ids.repeat(times),
    )
