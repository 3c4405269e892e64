"""First-order baselines, computed by captum on the input embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from captum.attr import (
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    LayerIntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from heat.algorithms.captum_bridge import Text, one_by_one
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.errors import ConfigError
from heat.internals.attention import block_input, decoder_blocks
from heat.internals.forward import Replacement, at_least_float32, log_probs, replacement, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen, hooked
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("integrated-gradients")
@dataclass(frozen=True)
class IntegratedGradientsMethod(Method):
    """Integrated gradients of the target's log-probability, summed over the embedding.

    Attributes:
        n_steps: Points on the path (Gauss-Legendre).
        baseline: Where the path starts, at every token: `zero`, `pad` or `mean` (as `replacement` says).
    """

    summary = "gradients summed on the straight path from a baseline"
    source = "Sundararajan et al. 2017, eq. 1 (captum)"
    needs = ("forward", "gradients")
    signed = True
    completeness = True

    n_steps: Annotated[int, Field(ge=1)] = 50
    baseline: Replacement = "zero"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            start = replacement(lm.model, part, embeddings, self.baseline)
            result: Tensor = IntegratedGradients(_forward(lm)).attribute(
                embeddings,
                baselines=start[:, None].expand_as(embeddings),
                n_steps=self.n_steps,
                internal_batch_size=rows_within(batch_tokens, embeddings.shape[1]),
                **arguments,
            )
            return self.over_embedding(result)

        return Scores(
            _by_parts(lm, batch, rows_within(batch_tokens, self.n_steps * batch.token_ids.shape[1]), explain)
        )

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * self.n_steps * n_targets}

    def over_embedding(self, products: Tensor) -> Tensor:
        """A token's score from what each of its embedding's entries gets, [R, T, d] to [R, T]."""
        return products.sum(-1)


@register("integrated-gradients-norm")
@dataclass(frozen=True)
class IntegratedGradientsNorm(IntegratedGradientsMethod):
    """Integrated gradients of the target's log-probability, their L2 norm over the embedding."""

    summary = "L2 norm of the gradients summed on the straight path from a baseline"
    source = "Sundararajan et al. 2017, eq. 1 (captum); norm as in inseq"
    signed = False
    completeness = False

    @override
    def over_embedding(self, products: Tensor) -> Tensor:
        return _norm(products)


@register("input-x-gradient")
@dataclass(frozen=True)
class InputXGradientMethod(Method):
    """Embedding times gradient of the target's log-probability, summed over the embedding."""

    summary = "embedding times gradient"
    source = "Shrikumar et al. 2016 (captum)"
    needs = ("forward", "gradients")
    signed = True

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            return self.over_embedding(InputXGradient(_forward(lm)).attribute(embeddings, **arguments))

        return Scores(_by_parts(lm, batch, rows_within(batch_tokens, batch.token_ids.shape[1]), explain))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * n_targets}

    def over_embedding(self, products: Tensor) -> Tensor:
        """A token's score from what each of its embedding's entries gets, [R, T, d] to [R, T]."""
        return products.sum(-1)


@register("input-x-gradient-norm")
@dataclass(frozen=True)
class InputXGradientNorm(InputXGradientMethod):
    """Embedding times gradient of the target's log-probability, its L2 norm over the embedding."""

    summary = "L2 norm of embedding times gradient"
    source = "Shrikumar et al. 2016 (captum); norm as in inseq"
    signed = False

    @override
    def over_embedding(self, products: Tensor) -> Tensor:
        return _norm(products)


@register("gradient-norm")
@dataclass(frozen=True)
class GradientNorm(Method):
    """L2 norm of the gradient of the target's log-probability at each embedding."""

    summary = "L2 norm of the gradient"
    source = "Simonyan et al. 2014 (captum); norm over the embedding ours"
    needs = ("forward", "gradients")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            return _norm(Saliency(_forward(lm)).attribute(embeddings, abs=False, **arguments))

        return Scores(_by_parts(lm, batch, rows_within(batch_tokens, batch.token_ids.shape[1]), explain))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * n_targets}


