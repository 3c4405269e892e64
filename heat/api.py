"""One verb: attribute a model's answer to the words of its prompt."""

import logging
import reprlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heat.attribution import Attribution
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, collate, rows_within
from heat.checks import check
from heat.components.transition import collapsed
from heat.encoding import Encoded, Foil, Prompt, Target, check_length, count_units, encode, masking_units
from heat.errors import ConfigError, EmptyTargetError, NonFiniteError, PrecisionError
from heat.method import Method, Scores
from heat.model import LanguageModel, load
from heat.registry import build


def attribute(
    lm: LanguageModel | str | Path,
    prompt: Prompt | Encoded,
    target: Target | None = None,
    method: str | Method = "heat",
    *,
    foil: Foil | None = None,
    seed: int = 0,
    max_targets: int | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    **config: Any,
) -> Attribution:
    """Score each token of a prompt for what the model says next.

    Args:
        lm: A loaded model, or a folder or hub name to load.
        prompt: A string, token ids, chat messages, or an `Encoded` (then without target).
        target: What to explain: a string, token ids, a `CharSpan` of the prompt, or None for what the model says
            (greedy).
        method: Registered name, or a method object.
        foil: What might have been said instead, token for token: scores are then about
            log p(target) - log p(foil).
        seed: Seed of whatever the method draws.
        max_targets: Explain the first N target tokens only.
        batch_tokens: Tokens that one pass through the model may hold; lower it when memory is short.
        **config: The method's options.

    Returns:
        The attribution; several target tokens are several rows of its scores.

    Raises:
        HeatError: One of its kinds in `heat.errors`, for input or a model that cannot be attributed.
    """
    return attribute_batch(
        lm,
        [prompt],
        [target],
        method,
        foils=[foil],
        seed=seed,
        max_targets=max_targets,
        batch_tokens=batch_tokens,
        **config,
    )[0]


def attribute_batch(
    lm: LanguageModel | str | Path,
    prompts: Sequence[Prompt | Encoded],
    targets: Sequence[Target | None],
    method: str | Method = "heat",
    *,
    foils: Sequence[Foil | None] | None = None,
    seed: int = 0,
    max_targets: int | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    **config: Any,
) -> list[Attribution]:
    """Attribute several prompts, padded and computed together; the same as one by one, to rounding.

    Args:
        lm: A loaded model, or a folder or hub name to load.
        prompts: As for `attribute`.
        targets: One for each prompt.
        method: Registered name, or a method object.
        foils: One for each prompt, or None.
        seed: Seed of whatever the method draws.
        max_targets: Explain the first N target tokens of each only.
        batch_tokens: Tokens that one pass through the model may hold.
        **config: The method's options.

    Returns:
        One attribution for each prompt, in their order.

    Raises:
        HeatError: One of its kinds in `heat.errors`; nothing is computed before all input was checked.
    """
    chosen = build(method, config)
    foils = [None] * len(prompts) if foils is None else foils
    if not len(prompts) == len(targets) == len(foils):
        raise ConfigError(
            f"there are {len(prompts)} prompts, {len(targets)} targets and {len(foils)} foils; "
            "give one of each for each prompt"
        )
    check_seed(seed)
    if batch_tokens < 1:
        raise ConfigError(f"batch_tokens is {batch_tokens}; at least one token must fit into a pass")
    lm = lm if isinstance(lm, LanguageModel) else load(lm)
    check_precision(chosen, lm.dtype)
    if chosen.needs:
        check(lm.model, lm.name, chosen.needs)
    encodings = [
        prompt
        if isinstance(prompt, Encoded)
        else encode(lm, prompt, target, foil=foil, max_targets=max_targets)
        for prompt, target, foil in zip(prompts, targets, foils, strict=True)
    ]
    if not chosen.splits_prompt:
        for encoded in encodings:
            check_length(lm, len(encoded.token_ids))
    parts = [part for encoded in encodings for part in _by_contrast(encoded)]
    results: dict[int, Attribution] = {}
    for indices in _groups(parts, batch_tokens):
        group = [parts[index] for index in indices]
        try:
            attributions = list(_attribute_group(lm, group, chosen, seed, batch_tokens))
        except NonFiniteError:
            if len(group) == 1:
                raise
            # What is padded is zero in some families (ZAYA), and the length of a zero vector has no derivative.
            alone = (_attribute_group(lm, [encoded], chosen, seed, batch_tokens) for encoded in group)
            attributions = list(chain.from_iterable(alone))
        results.update(zip(indices, attributions, strict=True))
    in_order = iter(results[index] for index in range(len(parts)))
    return [_together(encoded, [next(in_order) for _ in _by_contrast(encoded)]) for encoded in encodings]


