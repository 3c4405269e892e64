"""What each token adds to the prediction of one pass: progressive inference, and its many-copies form."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.draws import generator_of
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.internals.forward import Replacement, log_probs, replacement, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register

# Log-probabilities that may be in memory at once, as a count of numbers: 256 MiB in float32.
NUMBERS_AT_ONCE = 1 << 26


def along(lm: LanguageModel, batch: Batch, embeddings: Tensor, batch_tokens: int) -> tuple[Tensor, Tensor]:
    """Give log p(target | all up to a column), and the same of the foil, for every column.

    Args:
        lm: The model, frozen by the caller.
        batch: B sequences with R targets.
        embeddings: [B, T, d].
        batch_tokens: Tokens that one pass may hold.

    Returns:
        Two of [R, T]; the second is -inf without a foil. Columns outside the context mean nothing.
    """
    n_tokens = batch.token_ids.shape[1]

    def work(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        part, targets = batch.of_rows(rows)
        places = torch.arange(len(rows) * n_tokens, device=rows.device)
        values = log_probs(
            lm.model,
            embeddings[rows],
            part.attention_mask,
            part.position_ids,
            places // n_tokens,
            places % n_tokens,
        ).unflatten(0, (len(rows), n_tokens))
        row = part.rows.to(values.device)[:, None]
        column = torch.arange(n_tokens, device=values.device)
        wanted = values[row, column, part.target_ids.to(values.device)[:, None]]
        if part.foil_ids is None:
            return targets, wanted, torch.full_like(wanted, -torch.inf)
        return targets, wanted, values[row, column, part.foil_ids.to(values.device)[:, None]]

    everything = torch.arange(len(embeddings), device=embeddings.device)
    size = max(1, min(rows_within(batch_tokens, n_tokens), NUMBERS_AT_ONCE // (n_tokens * lm.vocab_size)))
    parts = list(in_parts(everything, size, work))
    order = torch.cat([targets for targets, _, _ in parts]).argsort()
    return (
        torch.cat([wanted for _, wanted, _ in parts])[order],
        torch.cat([foil for _, _, foil in parts])[order],
    )


def forward_steps(values: Tensor, batch: Batch) -> Tensor:
    """What each column adds to the one before it, [R, T]; the first token of a context has all of its own."""
    inside = torch.where(batch.context.to(values.device), values, 0.0)
    return inside - torch.where(batch.context.to(values.device), inside.roll(1, dims=1), 0.0).masked_fill(
        first(batch).to(values.device), 0.0
    )


def first(batch: Batch) -> Tensor:
    """The first token of each context, bool [R, T]."""
    return batch.context & (batch.context.cumsum(-1) == 1)


def preference(target: Tensor, foil: Tensor) -> Tensor:
    """Probability of the target, or with a foil p(target) - p(foil) over these two: tanh((z_t - z_f)/2)."""
    return torch.where(foil == -torch.inf, target.exp(), ((target - foil) / 2).tanh())


@register("progressive-inference")
@dataclass(frozen=True)
class ProgressiveInference(Method):
    """What each token adds to the target's probability as the text is read from its beginning.

    a_i = p_i - p_{i-1}, where p_i is the probability of the target behind token i of the one pass over the text (with a
    foil p(target) - p(foil)), and p_0 = 0 (the paper's classifier has a prior there). The scores sum to p(target).
    Without a foil it is `tdd-forward`.
    """

    summary = "what each token adds to the target's probability, one pass"
    source = "Kariyappa et al. 2024, SP-PI"
    needs = ("forward",)
    signed = True

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            target, foil = along(lm, batch, token_vectors(lm.model, batch), batch_tokens)
        return Scores(forward_steps(target.exp() - foil.exp(), batch))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"predictions": 1.0}


@register("progressive-inference-multi")
@dataclass(frozen=True)
class ProgressiveInferenceMulti(Method):
    """Shapley values of the context tokens, regressed on the predictions behind every token of masked copies.

    Copy k hides a random set of tokens; behind its token i the model has seen the coalition {j ≤ i: j not hidden}, and
    v(coalition) is the probability of the target there (with a foil p(target) - p(foil)). Least squares with the SHAP
    kernel as weights, under Σ_i a_i = v(all) - v(none), give the scores.

    The paper chooses how many tokens a copy hides so that the coalitions' sizes follow the kernel. Ours: each copy
    keeps a share q ~ U(0, 1) of its tokens, each independently, and the kernel's mass of a size, (n - 1) / (s (n - s)),
    is shared by the coalitions of that size, so that it has the mass it should however many were drawn. The copy that
    hides nothing is one more, so there are always n coalitions that tell the tokens apart. A hidden token's embedding
    is replaced, not its attention: the model must not see it from its own position. v(none) is read at the last
    position with all hidden.

    Attributes:
        n_copies: Masked copies, K.
        mask: What stands in a hidden token's place: `pad`, `zero` or `mean` (as `replacement` says).
    """

    summary = "Shapley regression on the predictions behind every token of masked copies"
    source = "Kariyappa et al. 2024, MP-PI; distribution of mask sizes ours"
    needs = ("forward",)
    signed = True

    n_copies: Annotated[int, Field(ge=1)] = 16
    mask: Replacement = "pad"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        rows = batch.one_target_per_row()
        n_targets, n_copies = len(batch.rows), self.n_copies + 2
        shown = torch.ones(n_copies, *batch.context.shape, dtype=torch.bool)
        # Copy 0 shows all and copy 1 none.
        shown[1] = False
        for target, inside in enumerate(batch.context.cpu()):
            generator = generator_of(batch, target, seed)
            share = torch.rand(self.n_copies, 1, generator=generator)
            drawn = torch.rand(self.n_copies, int(inside.sum()), generator=generator)
            shown[2:, target, inside] = drawn < share
        with frozen(lm.model), torch.no_grad():
            embeddings = token_vectors(lm.model, rows)
            blank = replacement(lm.model, rows, embeddings, self.mask)
            visible = shown.to(embeddings.device)[..., None]
            masked = torch.where(visible, embeddings, blank[:, None]).flatten(0, 1)
            target_values, foil_values = along(lm, rows.repeated(n_copies), masked, batch_tokens)
        values = (target_values.exp() - foil_values.exp()).unflatten(0, (n_copies, n_targets)).cpu().double()
        scores = torch.zeros(batch.context.shape)
        for target, inside in enumerate(batch.context.cpu()):
            outcomes, seen = values[:, target, inside], shown[:, target, inside]
            # Behind token i only the tokens up to i were seen.
            in_view = torch.ones(outcomes.shape[1], outcomes.shape[1]).tril().bool()
            coalitions = (seen[:, None] & in_view).flatten(0, 1)
            scores[target, inside] = shapley_regression(
                coalitions, outcomes.flatten(), whole=outcomes[0, -1], empty=outcomes[1, -1]
            ).float()
        return Scores(scores)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"predictions": (self.n_copies + 2.0) * n_targets}


def shapley_regression(coalitions: Tensor, values: Tensor, *, whole: Tensor, empty: Tensor) -> Tensor:
    """Shapley values by least squares with the SHAP kernel (Lundberg & Lee 2017, theorem 2).

    The kernel's mass of each size of coalition, (n - 1) / (s (n - s)), is shared evenly by the coalitions of that size;
    the empty and the whole coalition are constraints. Exact for an additive v that the coalitions determine.

    Args:
        coalitions: Bool [M, n].
        values: float64 [M], v of each.
        whole: v of all n players, scalar.
        empty: v of none, scalar.

    Returns:
        float64 [n]; their sum is `whole` - `empty`.
    """
    n_players = coalitions.shape[1]
    total = whole - empty
    if n_players == 1:
        return total[None]
    sizes = coalitions.sum(-1)
    inner = (sizes > 0) & (sizes < n_players)
    members, sizes, gains = coalitions[inner].double(), sizes[inner], values[inner] - empty
    mass = (n_players - 1) / (sizes * (n_players - sizes)).double()
    weights = (mass / torch.bincount(sizes)[sizes]).sqrt()[:, None]
    # The last player's value is what the others leave of the total.
    design = members[:, :-1] - members[:, -1:]
    outcome = gains - members[:, -1] * total
    solution = torch.linalg.lstsq(weights * design, weights * outcome[:, None], driver="gelsd").solution
    coefficients = solution[:, 0]
    return torch.cat([coefficients, (total - coefficients.sum())[None]])
