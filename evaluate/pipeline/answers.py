"""What a model itself says to a prompt, and how right that is."""

from __future__ import annotations

import hashlib
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluate.robustness.options import DecodingSetting
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from heat import Encoded, LanguageModel

# Answers of benchmarks are a few words; longer gold ones get twice their own length.
ANSWER_TOKENS = 24

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class OwnAnswer:
    """What a model says to an example, greedily.

    Attributes:
        first: The token it says first.
        text: The text that follows the prompt, to the end of the answer, without white space behind it; empty where the
            model says nothing.
    """

    first: int
    text: str


def own_answers(
    lm: LanguageModel, examples: Sequence[Example], encodings: Sequence[Encoded]
) -> list[OwnAnswer]:
    """What the model says to examples, greedily, to the end of each answer.

    Args:
        lm: The model.
        examples: The examples, rendered.
        encodings: Their prompts and whole targets; each leaves room for a token.

    Returns:
        One answer an example, in order.
    """
    from heat.generation import said_to_each
    from heat.offsets import decode

    tokenizer = lm.tokenizer
    if tokenizer is None:
        raise TypeError("an answer without a tokenizer is no text")
    heads = [encoded.token_ids[: encoded.n_prompt] for encoded in encodings]
    before = [decode(tokenizer, head) for head in heads]

    def text_of(index: int, token_ids: Sequence[int]) -> str:
        return decode(tokenizer, (*heads[index], *token_ids)).removeprefix(before[index])

    def stop(index: int, token_ids: list[int]) -> bool:
        text, example = text_of(index, token_ids), examples[index]
        answer = answer_in(text, example)
        return bool(answer) and answer_in(text + "x", example) == answer  # whatever follows, it stays

    room = [_room(lm, encoded) for encoded in encodings]
    said = said_to_each(lm, heads, room, stop)
    return [
        OwnAnswer(
            first=one.token_ids[0] if one.token_ids or one.end is None else one.end,
            text=answer_in(text_of(index, one.token_ids), examples[index]),
        )
        for index, one in enumerate(said)
    ]


def answer_in(text: str, example: Example) -> str:
    """The answer with which a text begins.

    The answer ends where the model ends it; outside of a chat also at the end of its line, and where a text is
    continued after as many words as the target has.

    Args:
        text: What the model said.
        example: The example, rendered.
    """
    if example.special_tokens:
        # A first line that is blank is no answer yet.
        match = re.match(r"\s*[^\n]*", text)
        text = match[0] if match else ""
    if example.body is None:
        words = list(re.finditer(r"\S+", text))[: len(example.target.split())]
        text = text[: words[-1].end()] if words else ""
    return text.rstrip()


def _room(lm: LanguageModel, encoded: Encoded) -> int:
    """How many tokens the model may say, at least 1."""
    tokens = max(ANSWER_TOKENS, 2 * encoded.n_targets)
    if lm.context_length is not None:
        tokens = min(tokens, lm.context_length - encoded.n_prompt)
    return max(1, tokens)


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


def probabilities(lm: LanguageModel, encodings: Sequence[Encoded]) -> list[float]:
    """Probability that the model says all target tokens of an encoding, one after another.

    Args:
        lm: The model.
        encodings: Prompts, each with its whole target.

    Returns:
        Numbers in [0, 1].
    """
    import torch

    from heat.batch import DEFAULT_BATCH_TOKENS, collate, rows_within
    from heat.internals.forward import embed, target_log_probs
    from heat.internals.memory import in_parts
    from heat.internals.state import frozen

    def work(part: torch.Tensor) -> list[float]:
        batch = collate([encodings[index] for index in part.tolist()], lm.device)
        values = target_log_probs(lm.model, batch, embed(lm.model, batch)).cpu().double()
        sums = torch.zeros(len(part), dtype=torch.float64).index_add(0, batch.rows.cpu(), values)
        chances: list[float] = sums.exp().tolist()
        return chances

    longest = max((len(encoded.token_ids) for encoded in encodings), default=1)
    with frozen(lm.model), torch.no_grad():
        parts = in_parts(torch.arange(len(encodings)), rows_within(DEFAULT_BATCH_TOKENS, longest), work)
        return [chance for part in parts for chance in part]


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

    # Any token stands for the answer, so that the prompt is encoded and the model not asked for one.
    encoded = heat.encode(lm, prompt, [0], special_tokens=special_tokens)
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
