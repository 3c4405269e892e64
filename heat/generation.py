"""What a model says next, drawn by transformers' `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heat.errors import ConfigError
from heat.model import LanguageModel

if TYPE_CHECKING:
    from torch import Tensor

Stop = Callable[[int, list[int]], bool]
"""Told which prompt (its index) and what was said to it so far, whether to stop there."""


@dataclass(frozen=True)
class Said:
    """What a model said.

    Attributes:
        token_ids: What follows the prompt, without the token that ends it.
        end: The token by which the model ended it by itself; None where it was stopped.
    """

    token_ids: tuple[int, ...]
    end: int | None

    @property
    def ended(self) -> bool:
        """Whether the model ended it by itself."""
        return self.end is not None


def said(
    lm: LanguageModel,
    head: Sequence[int],
    n_tokens: int,
    *,
    temperature: float | None = None,
    seed: int = 0,
    stop: Callable[[list[int]], bool] | None = None,
) -> Said:
    """Let a model go on from some ids.

    Args:
        lm: The model; left as it was, as are the caller's random states.
        head: The prompt, which fits into the model's context with `n_tokens` more.
        n_tokens: Most tokens to say.
        temperature: Draw from p^(1/temperature); None takes the most probable token each time (greedy).
        seed: Seed of the draws.
        stop: Told what was said so far, whether to stop there; None for never.

    Returns:
        The ids, and whether the model came to an end.

    Raises:
        ConfigError: The temperature is not above zero.
    """
    if temperature is not None and not 0 < temperature < float("inf"):
        raise ConfigError(
            f"the temperature is {temperature}; give a number above 0, or none for greedy answers"
        )
    drawn: dict[str, Any] = {"do_sample": False}
    if temperature is not None:
        drawn = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    stops = None if stop is None else (lambda _, ids: stop(ids))
    return _generate(lm, [head], [n_tokens], seed, stops, drawn)[0]


def said_to_each(
    lm: LanguageModel, heads: Sequence[Sequence[int]], n_tokens: Sequence[int], stop: Stop | None = None
) -> list[Said]:
    """Let a model go on from several prompts, greedily; together where its family allows that.

    Prompts are padded on the left, so families that keep something else instead of keys and values are asked one by
    one.

    Args:
        lm: The model; left as it was.
        heads: The prompts, each of which fits into the model's context with its tokens more.
        n_tokens: Most tokens to say to each, at least 1.
        stop: Where to stop before that; None for nowhere.

    Returns:
        What was said to each, in order.

    Raises:
        OutOfMemoryError: A single prompt does not fit.
    """
    import torch

    from heat.batch import DEFAULT_BATCH_TOKENS, rows_within
    from heat.components.prefix import keeps_prefixes
    from heat.internals.memory import in_parts

    def work(part: Tensor) -> list[Said]:
        chosen = part.tolist()

        def stop_of(index: int, ids: list[int]) -> bool:
            return stop is not None and stop(chosen[index], ids)

        return _generate(
            lm,
            [heads[index] for index in chosen],
            [n_tokens[index] for index in chosen],
            0,
            stop_of,
            {"do_sample": False},
        )

    longest = max(map(len, heads), default=0) + max(n_tokens, default=0)
    # A prompt that has been answered is filled up until all are, which must fit the context too.
    fits = lm.context_length is None or longest <= lm.context_length
    together = 1
    if len(heads) > 1 and fits and keeps_prefixes(lm.model):
        together = rows_within(DEFAULT_BATCH_TOKENS, longest)
    return [one for part in in_parts(torch.arange(len(heads)), together, work) for one in part]


def _generate(
    lm: LanguageModel,
    heads: Sequence[Sequence[int]],
    n_tokens: Sequence[int],
    seed: int,
    stop: Stop | None,
    drawn: dict[str, Any],
) -> list[Said]:
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    from heat.internals.state import frozen

    defaults = lm.model.generation_config
    ends = None if defaults is None else defaults.eos_token_id
    if ends is None and lm.tokenizer is not None:
        ends = lm.tokenizer.eos_token_id
    all_ends = {ends} if isinstance(ends, int) else set(ends or ())
    # Where no padding token is named any will do, as it is hidden; without one transformers would complain.
    pad = None if defaults is None else defaults.pad_token_id
    if pad is None:
        pad = min(all_ends, default=0)
    config = GenerationConfig(
        max_new_tokens=max(n_tokens),
        eos_token_id=sorted(all_ends) or None,
        pad_token_id=pad,
        # What is left open here transformers takes from the model's own config.
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        **drawn,
    )
    width = max(map(len, heads))

    def stops(ids: Tensor, _: Tensor, **options: Any) -> Tensor:
        new = ids[:, width:].tolist()
        done = [
            len(row) >= most or (stop is not None and stop(index, row))
            for index, (row, most) in enumerate(zip(new, n_tokens, strict=True))
        ]
        return torch.tensor(done, device=ids.device)

    rows = [[pad] * (width - len(head)) + list(head) for head in heads]
    masks = [[0] * (width - len(head)) + [1] * len(head) for head in heads]
    devices = [lm.device] if lm.device.type == "cuda" else []
    with frozen(lm.model), torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model: Any = lm.model  # what transformers mixes in has no type
        whole = model.generate(
            torch.tensor(rows, device=lm.device),
            attention_mask=torch.tensor(masks, device=lm.device),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([stops]),
        )[:, width:].tolist()
    return [
        _until_end(row, most, all_ends, index, stop)
        for index, (row, most) in enumerate(zip(whole, n_tokens, strict=True))
    ]


def _until_end(ids: list[int], most: int, ends: set[int], index: int, stop: Stop | None) -> Said:
    """What belongs to one prompt: others of the batch may have gone on, or it was filled up behind its end."""
    for at, token in enumerate(ids[:most]):
        if token in ends:
            return Said(tuple(ids[:at]), token)
        if stop is not None and stop(index, ids[: at + 1]):
            return Said(tuple(ids[: at + 1]), None)
    return Said(tuple(ids[:most]), None)