@register("layer-integrated-gradients")
@dataclass(frozen=True)
class LayerIntegratedGradientsMethod(Method):
    """Integrated gradients at what enters a decoder block, summed over the hidden width.

    The path leads straight from the block's input on the baseline's embeddings to its input on the text's; the
    score of a column goes to the token that stands there, though from the second block on it holds others' too.

    Attributes:
        layer: Which block, counted from 0; None for the middle one.
        n_steps: Points on the path (Gauss-Legendre).
        baseline: Embedding at every token of the text that the path starts from: `zero`, `pad` or `mean`.
    """

    summary = "integrated gradients at the input of a decoder block"
    source = "Sundararajan et al. 2017, eq. 1, at a layer (captum)"
    needs = ("forward", "gradients", "hidden-states")
    signed = True
    completeness = True

    layer: Annotated[int, Field(ge=0)] | None = None
    n_steps: Annotated[int, Field(ge=1)] = 50
    baseline: Replacement = "zero"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        blocks = decoder_blocks(lm.model)
        layer = len(blocks) // 2 if self.layer is None else self.layer
        if layer >= len(blocks):
            raise ConfigError(f"layer is {layer}, and '{lm.name}' has blocks 0 to {len(blocks) - 1}")
        # captum takes all that a block is called with for its input, masks and all: it gets a module that only
        # the hidden states pass through.
        passage = nn.Identity()

        def through(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            hidden = passage(block_input(args, kwargs))
            return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            start = replacement(lm.model, part, embeddings, self.baseline).detach()
            with hooked(blocks[layer], through):
                result: Tensor = LayerIntegratedGradients(_forward(lm), passage).attribute(
                    embeddings,
                    baselines=start[:, None].expand_as(embeddings).contiguous(),
                    n_steps=self.n_steps,
                    internal_batch_size=max(len(embeddings), rows_within(batch_tokens, embeddings.shape[1])),
                    **arguments,
                )
            return result.sum(-1)

        return Scores(
            _by_parts(lm, batch, rows_within(batch_tokens, self.n_steps * batch.token_ids.shape[1]), explain)
        )

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents for the middle block of an even number, or else for the first."""
        return self._costs_above(0.5 if self.layer is None else 1.0, n_targets)

    @override
    def costs_in(self, n_tokens: int, n_targets: int, n_layers: int) -> dict[str, float]:
        """Forward-equivalents; the backward pass ends at the block."""
        layer = n_layers // 2 if self.layer is None else self.layer
        return self._costs_above(max(0.0, 1.0 - layer / n_layers), n_targets)

    def _costs_above(self, share: float, n_targets: int) -> dict[str, float]:
        """Two passes for the ends of the path, and a gradient through a share of the blocks for each step."""
        return {"gradients": (2.0 + (1.0 + share) * self.n_steps) * n_targets}


@register("gradient-shap")
@dataclass(frozen=True)
class GradientShapMethod(Method):
    """Mean of (E' - b) times the gradient at a uniform point between the baseline b and E' = E + noise.

    Summed over the embedding. Without noise it is integrated gradients by Monte Carlo.

    Attributes:
        n_samples: Draws of noise and point.
        noise: Standard deviation of the noise, as a multiple of the text's root mean square of embedding entries.
        baseline: b, at every token: `zero`, `pad` or `mean`.
    """

    summary = "gradients at random points between a baseline and noisy embeddings"
    source = "Lundberg & Lee 2017 (GradientExplainer; captum)"
    needs = ("forward", "gradients")
    signed = True

    n_samples: Annotated[int, Field(ge=1)] = 25
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
    baseline: Replacement = "zero"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def explain(text: Text) -> Tensor:
            # captum would take all samples in one pass, so it is called with as many as fit.
            total = torch.zeros_like(text.embeddings)
            for n_samples in _shares(self.n_samples, text.at_once):
                total += n_samples * GradientShap(text.forward).attribute(
                    text.embeddings,
                    baselines=text.baseline(self.baseline),
                    n_samples=n_samples,
                    stdevs=self.noise * text.rms,
                )
            return total[0].sum(-1) / self.n_samples

        return Scores(one_by_one(lm, batch, explain, seed=seed, batch_tokens=batch_tokens))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * self.n_samples * n_targets}


@register("smoothgrad")
@dataclass(frozen=True)
class SmoothGrad(Method):
    """L2 norm, at each embedding, of the gradient averaged over noisy embeddings.

    Attributes:
        n_samples: Draws of the noise.
        noise: Its standard deviation, as a multiple of the text's root mean square of embedding entries.
    """

    summary = "L2 norm of the gradient averaged over noise"
    source = "Smilkov et al. 2017 (captum); norm over the embedding ours"
    needs = ("forward", "gradients")

    n_samples: Annotated[int, Field(ge=1)] = 25
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.15

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def explain(text: Text) -> Tensor:
            result: Tensor = NoiseTunnel(Saliency(text.forward)).attribute(
                text.embeddings,
                nt_samples=self.n_samples,
                nt_samples_batch_size=text.at_once,
                stdevs=self.noise * text.rms,
                abs=False,
            )
            return _norm(result[0])

        return Scores(one_by_one(lm, batch, explain, seed=seed, batch_tokens=batch_tokens))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * self.n_samples * n_targets}


def _norm(products: Tensor) -> Tensor:
    """L2 norm over the embedding, at least float32."""
    norms: Tensor = torch.linalg.vector_norm(at_least_float32(products), dim=-1)
    return norms


def _shares(total: int, at_once: int) -> list[int]:
    """Split a total into parts of at most `at_once`."""
    return [min(at_once, total - done) for done in range(0, total, at_once)]


def _forward(lm: LanguageModel) -> Callable[..., Tensor]:
    """What captum differentiates: [B, T, d] -> [B, V] at each row's own position.

    Log-probabilities, less the foil's where there is one.
    """

    def forward(
        embeddings: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        positions: Tensor,
        foil_ids: Tensor | None = None,
    ) -> Tensor:
        rows = torch.arange(len(embeddings), device=embeddings.device)
        values = log_probs(lm.model, embeddings, attention_mask, position_ids, rows, positions)
        return values if foil_ids is None else values - values.gather(1, foil_ids[:, None])

    return forward


def _by_parts(
    lm: LanguageModel, batch: Batch, n_rows: int, explain: Callable[[Batch, Tensor, dict[str, Any]], Tensor]
) -> Tensor:
    """Call `explain` with a row of its own for each target, some rows at a time; [R, T]."""
    rows = batch.one_target_per_row()

    def work(chosen: Tensor) -> Tensor:
        part, _ = rows.of_rows(chosen)
        forward_args = (part.attention_mask, part.position_ids, part.positions, part.foil_ids)
        arguments = {
            "target": part.target_ids,
            "additional_forward_args": forward_args if part.foil_ids is not None else forward_args[:3],
        }
        return explain(part, token_vectors(lm.model, part).requires_grad_(), arguments).detach()

    with frozen(lm.model), torch.enable_grad():
        return torch.cat(list(in_parts(rows.rows, n_rows, work)))
