"""Curvature S: how strongly the target's log-probability bends at each token's embedding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.components.component import Component
from heat.components.low_rank import low_rank_size
from heat.components.pieces import Tape, has_pieces, held, recorded
from heat.components.prefix import (
    empty_cache,
    keeps_prefixes,
    keys_and_values,
    prefix_before,
    repeated_cache,
    suffix_cost,
    suffix_parts,
)
from heat.components.probes import (
    EXPECTED_PROBES,
    MOST_PROBES,
    PROBES_A_TURN,
    SETTLED,
    certainty,
    probes_of_turn,
    rademacher,
)
from heat.cost.terms import FLOAT32, Workload, gradient_terms, held_bytes, second_terms
from heat.errors import ConfigError, UnsupportedModelError
from heat.internals.activations import fused_activations
from heat.internals.attention import block_input, decoder_blocks
from heat.internals.forward import at_least_float32, explained, explained_values, log_probs, token_vectors
from heat.internals.memory import in_parts
from heat.internals.precision import Precision, bfloat16_products, multiplies_in_bfloat16
from heat.internals.state import eager_attention, frozen, hooked, in_float32

Mode = Literal["row", "block"]
Products = Literal["auto", "double-backward", "batched", "forward-over-reverse", "finite-difference"]
Product = Callable[[Tensor], Tensor]
Probes = Tensor | Callable[[int], Tensor]
"""Probes [m, T, d], or a function from a turn to its own."""

# Products made together keep the processor busy on short texts; on longer ones they leave its cache, and one by one is
# up to twice as fast (benchmarks/speed.py --tokens N).
LONGEST_BATCHED = 192
# A second derivative needs plain attention, whose graph holds n × n numbers a head: longer texts take differences
# of first derivatives, which fused attention gives in linear memory.
LONGEST_SECOND_DERIVATIVE = 1024


def curvature(
    model: PreTrainedModel,
    batch: Batch,
    *,
    mode: Mode = "row",
    products: Products = "auto",
    n_probes: int | Literal["auto"] = 10,
    probes: Tensor | None = None,
    rank: int | None = None,
    layers: int | None = None,
    precision: Precision = "float32",
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Size of each token's rows of H = ∇²_E g, from Hessian-vector products.

    `row`: S_i = (1/m) Σ_k ‖(H r_k)_i‖₁, m products for the whole context; a token's interactions with the others
    count. `block`: S_i = (1/m) Σ_k ‖[H Π_i r_k]_i‖₁, where Π_i keeps token i; n·m products, as in the method's public
    release, each of them through the text from token i on alone. With `rank`, H is replaced by its Lanczos
    approximation of that rank, from as many products, and the mean over all probes is taken in closed form
    (`low_rank_size`); in expectation over normal probes it is what the other two estimate.

    Args:
        model: The model, in any format but float16; left as it was. bfloat16 is computed in float32.
        batch: B sequences with R targets.
        mode: `row` or `block`.
        products: How products are made: `double-backward` one by one over a retained graph, `batched` (all at once),
            `forward-over-reverse`, `finite-difference` (central, of two gradients under fused attention), or `auto`:
            batched up to 192 tokens, one by one up to 1,024, then differences (which keep to the pieces that a ReLU or
            a choice of experts makes, see `heat.components.pieces`).
        n_probes: m, number of Rademacher probes; without `probes`. `auto` (row mode, without a rank) draws them two by
            two until the ranking of a text's tokens has settled, 64 at most (see `heat.components.probes.certainty`).
        probes: [m, n, d] to use in place of drawn ones; row i belongs to the token at position i, and
            there is one for each token of the longest context at least.
        rank: Rank of the approximation; None for none.
        layers: Take the curvature at the input of the N-th block from the top; None for the embeddings.
        precision: Of the matrix products of second derivatives: `float32`, `bfloat16`, or `auto`, which is bfloat16
            where the device is faster in it. Differences of gradients and low rank stay in float32.
        seed: Seed of the drawn probes; the same for every text, so that a batch changes nothing.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        [R, T], non-negative, 0 outside each target's context; float32 (float64 for a float64 model).

    Raises:
        PrecisionError: The model is in float16.
        ConfigError: The given probes do not fit the batch, the rank exceeds n·d, or `auto` is asked of another mode.
        OutOfMemoryError: A single product does not fit.
    """
    rows = batch.one_target_per_row()
    # What enters a block may be of another width than what is looked up for a token.
    width = (
        token_vectors(model, batch).shape[-1]
        if layers is None
        else model.config.get_text_config().hidden_size
    )
    _check_rank(rank, rows, width)
    n_tokens = rows.token_ids.shape[1]
    settling = n_probes == "auto" and probes is None and rank is None
    if settling and mode != "row":
        raise ConfigError("n_probes 'auto' is for mode 'row'; give a number of probes for mode 'block'")
    drawn = 1 if rank is not None or n_probes == "auto" else n_probes
    if probes is None and not settling:
        probes = rademacher(drawn, n_tokens, width, seed)

    def draw(turn: int) -> Tensor:
        signs = probes_of_turn(turn, n_tokens, width, seed)
        return _fitted(signs, batch, width)

    given: Probes = draw if probes is None else _fitted(probes, batch, width)
    together = PROBES_A_TURN if probes is None else len(probes)
    lengths = rows.context.sum(-1)
    result = torch.zeros(rows.context.shape, device=rows.token_ids.device)
    reduced = rank is None and multiplies_in_bfloat16(model, precision)
    with frozen(model), in_float32(model):
        for way, chosen in _strategies(products, lengths).items():
            size = rows_within(batch_tokens, n_tokens * together)

            def work(targets: Tensor, way: Products = way) -> tuple[Tensor, Tensor]:
                part, _ = rows.of_rows(targets)
                with bfloat16_products(model) if reduced and way in _EXACT else nullcontext():
                    return targets, _sizes(model, part, given, mode, way, rank, layers, seed, batch_tokens)

            for targets, sizes in in_parts(chosen, size, work):
                result = result.to(sizes)
                result[targets] = sizes
    return torch.where(batch.context.to(result.device), result, 0.0)


