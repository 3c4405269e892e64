"""An attribution in words: what people read, and what a terminal, a page and a picture show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import regex
import torch
from torch import Tensor

from heat.markers import with_whole_markers
from heat.projection import counts, outside_share, word_scores

if TYPE_CHECKING:
    from heat.attribution import Attribution


SCORE = "score"

# The benchmark's rule for words (annotate.words), so that a picture shows what an evaluation judges; and one word for
# each character of scripts that put no space between words, which would else be one word a line.
_UNSPACED = r"(?!\p{Nd})[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmr}\p{scx=Mymr}]"
_CORE = rf"(?!{_UNSPACED})[\p{{L}}\p{{N}}](?:(?!{_UNSPACED})[\p{{L}}\p{{N}}]|[\p{{M}}\u200c\u200d])*"
_WORD = regex.compile(rf"{_CORE}(?:['’\-.,]{_CORE})*|(?!\s)\X")
_SPACE = regex.compile(r"\s")
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Piece:
    """A word of the prompt, or a token of the answer.

    Attributes:
        before: White space between it and the piece before.
        text: Its visible characters.
        tokens: The tokenizer's names of the tokens it is made of.
    """

    before: str
    text: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """An attribution in words.

    Attributes:
        prompt: The P words of the prompt.
        answer: The m target tokens, each a piece.
        views: Score and components, each float64 [m, P + m]: row t is about target t. A word's number is the
            mean over its tokens, as evaluations take it; a token on several words counts in each by its visible
            characters there.
        probabilities: p(target | all before it) of each target.
        outside: Share of the absolute score of the prompt's tokens that no word holds (`<s>`, for example).
        heaviest: The prompt's token with the largest absolute score.
        heaviest_share: Its share of the prompt's absolute scores; 0 where there are none.
    """

    prompt: tuple[Piece, ...]
    answer: tuple[Piece, ...]
    views: Mapping[str, Tensor]
    probabilities: tuple[float, ...]
    outside: float
    heaviest: str = ""
    heaviest_share: float = 0.0

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Prompt and answer."""
        return self.prompt + self.answer

    @property
    def probability(self) -> float:
        """p(whole answer | prompt)."""
        product = 1.0
        for value in self.probabilities:
            product *= value
        return product

    @property
    def target(self) -> str:
        """The answer as text."""
        return "".join(piece.before + piece.text for piece in self.answer).strip()

    def numbers(self, view: str = SCORE, target: int | None = None) -> list[float]:
        """One number for each piece.

        Args:
            view: "score" or the name of a component.
            target: Index of the target token; None sums over all of them.

        Returns:
            Numbers of prompt and answer, P + m of them.
        """
        rows = self.views[view]
        row: list[float] = (rows.sum(0) if target is None else rows[target]).tolist()
        return row

    def largest(self, view: str = SCORE, target: int | None = None) -> float:
        """The largest absolute number among the words of the prompt; it gets the full colour."""
        return max((abs(x) for x in self.numbers(view, target)[: len(self.prompt)]), default=0.0)

    def shares(self, view: str = SCORE, target: int | None = None) -> list[float]:
        """One number in [-1, 1] for each piece: its number by the largest of the prompt, cut off there."""
        scale = self.largest(view, target) or 1.0
        return [max(-1.0, min(1.0, x / scale)) for x in self.numbers(view, target)]

    def signed(self, view: str = SCORE) -> bool:
        """Whether some number lies below zero."""
        return bool((self.views[view] < 0).any())

    def strongest(self, count: int, target: int | None = None) -> list[int]:
        """Indices of the prompt's words with the largest absolute score, in that order."""
        scores = self.numbers(target=target)[: len(self.prompt)]
        return sorted(range(len(scores)), key=lambda index: (-abs(scores[index]), index))[:count]


