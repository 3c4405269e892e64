"""AT2: weights of attention heads with which attention predicts what ablations do (Cohen-Wang et al. 2025)."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from heat.batch import DEFAULT_BATCH_TOKENS
from heat.checks import check
from heat.encoding import Encoded, check_length, encode
from heat.errors import EmptyPromptError, EmptyTargetError, FitError, PromptTooLongError
from heat.files import write_whole
from heat.fitting.ablations import Ablations, Masking, ablate
from heat.fitting.head_weights import HeadWeights
from heat.fitting.texts import TrainingText
from heat.model import LanguageModel

HELD_OUT = 0.2
_STEPS = 1000
# Of the weights' first value. The authors' 10⁻³ is about that for their models of 1,024 heads.
_RATE = 1.0


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights that were learned, and how well they do on texts that they were not learned from.

    Attributes:
        weights: The weights, with all of this among their settings.
        n_texts: Texts they were learned from.
        n_held_out: Texts held out.
        n_left_out: Texts that were too long, blank, or of a single source.
        correlation: Mean Pearson correlation of predicted and true log-odds over the held-out texts.
        uniform: The same with equal weights.
    """

    weights: HeadWeights
    n_texts: int
    n_held_out: int
    n_left_out: int
    correlation: float
    uniform: float


def fit(
    lm: LanguageModel,
    texts: Sequence[TrainingText],
    masking: Masking,
    *,
    folder: Path | None = None,
    max_targets: int | None = None,
    command: str = "",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    on_text: Callable[[int, int], None] = lambda done, total: None,
) -> Fit:
    """Learn a weight for each of a model's attention heads from random ablations of texts.

    A fifth of the texts, drawn by the seed, is held out to be reported on.

    Args:
        lm: The model; left as it was.
        texts: What to ablate.
        masking: How.
        folder: Where each text's ablations are kept as soon as they are there, and looked for first; None to keep none.
        max_targets: Take the first N target tokens of each text (of the model's own answer 1 by default).
        command: What to write into the weights' settings as the command that made them.
        batch_tokens: Tokens that one pass may hold.
        on_text: Progress callback, called with the number of texts that are done and that of all.

    Returns:
        The weights and their correlation on held-out texts.

    Raises:
        FitError: Fewer than two texts can be used, or ablations are to be kept of a model without revision.
        HeatError: The model's attention cannot be read, or it has no tokenizer.
    """
    check(lm.model, lm.name, ("forward", "attention"))
    if folder is not None:
        if lm.revision == "unknown":
            raise FitError(
                f"'{lm.name}' has no revision by which its ablations could be told from another model's; "
                "give the LanguageModel one"
            )
        folder.mkdir(parents=True, exist_ok=True)
    ablations = []
    for done, text in enumerate(texts, start=1):
        with suppress(EmptyPromptError, EmptyTargetError, PromptTooLongError, FitError):
            encoded = encode(lm, text.prompt, text.target, max_targets=max_targets)
            check_length(lm, len(encoded.token_ids))
            ablations.append(_ablated(lm, encoded, masking, folder, batch_tokens))
        on_text(done, len(texts))
    if len(ablations) < 2:
        raise FitError(
            f"of {len(texts)} texts {len(ablations)} can be ablated (the others are blank, too long for the model, or "
            "of a single source) and at least two are needed; give other texts"
        )
    features, outcomes = (
        torch.stack([text.features for text in ablations]),
        torch.stack([text.outcomes for text in ablations]),
    )
    n_held_out = max(1, round(HELD_OUT * len(ablations)))
    order = torch.randperm(len(ablations), generator=torch.Generator().manual_seed(masking.seed))
    held_out, learned_from = order[:n_held_out], order[n_held_out:]
    values = fit_weights(features[learned_from], outcomes[learned_from])
    correlation, uniform = (
        float(correlations(features[held_out], outcomes[held_out], weights).mean())
        for weights in (values, torch.full_like(values, 1 / len(values)))
    )
    settings = {
        "method": "at2",
        **asdict(masking),
        "max_targets": max_targets,
        "texts_sha256": texts_hash(texts),
        "n_texts": len(learned_from),
        "n_held_out": n_held_out,
        "n_left_out": len(texts) - len(ablations),
        "correlation": correlation,
        "correlation_uniform": uniform,
        "command": command,
    }
    weights = HeadWeights(values, ablations[0].n_heads, lm.name, lm.revision, settings)
    return Fit(weights, len(learned_from), n_held_out, len(texts) - len(ablations), correlation, uniform)


