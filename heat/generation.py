"""What a model says next, drawn by transformers' `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heat.errors import ConfigError
from heat.model import LanguageModel

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Said:
    """What a model said.

    Attributes:
        token_ids: What follows the prompt, without the token that ends it.
        ended: Whether the model ended it by itself.
    """

    token_ids: tuple[int, ...]
    ended: bool


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
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    from heat.internals.state import frozen

    if temperature is not None and not 0 < temperature < float("inf"):
        raise ConfigError(
            f"the temperature is {temperature}; give a number above 0, or none for greedy answers"
        )
    defaults = lm.model.generation_config
    ends = None if defaults is None else defaults.eos_token_id
    if ends is None and lm.tokenizer is not None:
        ends = lm.tokenizer.eos_token_id
    all_ends = {ends} if isinstance(ends, int) else set(ends or ())
    # Where no padding token is named transformers would say so; nothing is padded.
    pad = None if defaults is None else defaults.pad_token_id
    drawn: dict[str, Any] = {"do_sample": False}
    if temperature is not None:
        drawn = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    config = GenerationConfig(
        max_new_tokens=n_tokens,
        eos_token_id=sorted(all_ends) or None,
        pad_token_id=pad if pad is not None else min(all_ends, default=0),
        **drawn,
    )

    def stops(ids: Tensor, _: Tensor, **options: Any) -> Tensor:
        done = stop is not None and stop(ids[0, len(head) :].tolist())
        return torch.tensor([done], device=ids.device)

    ids = torch.tensor([list(head)], device=lm.device)
    devices = [lm.device] if lm.device.type == "cuda" else []
    with frozen(lm.model), torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model: Any = lm.model  # what transformers mixes in has no type
        whole = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([stops]),
        )[0].tolist()
    following = whole[len(head) :]
    length = next((index for index, token in enumerate(following) if token in all_ends), len(following))
    return Said(tuple(following[:length]), length < len(following))