def _by_contrast(encoded: Encoded) -> list[Encoded]:
    """The targets that have a foil and those that have none, apart: a batch has foils for all or for none."""
    if not encoded.wanted:
        raise EmptyTargetError("no token of the target is to be explained; name one at least")
    if encoded.foil_ids is None:
        return [encoded]
    with_foil = tuple(target for target in encoded.wanted if encoded.foil_ids[target] >= 0)
    without = tuple(target for target in encoded.wanted if encoded.foil_ids[target] < 0)
    if not without:
        return [encoded]
    alone = replace(encoded, foil_ids=None, explained=without)
    return [replace(encoded, explained=with_foil), alone] if with_foil else [alone]


def _together(encoded: Encoded, parts: list[Attribution]) -> Attribution:
    """One attribution of parts that are about different targets of a text."""
    first, *others = parts
    if not others and first.foil_ids == encoded.foil_ids:
        return first
    components = {
        name: torch.stack([part.components[name] for part in parts]).sum(0) for name in first.components
    }
    seconds = [part.seconds for part in parts if part.seconds is not None]
    return replace(
        first,
        scores=torch.stack([part.scores for part in parts]).sum(0),
        components=components,
        foil_ids=encoded.foil_ids,
        explained=encoded.explained,
        forward_equivalents=sum(part.forward_equivalents for part in parts),
        seconds=sum(seconds) if seconds else None,
    )


def _attribute_group(
    lm: LanguageModel, encodings: Sequence[Encoded], method: Method, seed: int, batch_tokens: int
) -> Iterator[Attribution]:
    began = time.perf_counter()
    units = None
    if method.masks != "token":
        units = [masking_units(encoded, method.masks) for encoded in encodings]
    batch = collate(encodings, lm.device, units)
    some = any(encoded.explained is not None for encoded in encodings)
    log_probs = None
    if some:
        # The probability of every token of an answer is shown, of those too that are not explained.
        whole = [replace(encoded, explained=None, foil_ids=None) for encoded in encodings]
        log_probs = method.log_probs(lm, collate(whole, lm.device))
    elif not method.gives_log_probs:
        log_probs = method.log_probs(lm, batch)
    scores = method.score(lm, batch, seed=seed, batch_tokens=batch_tokens)
    log_probs = scores.log_probs if log_probs is None else log_probs
    assert log_probs is not None
    scores = _inside_context(scores, batch)
    if some:
        scores = _with_all_rows(scores, encodings)
    per_token = (time.perf_counter() - began) / sum(len(encoded.token_ids) for encoded in encodings)
    first = 0
    for encoded in encodings:
        of_text = slice(first, first + encoded.n_targets)
        first = of_text.stop
        length = len(encoded.token_ids)
        yield _attribution(
            lm,
            encoded,
            method,
            seed,
            Scores(
                scores.scores[of_text, :length],
                {name: part[of_text, :length] for name, part in scores.components.items()},
            ),
            log_probs[of_text].detach().float().cpu(),
            per_token * length,
        )


def _attribution(
    lm: LanguageModel,
    encoded: Encoded,
    method: Method,
    seed: int,
    scored: Scores,
    log_probs: Tensor,
    seconds: float,
) -> Attribution:
    for name, tensor in {
        "log-probabilities": log_probs,
        "scores": scored.scores,
        **scored.components,
    }.items():
        if not bool(tensor.isfinite().all()):
            raise NonFiniteError(
                f"method '{method.name}' on '{lm.name}' gave NaN or infinite {name}; "
                "are the weights damaged, or is their dtype too narrow?"
            )
    explained = list(encoded.wanted)
    if "transition" in scored.components and collapsed(scored.components["transition"][explained]):
        _warn_of_collapse(method.name, lm.name)
    return Attribution(
        token_ids=encoded.token_ids,
        tokens=_token_names(lm, encoded.token_ids),
        offsets=encoded.offsets,
        text=encoded.text,
        target_span=(encoded.n_prompt, len(encoded.token_ids)),
        foil_ids=encoded.foil_ids,
        segments=encoded.segments,
        explained=encoded.explained,
        scores=scored.scores.clone(),
        components={name: part.clone() for name, part in scored.components.items()},
        log_probs=log_probs,
        method=method.name,
        config=method.config(),
        model=lm.name,
        revision=lm.revision,
        dtype=str(lm.dtype).removeprefix("torch."),
        seed=seed,
        forward_equivalents=_passes(method, encoded),
        seconds=seconds,
    )


