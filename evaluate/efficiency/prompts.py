"""A benchmark's texts, repeated or cut to a wanted number of tokens; and a model that takes that many."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.errors import LengthError
from evaluate.pipeline.runner import encode
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Encoded, LanguageModel

# Cutting text can merge or split the tokens at the cut; the cut is moved this many times.
_TRIES = 20


def prompt_of_length(
    lm: LanguageModel, examples: Sequence[Example], length: int, *, seed: int = 0
) -> Encoded:
    """A question of the benchmark with as much text of others before it as makes up a length.

    Args:
        lm: Whose tokens are counted.
        examples: Texts; drawn by seed, and over again where there are too few.
        length: Tokens of the prompt with the first target token.
        seed: Seed of the draw.

    Returns:
        The encoding, of exactly `length` tokens.

    Raises:
        LengthError: The model's context is shorter, or no cut of the text has that many tokens.
    """
    if lm.context_length is not None and length > lm.context_length:
        raise LengthError(
            f"a text of {length} tokens does not fit '{lm.name}', which takes {lm.context_length}; give shorter "
            f"--length values, or measure its shape with random weights: --random-weights {length}"
        )
    order = list(examples)
    random.Random(seed).shuffle(order)
    text, last = order[0].prompt, order[0]
    turn = 1
    while (tokens := len(encode(lm, _example(text, last), "first").token_ids)) < length:
        # Doubling what is missing saves encoding the text anew for each of many short examples.
        for _ in range(max(1, (length - tokens) // 200)):
            text = order[turn % len(order)].prompt + "\n\n" + text
            turn += 1
    cut = 0
    for _ in range(_TRIES):
        encoded = encode(lm, _example(text[cut:], last), "first")
        surplus = len(encoded.token_ids) - length
        if surplus == 0:
            return encoded
        if surplus < 0:
            cut -= 1
        else:
            offsets = [span for span in encoded.offsets or () if span[1] > span[0]]
            cut += max(1, offsets[min(surplus, len(offsets) - 1)][0])
    raise LengthError(
        f"no cut of the benchmark's text has exactly {length} tokens for '{lm.name}'; try another length"
    )


def _example(prompt: str, like: Example) -> Example:
    return like.model_copy(update={"prompt": prompt, "words": (), "gold": None, "distractor": ()})


def with_random_weights(lm: LanguageModel, context_length: int, *, seed: int = 0) -> LanguageModel:
    """A model of the same shape whose weights are random and whose context is as long as asked; named so.

    What a pass costs does not depend on the weights. What it says means nothing.

    Args:
        lm: The model whose shape and tokenizer are taken.
        context_length: Tokens it is to take.
        seed: Seed of the weights.
    """
    import copy

    import torch
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(lm.model.config)
    config.max_position_embeddings = context_length
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=lm.dtype).to(lm.device).eval()
    return replace(
        lm,
        model=model,
        name=f"{lm.name}, its shape with random weights and a context of {context_length}",
        revision=f"random {seed}",
    )