def fit_weights(features: Tensor, outcomes: Tensor) -> Tensor:
    """Weights θ that maximise the mean Pearson correlation of `features @ θ` with the outcomes of each text.

    Adam on all texts at once for 1,000 steps with a cosine schedule, from equal weights; the correlation does not
    depend on θ's length, which is 1 in the L1 norm at the end (Cohen-Wang et al. 2025, and the authors' code).

    Args:
        features: float32 [N, K, F], of N texts, K masks and F heads.
        outcomes: float32 [N, K].

    Returns:
        float32 [F].
    """
    # In multiples of 1/F, so that a step means the same for any number of heads.
    weights = torch.ones(features.shape[-1], requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=_STEPS)
    with torch.enable_grad():
        for _ in range(_STEPS):
            optimizer.zero_grad()
            (-correlations(features, outcomes, weights).mean()).backward()
            optimizer.step()
            schedule.step()
    return torch.nn.functional.normalize(weights.detach(), p=1, dim=0)


def correlations(features: Tensor, outcomes: Tensor, weights: Tensor) -> Tensor:
    """Pearson correlation over the masks of each text.

    Args:
        features: [N, K, F].
        outcomes: [N, K].
        weights: [F].

    Returns:
        [N]; 0 where the outcome is the same under every mask.
    """
    predicted = (features - features.mean(1, keepdim=True)) @ weights
    true = outcomes - outcomes.mean(1, keepdim=True)
    tiny = torch.finfo(predicted.dtype).tiny
    scale = (predicted.square().sum(1) * true.square().sum(1)).clamp_min(tiny).sqrt()
    return (predicted * true).sum(1) / scale


def is_of(
    weights: HeadWeights,
    lm: LanguageModel,
    texts: Sequence[TrainingText],
    masking: Masking,
    max_targets: int | None,
) -> bool:
    """Whether weights were learned of a model from texts in a certain way.

    Args:
        weights: The weights.
        lm: The model.
        texts: The texts.
        masking: How they are ablated.
        max_targets: How many target tokens of each were taken.
    """
    asked = {**asdict(masking), "max_targets": max_targets, "texts_sha256": texts_hash(texts)}
    return weights.revision == lm.revision and all(weights.settings.get(k) == v for k, v in asked.items())


def texts_hash(texts: Sequence[TrainingText]) -> str:
    """SHA-256 of texts, 64 hexadecimal digits.

    Args:
        texts: The texts, in order.
    """
    return hashlib.sha256(json.dumps([asdict(text) for text in texts]).encode()).hexdigest()


def _ablated(
    lm: LanguageModel, encoded: Encoded, masking: Masking, folder: Path | None, batch_tokens: int
) -> Ablations:
    """A text's ablations, out of the folder if they are there."""
    if folder is None:
        return ablate(lm, encoded, masking, batch_tokens=batch_tokens)
    key = [lm.revision, str(lm.dtype), asdict(masking), encoded.token_ids, encoded.n_prompt]
    path = folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}.safetensors"
    with (
        suppress(SafetensorError, OSError, KeyError, TypeError, ValueError),
        safe_open(path, framework="pt") as file,
    ):
        n_heads = tuple(json.loads(file.metadata()["n_heads"]))
        return Ablations(file.get_tensor("features"), file.get_tensor("outcomes"), n_heads)
    made = ablate(lm, encoded, masking, batch_tokens=batch_tokens)
    tensors = {"features": made.features.contiguous(), "outcomes": made.outcomes}
    write_whole(path, to_safetensors(tensors, metadata={"n_heads": json.dumps(made.n_heads)}))
    return made
