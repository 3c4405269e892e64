"""The parts of a prompt that are taken away together: its words or its sentences."""

from collections.abc import Sequence
from typing import Literal

from heat.model import LanguageModel
from heat.offsets import decode, spans_by_decoding
from heat.units import split_sentences, split_words

Sources = Literal["words", "sentences"]


def sources_of(lm: LanguageModel, token_ids: list[int], kind: Sources) -> list[int]:
    """Which source each token belongs to: words by the rule of `heat.units`, or sentences.

    A token on several belongs to the first that it has a visible character of; one without any to the source before it
    (the first source, at the beginning).

    Args:
        lm: Model and tokenizer.
        token_ids: The context.
        kind: `words` or `sentences`.

    Returns:
        Sources counted from 0, and -1 for a beginning-of-text token at the start, which is none.
    """
    n_bos = int(token_ids[0] == lm.bos_token_id)
    text_ids = token_ids[n_bos:]
    if lm.tokenizer is None:
        return [-1] * n_bos + list(range(len(text_ids)))
    tokenizer = lm.tokenizer
    text = decode(tokenizer, text_ids)
    spans = spans_by_decoding(lambda ids: decode(tokenizer, ids), text_ids, text)
    return [-1] * n_bos + sources_in(text, spans, kind)


def sources_in(text: str, spans: Sequence[tuple[int, int]], kind: Sources) -> list[int]:
    """Which source each token of a text belongs to; see `sources_of`.

    Args:
        text: The text.
        spans: `[start, end)` of each token.
        kind: `words` or `sentences`.
    """
    parts = split_words(text) if kind == "words" else split_sentences(text)
    at = [-1] * len(text)
    for index, (start, end) in enumerate(parts):
        at[start:end] = [index] * (end - start)
    sources, numbers = [], dict[int, int]()
    latest = 0
    for start, end in spans:
        latest = next((part for part in at[start:end] if part >= 0), latest)
        # Counted by the tokens that open them: a part whose tokens all belong to the one before has no number.
        sources.append(numbers.setdefault(latest, len(numbers)))
    return sources
