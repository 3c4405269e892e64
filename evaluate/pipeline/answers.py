"""What a model itself says to a prompt, and how right that is."""

from __future__ import annotations

import hashlib
import re
import string
from collections import Counter
from typing import TYPE_CHECKING, Any

from evaluate.robustness.options import GREEDY, DecodingSetting
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from heat import Encoded, LanguageModel

# Answers of benchmarks are a few words; longer gold ones get twice their own length.
ANSWER_TOKENS = 24

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def own_answer(lm: LanguageModel, example: Example, encoded: Encoded) -> str:
    """What the model says to an example, greedily, to the end of its answer.

    The answer ends where the model ends it; outside of a chat also at the end of its line, and where a text is
    continued after as many words as the target has.

    Args:
        lm: The model.
        example: The example, rendered.
        encoded: Its prompt and whole target.

    Returns:
        The text that follows the prompt, without white space behind it; empty where the model says nothing.
    """
    tokens = max(ANSWER_TOKENS, 2 * encoded.n_targets)
    if lm.context_length is not None:
        tokens = min(tokens, lm.context_length - encoded.n_prompt)
    if tokens < 1:
        return ""
    text = generate(lm, example.prompt, GREEDY, tokens, special_tokens=example.special_tokens)
    if example.special_tokens:
        # A first line that is blank is no answer yet.
        match = re.match(r"\s*[^\n]*", text)
        text = match[0] if match else ""
    if example.body is None:
        words = list(re.finditer(r"\S+", text))[: len(example.target.split())]
        text = text[: words[-1].end()] if words else ""
    return text.rstrip()


def normalised(text: str) -> str:
    """Lower case without punctuation, articles and further white space (Rajpurkar et al. 2016, SQuAD's own script)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> bool:
    """Whether two answers are the same when normalised; one that normalises to nothing matches none."""
    return bool(normalised(answer)) and normalised(answer) == normalised(gold)


def token_f1(answer: str, gold: str) -> float:
    """F1 of the words that two normalised answers share (Rajpurkar et al. 2016, SQuAD).

    Returns:
        A number in [0, 1]; 0 where either has no word.
    """
    one, other = normalised(answer).split(), normalised(gold).split()
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other)) if shared else 0.0


def probability(lm: LanguageModel, encoded: Encoded) -> float:
    """Probability that the model says all target tokens of an encoding, one after another.

    Args:
        lm: The model.
        encoded: Prompt and whole target.

    Returns:
        A number in [0, 1].
    """
    import torch

    from heat.batch import collate
    from heat.internals.forward import embed, target_log_probs
    from heat.internals.state import frozen

    batch = collate([encoded], lm.device)
    with frozen(lm.model), torch.no_grad():
        return float(target_log_probs(lm.model, batch, embed(lm.model, batch)).double().sum().exp())


def generate(
    lm: LanguageModel,
    prompt: str,
    setting: DecodingSetting,
    tokens: int,
    seed: int = 0,
    *,
    special_tokens: bool = True,
) -> str:
    """What a model says to a prompt under a setting (transformers' `generate`).

    Args:
        lm: The model.
        prompt: The text it goes on from.
        setting: How the answer is drawn; from a generator of its own, so that the caller's draws stay as they were.
        tokens: Longest answer.
        seed: Added to the setting's; each prompt has draws of its own.
        special_tokens: See `heat.encode`.

    Returns:
        The text that follows the prompt, up to where the model ends it.

    Raises:
        HeatError: The prompt does not fit the model.
    """
    import torch

    import heat
    from heat.encoding import check_length
    from heat.internals.state import frozen
    from heat.offsets import decode

    encoded = heat.encode(lm, prompt, None, max_targets=1, special_tokens=special_tokens)
    head = encoded.token_ids[: encoded.n_prompt]
    check_length(lm, len(head) + tokens)
    ids = torch.tensor([head], device=lm.device)
    digest = hashlib.sha256(f"{seed + setting.seed}:{prompt}".encode()).digest()
    devices = [lm.device] if lm.device.type == "cuda" else []
    with frozen(lm.model), torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        model: Any = lm.model  # what transformers mixes in has no type
        said = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=generation_config(lm, setting, tokens),
        )[0].tolist()
    ends = generation_config(lm, setting, tokens).eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or ())
    answer = said[len(head) :]
    length = next((i for i, token in enumerate(answer) if token in ends), len(answer))
    if lm.tokenizer is None:
        raise TypeError("an answer without a tokenizer is no text")
    return decode(lm.tokenizer, said[: len(head) + length]).removeprefix(decode(lm.tokenizer, head))


def generation_config(lm: LanguageModel, setting: DecodingSetting, tokens: int) -> GenerationConfig:
    """A setting in transformers' terms, with the model's own end and padding tokens."""
    from transformers import GenerationConfig

    defaults = lm.model.generation_config
    ends = defaults.eos_token_id if defaults is not None else None
    pad = defaults.pad_token_id if defaults is not None else None
    if pad is None:
        pad = ends[0] if isinstance(ends, list) else ends
    drawn = (
        {
            "do_sample": True,
            "temperature": setting.temperature,
            "top_p": setting.top_p,
            "top_k": setting.top_k,
        }
        if setting.temperature is not None
        else {"do_sample": False}
    )
    return GenerationConfig(
        max_new_tokens=tokens, num_beams=setting.beams, eos_token_id=ends, pad_token_id=pad, **drawn
    )