def _passes(method: Method, encoded: Encoded) -> float:
    """Forward-equivalents; where some targets alone are explained, the probabilities of all take a pass beside."""
    beside = 1.0 if encoded.explained is not None and method.gives_log_probs else 0.0
    n_tokens, n_targets = encoded.n_prompt, len(encoded.wanted)
    whole = method.passes(n_tokens, n_targets) + beside
    if method.masks == "token":
        return whole
    costs = method.costs(n_tokens, n_targets)
    n_units = count_units(encoded, method.masks)
    return whole + sum(method.with_units(costs, n_tokens, n_targets, n_units).values()) - sum(costs.values())


def _with_all_rows(scores: Scores, encodings: Sequence[Encoded]) -> Scores:
    """A row for every target, zeros for those that are not explained."""
    rows: list[int] = []
    first = 0
    for encoded in encodings:
        rows += [first + target for target in encoded.wanted]
        first += encoded.n_targets

    def spread(tensor: Tensor) -> Tensor:
        return tensor.new_zeros(first, tensor.shape[1]).index_copy(0, torch.tensor(rows), tensor)

    return Scores(spread(scores.scores), {name: spread(part) for name, part in scores.components.items()})


@cache
def _warn_of_collapse(method: str, model: str) -> None:
    """Once a method and model: a long run would say it for every text."""
    logging.getLogger("heat").warning(
        "%s on %s: over 90 %% of the transition lies on the first two tokens, so the scores rank by position; "
        "use transition='gradient' with residual='full', the default",
        method,
        model,
    )


def _inside_context(scores: Scores, batch: Batch) -> Scores:
    """float32 on CPU, and exactly 0 outside each target's context."""

    def masked(tensor: Tensor) -> Tensor:
        inside = batch.context.to(tensor.device)
        return torch.where(inside, tensor, 0.0).detach().float().cpu()

    return Scores(masked(scores.scores), {name: masked(part) for name, part in scores.components.items()})


def _groups(encodings: Sequence[Encoded], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in groups of similar length, so that little is padded, longest first; with foils and without, apart."""
    by_length = sorted(range(len(encodings)), key=lambda index: -len(encodings[index].token_ids))
    for with_foils in (True, False):
        order = [index for index in by_length if (encodings[index].foil_ids is not None) == with_foils]
        while order:
            size = rows_within(batch_tokens, len(encodings[order[0]].token_ids))
            yield order[:size]
            order = order[size:]


def _token_names(lm: LanguageModel, token_ids: Sequence[int]) -> tuple[str, ...]:
    if lm.tokenizer is None:
        return tuple(str(token) for token in token_ids)
    return tuple(str(name) for name in lm.tokenizer.convert_ids_to_tokens(list(token_ids)))


def check_seed(seed: int) -> None:
    """Refuse what the generators do not take.

    Raises:
        ConfigError: It is below zero, or has more than 63 bits.
    """
    if not 0 <= seed < 1 << 63:
        raise ConfigError(f"the seed is {reprlib.repr(seed)}; it is a whole number from 0 to 2^63 - 1")


def check_precision(method: type[Method] | Method, dtype: str | torch.dtype | None) -> None:
    """Refuse a method that needs derivatives in a dtype in which they underflow.

    Args:
        method: The method.
        dtype: Dtype of the weights; None where it is not known yet.

    Raises:
        PrecisionError: The format is float16.
    """
    half = str(dtype).removeprefix("torch.") in ("float16", "half")
    if half and not method.float16 and {"gradients", "second-derivatives"} & set(method.needs):
        raise PrecisionError(
            f"method '{method.name}' needs derivatives, which underflow in float16; "
            'load the model with dtype="bfloat16" or "float32"'
        )