@dataclass(frozen=True)
class Curvature(Component):
    """S as a component of a method; the options are those of `curvature`.

    Attributes:
        mode: `row` or `block`.
        products: How products are made.
        n_probes: Number of Rademacher probes, or `auto`.
        rank: Rank of the approximation of H; None for none.
        layers: Take it at the input of the N-th block from the top; None for the embeddings.
        precision: Of the matrix products.
    """

    mode: Mode = "row"
    products: Products = "auto"
    n_probes: int | Literal["auto"] = 10
    rank: int | None = None
    layers: int | None = None
    precision: Precision = "float32"

    @override
    def key(self) -> dict[str, Any]:
        key = asdict(self) | {"n_probes": self.n_probes if self.rank is None else None}
        if self.precision == "float32":  # it came later: results are found by what they were stored by
            del key["precision"]
        return key

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        return curvature(model, batch, **asdict(self), seed=seed, batch_tokens=batch_tokens)

    @override
    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        strategy = strategy_at(self.products, n_tokens)
        n_probes = EXPECTED_PROBES if self.n_probes == "auto" else self.n_probes
        if self.rank is not None:
            n_products = self.rank
        elif self.mode == "row":
            n_products = n_probes
        else:
            n_products = n_probes * (n_tokens + n_targets)
        if self.layers is not None:
            # One more pass finds what enters the block; backward passes end there.
            share = 1.0 if n_layers is None else min(1.0, self.layers / n_layers)
            return n_targets * (1.0 + _products_cost(strategy, n_products, share))
        by_suffix = self.mode == "block" and self.rank is None and strategy in _BY_SUFFIX
        if not by_suffix:
            return n_targets * _products_cost(strategy, n_products)
        # A pass for the prefixes; a gradient and m products for each token, through the text behind it alone.
        budget = max(1, DEFAULT_BATCH_TOKENS // n_probes)
        suffixes = sum(suffix_cost(n_tokens, n, budget) for n in range(1, n_targets + 1))
        return n_targets + suffixes * (2.0 + 2.0 * n_probes)

    @override
    def memory(self, work: Workload) -> dict[str, float]:
        shape = work.shape
        if self.layers is not None:
            # The graph begins at the input of the lowest block taken.
            shape = replace(shape, n_layers=min(shape.n_layers, self.layers))
        n_probes = PROBES_A_TURN if self.n_probes == "auto" else self.n_probes
        n_probes = 1 if self.rank is not None else n_probes
        itemsize = max(work.itemsize, FLOAT32)
        texts = min(work.n_texts * work.n_targets, rows_within(work.batch_tokens, work.n_tokens * n_probes))
        together = min(n_probes, rows_within(work.batch_tokens, texts * work.n_tokens))
        strategy = strategy_at(self.products, work.n_tokens - 1)
        graph: dict[str, float] = {}  # what outlives a product
        if strategy == "finite-difference":
            terms = gradient_terms(shape, texts * together, work.n_tokens)
            held = held_bytes(shape, "difference", terms, itemsize)
        else:
            together = 1 if strategy == "double-backward" else together
            graph = held_bytes(shape, "second", second_terms(shape, texts, work.n_tokens, 0), itemsize)
            held = held_bytes(shape, "second", second_terms(shape, texts, work.n_tokens, together), itemsize)
        if self.rank is not None:
            # Q while products are made; and when they are done Q, Q T, and its squares.
            factors = itemsize * texts * work.n_tokens * shape.width * self.rank
            spent = sum(held.values()) - sum(graph.values())
            held["low-rank factors"] = factors + max(0.0, 2.0 * factors - spent)
        if work.dtype == "bfloat16":
            upcast = shape.parameters - (0 if work.quantization is None else shape.linear)
            held["weights in float32"] = float(FLOAT32 * upcast)
        return held


def _products_cost(strategy: Products, n_products: int, share: float = 1.0) -> float:
    """Forward-equivalents of N Hessian-vector products of one text, backward through a share of the blocks."""
    # The weights take no gradient, so a backward pass costs what a forward does, and a double backward twice that.
    gradient = 1.0 + share
    if strategy in _BY_SUFFIX:
        return gradient + 2.0 * share * n_products
    return 2.0 * gradient * n_products


# Both are second derivatives over a retained graph, and cost the same.
_BY_SUFFIX = ("batched", "double-backward")
_EXACT = (*_BY_SUFFIX, "forward-over-reverse")


def strategy_at(products: Products, n_tokens: int) -> Products:
    """The Hessian-vector-product strategy for a context of a length.

    Args:
        products: As asked for; `auto` goes by the length.
        n_tokens: Length of the context.
    """
    if products != "auto":
        return products
    if n_tokens > LONGEST_SECOND_DERIVATIVE:
        return "finite-difference"
    return "batched" if n_tokens <= LONGEST_BATCHED else "double-backward"


def _strategies(products: Products, lengths: Tensor) -> dict[Products, Tensor]:
    """Each strategy with the texts it is for; a text's depends on its own length alone, not on the batch's."""
    chosen = [strategy_at(products, int(length)) for length in lengths]
    return {
        strategy: torch.tensor(
            [at for at, of_text in enumerate(chosen) if of_text == strategy], device=lengths.device
        )
        for strategy in dict.fromkeys(chosen)
    }


def _check_rank(rank: int | None, rows: Batch, width: int) -> None:
    if rank is None:
        return
    smallest = int(rows.context.sum(-1).min()) * width
    if rank > smallest:
        raise ConfigError(
            f"rank {rank} exceeds the Hessian's size n·d = {smallest} for the shortest context; give a smaller rank"
        )


def _fitted(probes: Tensor, batch: Batch, width: int) -> Tensor:
    """Probes with a row for each column of the batch; behind the contexts, where H is zero, they are zero."""
    longest = int(batch.context.sum(-1).max())
    if probes.dim() != 3 or probes.shape[1] < longest or probes.shape[2] != width:
        raise ConfigError(
            f"probes have shape {tuple(probes.shape)}; needed is [m, n >= {longest}, d = {width}]"
        )
    return torch.nn.functional.pad(probes, (0, 0, 0, max(0, batch.token_ids.shape[1] - probes.shape[1])))


def _sizes(
    model: PreTrainedModel,
    batch: Batch,
    probes: Probes,
    mode: Mode,
    way: Products,
    rank: int | None,
    layers: int | None,
    seed: int,
    batch_tokens: int,
) -> Tensor:
    """S of some texts with one target each, [R, T]."""
    if not isinstance(probes, Tensor):
        n_vectors = 1 if way == "double-backward" else rows_within(batch_tokens, batch.token_ids.numel())
        with _product(model, batch, way, layers) as product:
            return _settled_row_size(product, batch, probes, n_vectors)
    by_suffix = mode == "block" and rank is None and layers is None and way in _BY_SUFFIX
    if by_suffix and keeps_prefixes(model):
        with _differentiable(model), fused_activations(model, differentiated_twice=True):
            return _suffix_block_size(model, batch, probes, batch_tokens)
    n_vectors = 1 if way == "double-backward" else rows_within(batch_tokens, batch.token_ids.numel())
    with _product(model, batch, way, layers) as product:
        if rank is not None:
            start = _at_positions(probes[:1], batch)[0]
            return low_rank_size(product, start, batch.context, rank, mode, seed)
        size = _block_size if mode == "block" else _row_size
        return size(product, batch, probes, n_vectors)


def _row_size(product: Product, batch: Batch, probes: Tensor, n_vectors: int) -> Tensor:
    def work(vectors: Tensor) -> Tensor:
        return product(_at_positions(vectors, batch)).abs().sum(-1).sum(0)

    return torch.stack(list(in_parts(probes, n_vectors, work))).sum(0) / len(probes)


def _settled_row_size(
    product: Product, batch: Batch, draw: Callable[[int], Tensor], n_vectors: int
) -> Tensor:
    """S by as many probes as it takes; each text keeps what it had when its own ranking had settled."""

    def work(vectors: Tensor) -> Tensor:
        return product(_at_positions(vectors, batch)).abs().sum(-1)

    turns: list[Tensor] = []
    result = torch.zeros(())
    unsettled = torch.ones(len(batch.rows), dtype=torch.bool)
    for turn in range(MOST_PROBES // PROBES_A_TURN):
        turns.append(torch.cat(list(in_parts(draw(turn), n_vectors, work))))
        sizes = torch.cat(turns)
        result = torch.where(unsettled.to(sizes.device)[:, None], sizes.mean(0), result.to(sizes))
        for row in unsettled.nonzero()[:, 0].tolist():
            unsettled[row] = certainty(sizes[:, row, batch.context[row]]) < SETTLED
        if not unsettled.any():
            break
    return result


def _block_size(product: Product, batch: Batch, probes: Tensor, n_vectors: int) -> Tensor:
    """One vector for each (probe, token): the probe at that token and zeros elsewhere."""
    n_tokens = batch.token_ids.shape[1]
    pairs = torch.cartesian_prod(torch.arange(len(probes)), torch.arange(n_tokens))

    def work(part: Tensor) -> Tensor:
        chosen, token = part.to(batch.token_ids.device).unbind(1)
        vectors = _at_positions(probes[chosen.cpu()], batch)
        only = torch.nn.functional.one_hot(token, n_tokens)[:, None, :, None]
        return (product(vectors * only).abs().sum(-1) * only[..., 0]).sum(0)

    return torch.stack(list(in_parts(pairs, n_vectors, work))).sum(0) / len(probes)


def _suffix_block_size(model: PreTrainedModel, batch: Batch, probes: Tensor, batch_tokens: int) -> Tensor:
    """The same numbers as `_block_size`: what stands before token i does not depend on it, and is computed once.

    Each token is a text of its own in the batch, whose only variable is that token's embedding.
    """
    embeddings = at_least_float32(token_vectors(model, batch))
    result = torch.zeros(batch.context.shape, dtype=embeddings.dtype, device=embeddings.device)
    for row in range(len(batch.token_ids)):
        text = slice(row, row + 1)
        cache, nowhere = empty_cache(), torch.zeros(0, dtype=torch.long, device=embeddings.device)
        with torch.no_grad():
            log_probs(
                model,
                embeddings[text],
                batch.attention_mask[text],
                batch.position_ids[text],
                nowhere,
                nowhere,
                past_key_values=cache,
            )
        whole = keys_and_values(cache)
        tokens = batch.context[row].nonzero()[:, 0]
        end = int(batch.positions[row]) + 1
        for columns in suffix_parts(tokens, end, max(1, batch_tokens // len(probes))):

            def work(part: Tensor, row: int = row, whole: Any = whole) -> tuple[Tensor, Tensor]:
                return part, _blocks_of(model, batch, embeddings, row, part, whole, probes)

            for part, sizes in in_parts(columns, len(columns), work):
                result[row, part] = sizes
    return result


def _blocks_of(
    model: PreTrainedModel,
    batch: Batch,
    embeddings: Tensor,
    row: int,
    tokens: Tensor,
    whole: list[tuple[Tensor, Tensor]],
    probes: Tensor,
) -> Tensor:
    """(1/m) Σ_k ‖H_ii r_ki‖₁ of some neighbouring tokens of one text, [J]."""
    start, end = int(tokens[0]), int(batch.positions[row]) + 1
    place = torch.arange(len(tokens), device=tokens.device)
    prefix = prefix_before(whole, start)
    copies = batch.of_targets(torch.full_like(tokens, row))
    with torch.enable_grad():
        varied = embeddings[row, tokens].clone().requires_grad_()
        suffix = embeddings[row, start:end].repeat(len(tokens), 1, 1)
        suffix = suffix.index_put((place, tokens - start), varied)
        values = log_probs(
            model,
            suffix,
            batch.attention_mask[row, :end].repeat(len(tokens), 1),
            batch.position_ids[row, start:end].repeat(len(tokens), 1),
            place,
            copies.positions - start,
            **({"past_key_values": repeated_cache(prefix, len(tokens))} if prefix else {}),
        )
        (gradient,) = torch.autograd.grad(explained_values(copies, values).sum(), varied, create_graph=True)
    vectors = probes.to(varied.device)[:, batch.position_ids[row, tokens]].to(gradient.dtype)
    (products,) = torch.autograd.grad(gradient, varied, vectors, is_grads_batched=True)
    return products.abs().sum(-1).mean(0)


def _at_positions(probes: Tensor, batch: Batch) -> Tensor:
    """Probes [K, n, d] laid on a batch's tokens, padding left out: [K, R, T, d]."""
    laid = probes.to(batch.token_ids.device)[:, batch.position_ids]
    return laid * batch.attention_mask[..., None]


@contextmanager
def _product(model: PreTrainedModel, batch: Batch, way: Products, layers: int | None) -> Iterator[Product]:
    """A function from v to H v, both [K, R, T, d]: R Hessians, K vectors each."""
    embeddings = at_least_float32(token_vectors(model, batch))
    g, point = _at_embeddings(model), embeddings
    if layers is not None:
        g, point = _at_block(model, batch, embeddings, layers)
    if way == "finite-difference":
        with fused_activations(model):
            yield _finite_difference(g, batch, point, pieces=has_pieces(model))
    elif way == "forward-over-reverse":
        with _differentiable(model):
            yield _forward_over_reverse(g, batch, point)
    else:
        with _differentiable(model), fused_activations(model, differentiated_twice=True):
            yield _double_backward(g, batch, point, one_by_one=way == "double-backward")


@contextmanager
def _differentiable(model: PreTrainedModel) -> Iterator[None]:
    """Attention that can be differentiated twice, also in families that call the fused one by themselves."""
    with eager_attention(model), sdpa_kernel(SDPBackend.MATH):
        yield


Function = Callable[[Batch, Tensor], Tensor]


def _at_embeddings(model: PreTrainedModel) -> Function:
    return lambda batch, point: explained(model, batch, point)


def _at_block(
    model: PreTrainedModel, batch: Batch, embeddings: Tensor, layers: int
) -> tuple[Function, Tensor]:
    """The target's score as a function of what enters a block, and what enters it now."""
    blocks = decoder_blocks(model)
    block = blocks[max(0, len(blocks) - layers)]
    seen: list[Tensor] = []

    def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(block_input(args, kwargs))

    with hooked(block, keep), torch.no_grad():
        explained(model, batch, embeddings)

    def g(batch: Batch, point: Tensor) -> Tensor:
        def replace(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return ((point, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": point})

        with hooked(block, replace):
            return explained(model, batch, at_least_float32(token_vectors(model, batch)))

    return g, seen[0]


def _double_backward(g: Function, batch: Batch, point: Tensor, *, one_by_one: bool) -> Product:
    """One gradient with its graph kept; each product is a backward pass through it."""
    with torch.enable_grad():
        point = point.requires_grad_()
        (gradient,) = torch.autograd.grad(g(batch, point).sum(), point, create_graph=True)

    def product(vectors: Tensor) -> Tensor:
        vectors = vectors.to(gradient.dtype)
        if one_by_one:
            products = [
                torch.autograd.grad(gradient, point, vector, retain_graph=True)[0] for vector in vectors
            ]
            return torch.stack(products)
        (result,) = torch.autograd.grad(gradient, point, vectors, retain_graph=True, is_grads_batched=True)
        return result

    return product


def _forward_over_reverse(g: Function, batch: Batch, point: Tensor) -> Product:
    """The derivative of the gradient along each vector; no graph outlives a product."""
    gradient = torch.func.grad(lambda at: g(batch, at).sum())

    def product(vectors: Tensor) -> Tensor:
        try:
            products = [
                torch.func.jvp(gradient, (point,), (vector.to(point.dtype),))[1] for vector in vectors
            ]
        except RuntimeError as error:
            if "functorch" not in str(error) and "forward AD" not in str(error):
                raise
            raise UnsupportedModelError(
                "this model cannot be differentiated forwards; use products='batched' or 'finite-difference'"
            ) from error
        return torch.stack(products)

    return product


def _finite_difference(g: Function, batch: Batch, point: Tensor, *, pieces: bool) -> Product:
    """(∇g(E + εv) - ∇g(E - εv)) / 2ε with ε = ∛(float32's epsilon) / 10 · rms of the context's embeddings.

    A tenth of the usual step: models bend so much that what the difference cuts off outweighs the rounding.

    In a model of pieces (experts, ReLUs) both points stay on the pieces of E; one forward pass more finds them.
    """
    inside = batch.context[..., None]
    mean_square = (point.square() * inside).sum((1, 2)) / (inside.sum((1, 2)) * point.shape[-1])
    # Families compute norms and softmax in float32 whatever their weights are in, so float64 allows no smaller step.
    precision = max(torch.finfo(point.dtype).eps, torch.finfo(torch.float32).eps)
    step = 0.1 * precision ** (1 / 3) * mean_square.sqrt()[:, None, None]

    def gradient_at(at: Tensor, repeated: Batch, tape: Tape) -> Tensor:
        with torch.enable_grad():
            at = at.requires_grad_()
            with held(tape) if pieces else nullcontext():
                total = g(repeated, at).sum()
            (gradient,) = torch.autograd.grad(total, at)
        return gradient

    def product(vectors: Tensor) -> Tensor:
        # A vector of any length moves the point by the same distance.
        size = (
            vectors.square().sum((2, 3), keepdim=True) / inside.sum((1, 2))[:, None, None] / point.shape[-1]
        )
        scale = step / torch.where(size > 0, size, 1.0).sqrt()
        repeated = batch.repeated(len(vectors))
        tape: Tape = []
        if pieces:
            with torch.no_grad(), recorded(tape):
                g(repeated, point.expand_as(vectors).flatten(0, 1))
        ahead = gradient_at((point + scale * vectors).flatten(0, 1), repeated, tape)
        behind = gradient_at((point - scale * vectors).flatten(0, 1), repeated, tape)
        difference: Tensor = (ahead - behind).reshape(vectors.shape) / (2 * scale)
        return difference

    return product
