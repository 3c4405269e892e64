"""Where each token lies in the text: verified, and found by decoding where the tokenizer says it wrongly."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from heat.errors import OffsetsError, TextError

Span = tuple[int, int]
_UNDECODED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Tokenized:
    """Token ids of a text with `[start, end)` code-point spans; tokens added by the tokenizer have (0, 0)."""

    token_ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    added: tuple[bool, ...]


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool = True) -> Tokenized:
    """Tokenise a text with offsets that are verified.

    Args:
        tokenizer: The tokenizer.
        text: Any text.
        add_special_tokens: Let the tokenizer add its own (a beginning-of-text token, for example).

    Returns:
        Ids and spans: the spans cover every non-space character, and every token that holds one.

    Raises:
        OffsetsError: Neither the tokenizer nor decoding says where the tokens lie.
        TextError: The text holds half a surrogate pair, as bytes that are not UTF-8 leave behind.
    """
    broken = next((index for index, letter in enumerate(text) if "\ud800" <= letter <= "\udfff"), None)
    if broken is not None:
        raise TextError(f"character {broken} of the text is no character; was the input not UTF-8?")
    encoding = tokenizer(
        text,
        add_special_tokens=add_special_tokens,
        return_special_tokens_mask=True,
        return_offsets_mapping=tokenizer.is_fast,
        verbose=False,
    )
    token_ids = tuple(encoding["input_ids"])
    added = tuple(bool(flag) for flag in encoding["special_tokens_mask"])
    if tokenizer.is_fast:
        offsets = tuple((int(start), int(end)) for start, end in encoding["offset_mapping"])
        offsets = tuple((0, 0) if extra else span for span, extra in zip(offsets, added, strict=True))
        if _truthful(tokenizer, text, token_ids, offsets, added):
            return Tokenized(token_ids, offsets, added)
    text_ids = [token for token, extra in zip(token_ids, added, strict=True) if not extra]
    spans = iter(spans_by_decoding(lambda ids: decode(tokenizer, ids), text_ids, text))
    offsets = tuple((0, 0) if extra else next(spans) for extra in added)
    if not _truthful(tokenizer, text, token_ids, offsets, added):
        raise OffsetsError(
            "the tokenizer does not say where its tokens lie in the text, and decoding does not tell either "
            f"({_first_gap(text, offsets)}); give token ids instead of a string, or use another tokenizer"
        )
    return Tokenized(token_ids, offsets, added)


def spans_by_decoding(
    decode_ids: Callable[[Sequence[int]], str], token_ids: Sequence[int], text: str
) -> list[Span]:
    """Spans found by decoding ever longer beginnings of the token list.

    Tokens that are parts of one character's bytes all get that character, also where half a character decodes to
    nothing at all.

    Args:
        decode_ids: Gives the text of some tokens.
        token_ids: The tokens.
        text: What all tokens decode to.

    Returns:
        One span per token.

    Raises:
        OffsetsError: Some beginning does not decode to a beginning of the text.
    """
    spans: list[Span] = []
    reached = 0
    for length in range(1, len(token_ids) + 1):
        decoded = decode_ids(token_ids[:length])
        whole = decoded if text.startswith(decoded) else decoded.rstrip(_UNDECODED)
        if not text.startswith(whole):
            raise OffsetsError(
                f"the tokenizer's tokens decode to other text than was given (from character {reached} on); "
                "give token ids instead of a string, or use another tokenizer"
            )
        inside_a_character = decoded != whole
        spans.append((reached, min(len(whole) + inside_a_character, len(text))))
        if len(whole) > reached:
            for place in _silent(spans):
                without = [*token_ids[:place], *token_ids[place + 1 : length]]
                if decode_ids(without) != decoded:
                    spans[place] = (reached, reached + 1)
        reached = len(whole)
    return spans


def _silent(spans: Sequence[Span]) -> list[int]:
    """Places of the tokens right before the last one that added no text."""
    places: list[int] = []
    for place in range(len(spans) - 2, -1, -1):
        if spans[place][0] < spans[place][1]:
            break
        places.append(place)
    return places


def decode(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """Exact text of some tokens: nothing tidied, special tokens left out."""
    text = tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)


def _truthful(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    token_ids: Sequence[int],
    offsets: Sequence[Span],
    added: Sequence[bool],
) -> bool:
    """Whether spans lie in the text, cover its visible characters, and only tokens without text have empty ones."""
    in_text = all(0 <= start <= end <= len(text) for start, end in offsets)
    empty = {
        place
        for place, (span, extra) in enumerate(zip(offsets, added, strict=True))
        if span[0] == span[1] and not extra
    }
    if not in_text or _first_gap(text, offsets):
        return False
    if not empty:
        return True
    # One byte of a character may decode to nothing by itself, and be missed by the others all the same.
    rest = [token_ids[place] for place in range(len(token_ids)) if place not in empty]
    return "".join(decode(tokenizer, rest).split()) == "".join(decode(tokenizer, token_ids).split())


def _first_gap(text: str, offsets: Sequence[Span]) -> str:
    """Name of the first non-space character that no token covers, or nothing."""
    covered = {index for start, end in offsets for index in range(start, end)}
    for index, character in enumerate(text):
        if index not in covered and not character.isspace():
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            return f"no token covers character {index}, {name}"
    return ""
