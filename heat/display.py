"""An attribution as words for a terminal."""

import re
from dataclasses import dataclass

from rich.text import Text

from heat.attribution import Attribution


@dataclass(frozen=True)
class Word:
    """A run of visible characters in the prompt with the sum of its tokens' scores."""

    text: str
    start: int
    end: int
    score: float


def prompt_words(attribution: Attribution) -> list[Word]:
    """Words of the prompt with scores summed over tokens and targets.

    Without offsets (the prompt was given as ids) each token stands for a word.

    Args:
        attribution: Any attribution.

    Returns:
        The words in order. A token on several words counts for each.
    """
    n_prompt = attribution.target_span[0]
    scores = attribution.scores.sum(0)[:n_prompt].tolist()
    if attribution.offsets is None:
        return [Word(token, 0, 0, score) for token, score in zip(attribution.tokens, scores, strict=False)]
    placed = list(zip(attribution.offsets, scores, strict=False))
    targets = [span for span in attribution.offsets[n_prompt:] if span[1] > span[0]]
    prompt = attribution.text[: targets[0][0]] if targets else attribution.text
    words = []
    for match in re.finditer(r"\S+", prompt):
        score = sum(value for (start, end), value in placed if start < match.end() and end > match.start())
        words.append(Word(match.group(), match.start(), match.end(), score))
    return words


def target_text(attribution: Attribution) -> str:
    """The target as it stands in the text.

    Args:
        attribution: Any attribution.

    Returns:
        Its characters, or its tokens' names where there are no offsets.
    """
    first, last = attribution.target_span
    if attribution.offsets is None:
        return " ".join(attribution.tokens[first:last])
    spans = [span for span in attribution.offsets[first:last] if span[1] > span[0]]
    return attribution.text[spans[0][0] : spans[-1][1]].strip() if spans else attribution.tokens[first]


def coloured(words: list[Word]) -> Text:
    """The words as one line: the redder, the more a word speaks for the target; blue speaks against it.

    Args:
        words: Words with scores.

    Returns:
        Text for a rich console.
    """
    strongest = max((abs(word.score) for word in words), default=0.0) or 1.0
    line = Text()
    for word in words:
        line.append(printable(word.text), style=_style(word.score / strongest))
        line.append(" ")
    return line


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters are shown as escapes.

    Args:
        text: Any text.

    Returns:
        The same with each unprintable character spelt out.
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _style(share: float) -> str:
    paler = round(255 - 175 * min(1.0, abs(share)))
    return f"black on #ff{paler:02x}{paler:02x}" if share >= 0 else f"black on #{paler:02x}{paler:02x}ff"