def read(attribution: Attribution) -> Reading:
    """Put an attribution into words.

    Without offsets (the prompt was given as ids) each token stands for a word.

    Args:
        attribution: Any attribution.

    Returns:
        The same in words.
    """
    first, last = attribution.target_span
    if attribution.offsets is None:
        # As if each token were one character long, and a word.
        words = [(index, index + 1) for index in range(first)]
        text, spans = "x" * first, words
        prompt = [Piece(" ", name, (name,)) for name in attribution.tokens[:first]]
        answer = [Piece(" ", name, (name,)) for name in attribution.tokens[first:last]]
    else:
        starts = [start for start, end in attribution.offsets[first:last] if end > start]
        text = attribution.text[: starts[0]] if starts else attribution.text
        spans = [(min(start, len(text)), min(end, len(text))) for start, end in attribution.offsets[:first]]
        words = with_whole_markers(text, split_words(text))
        prompt = _prompt_words(text, words, spans, attribution.tokens)
        answer = list(_answer(attribution, words[-1][1] if words else 0, len(text)))
    views = {
        name: torch.cat(
            [_on_words(values[:, :first], text, words, spans), values[:, first:last].double()], dim=1
        )
        for name, values in {SCORE: attribution.scores, **attribution.components}.items()
    }
    on_prompt = attribution.scores[:, :first].abs().double().sum(0, keepdim=True)
    total = float(on_prompt.sum())
    heaviest = int(on_prompt[0].argmax())
    return Reading(
        prompt=tuple(prompt),
        answer=tuple(answer),
        views=views,
        probabilities=tuple(attribution.log_probs.double().exp().tolist()),
        outside=outside_share(on_prompt, text, words, spans) if total > 0 else 0.0,
        heaviest=_characters(attribution, heaviest),
        heaviest_share=float(on_prompt[0, heaviest]) / total if total > 0 else 0.0,
    )


def _characters(attribution: Attribution, index: int) -> str:
    """A token's visible characters; its name where it has none."""
    start, end = (0, 0) if attribution.offsets is None else attribution.offsets[index]
    return attribution.text[start:end].strip() or attribution.tokens[index]


def split_words(text: str) -> list[tuple[int, int]]:
    """Where words are: the benchmark's rule, and single characters where a script puts no spaces.

    Args:
        text: Any text.

    Returns:
        `[start, end)` of each; together they cover every visible character.
    """
    return [match.span() for match in _WORD.finditer(text)]


def excerpt(length: int, around: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Which stretches of a long text to show: its beginning, its end and the places that matter.

    Args:
        length: Number of words.
        around: Places that matter, most important first.
        limit: How many words to show, about.

    Returns:
        `[start, end)` stretches in order, without overlap; one of all words where they fit.
    """
    if length <= limit:
        return [(0, length)]
    margin = max(2, limit // (2 * (len(around) + 2)))
    chosen: set[int] = set()
    for place in (length - 1, 0, *around):
        chosen |= set(range(max(0, place - margin), min(length, place + margin + 1)))
    starts = sorted(index for index in chosen if index - 1 not in chosen)
    ends = sorted(index + 1 for index in chosen if index + 1 not in chosen)
    return list(zip(starts, ends, strict=True))


def visible(text: str, keep: str = "") -> str:
    """Text that cannot steer what shows it: control characters, direction overrides and the like spelt out.

    Args:
        text: Any text.
        keep: Characters to leave alone.

    Returns:
        The same with each unprintable character as an escape.
    """
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def visible_lines(text: str) -> str:
    """As `visible`, for places that can show lines, other spaces and the joiners inside emoji and Persian."""
    spaces = "".join({c for c in text if regex.match(r"\p{Zs}", c)})
    return visible(text, "\n\t" + _JOINERS + spaces)


def _prompt_words(
    text: str,
    words: Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int]],
    names: Sequence[str],
) -> list[Piece]:
    """The words, each with the names of the tokens that touch it."""
    by_word = counts(text, words, spans).tocsc()
    pieces = []
    reached = 0
    for index, (start, end) in enumerate(words):
        tokens = sorted(by_word.indices[by_word.indptr[index] : by_word.indptr[index + 1]])
        pieces.append(Piece(text[reached:start], text[start:end], tuple(names[token] for token in tokens)))
        reached = end
    return pieces


def _on_words(
    values: Tensor, text: str, words: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> Tensor:
    """Mean scores of words, float64 [m, words]; a word that the tokenizer drops has none, 0."""
    touched = np.flatnonzero(counts(text, words, spans).sum(axis=0)).tolist()
    scores = torch.zeros(len(values), len(words), dtype=torch.float64)
    if len(touched):
        covered = [words[index] for index in touched]
        scores[:, touched] = torch.from_numpy(word_scores(values.numpy(), text, covered, spans))
    return scores


def _answer(attribution: Attribution, reached: int, start_of_answer: int) -> Iterator[Piece]:
    """The target tokens as pieces; one without characters of its own shows its name."""
    assert attribution.offsets is not None
    first, last = attribution.target_span
    gap = attribution.text[reached:start_of_answer]
    reached = start_of_answer
    for name, (start, end) in zip(
        attribution.tokens[first:last], attribution.offsets[first:last], strict=True
    ):
        piece = attribution.text[max(start, reached) : end]
        reached = max(reached, end)
        shown = piece.lstrip()
        yield Piece(gap + piece[: len(piece) - len(shown)], shown or name, (name,))
        gap = ""
