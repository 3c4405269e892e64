"""An attribution in words: what people read, and what a terminal, a page and a picture show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import regex
import torch
from numpy.typing import NDArray
from torch import Tensor

from heat.projection import Aggregation, counts
from heat.segments import Segment
from heat.units import Unit, UnitScores

if TYPE_CHECKING:
    from heat.attribution import Attribution


SCORE = "score"

_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Piece:
    """A unit of the prompt, or a token of the answer.

    Attributes:
        before: White space between it and the piece before.
        text: Its visible characters.
        tokens: The tokenizer's names of the tokens it is made of.
        heading: Who says it, before the first piece of a message (`user`) or worked example; else empty.
    """

    before: str
    text: str
    tokens: tuple[str, ...]
    heading: str = ""


@dataclass(frozen=True, eq=False)
class Reading:
    """An attribution in words, or in other units.

    Attributes:
        prompt: The P words (or other units) of the prompt.
        answer: The m target tokens, each a piece.
        views: Score and components, each float64 [m, P + m]: row t is about target t. A word's number is the
            mean over its tokens, as evaluations take it, or their sum; a token on several words counts in each by its
            visible characters there.
        probabilities: p(target | all before it) of each target.
        outside: Share of the absolute score of the prompt's tokens that no word holds (`<s>`, for example).
        heaviest: The prompt's token with the largest absolute score.
        heaviest_share: Its share of the prompt's absolute scores; 0 where there are none.
        unit: What the prompt was divided into.
        aggregation: How a unit's number is made of its tokens'.
    """

    prompt: tuple[Piece, ...]
    answer: tuple[Piece, ...]
    views: Mapping[str, Tensor]
    probabilities: tuple[float, ...]
    outside: float
    heaviest: str = ""
    heaviest_share: float = 0.0
    unit: Unit = "word"
    aggregation: Aggregation = "mean"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Prompt and answer."""
        return self.prompt + self.answer

    @property
    def rule(self) -> str:
        """How a unit's number is made, where it is not a word's mean; else empty."""
        if (self.unit, self.aggregation) == ("word", "mean") or self.unit == "token":
            return f"by {self.unit}" if self.unit == "token" else ""
        how = {"mean": "the mean over", "sum": "the sum over", "max": "the largest of"}[self.aggregation]
        return f"by {self.unit}: {how} its tokens"

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
        """Indices of the prompt's words with the largest absolute score, in that order.

        Of several methods those whose largest share under any of them is the largest.
        """
        views = [SCORE] if SCORE in self.views else list(self.views)
        rows = [self.numbers(view, target)[: len(self.prompt)] for view in views]
        if len(rows) > 1:
            rows = [self.shares(view, target)[: len(self.prompt)] for view in views]
        sizes = [max(abs(row[index]) for row in rows) for index in range(len(self.prompt))]
        return sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))[:count]


def read(attribution: Attribution, unit: Unit = "word", aggregation: Aggregation = "mean") -> Reading:
    """Put an attribution into words, or other units.

    Without offsets (the prompt was given as ids) each token stands for a word.

    Args:
        attribution: Any attribution.
        unit: What to divide the prompt into; see `Attribution.by`.
        aggregation: How a unit's number is made of its tokens'.

    Returns:
        The same in words.

    Raises:
        UnitError: The prompt has no such units.
    """
    first, last = attribution.target_span
    scored = attribution.by(unit, aggregation)
    if attribution.offsets is None:
        prompt = [Piece(" ", name, (name,)) for name in attribution.tokens[:first]]
        answer = [Piece(" ", name, (name,)) for name in attribution.tokens[first:last]]
    else:
        prompt = _pieces(attribution, scored)
        reached = (scored.spans or ((0, 0),))[-1][1] if scored.spans else 0
        if attribution.segments:
            reached = len(attribution.prompt_text)
        answer = list(_answer(attribution, reached, len(attribution.prompt_text)))
        if attribution.segments and attribution.segments[-1].role not in ("assistant", "model"):
            # A new turn: the head of it is structure, as other marks are.
            answer[0] = replace(answer[0], before="\n", heading="assistant")
    views = {
        name: torch.cat([torch.from_numpy(scores), values[:, first:last].double()], dim=1)
        for name, scores, values in [
            (SCORE, scored.scores, attribution.scores),
            *((name, scored.components[name], part) for name, part in attribution.components.items()),
        ]
    }
    on_prompt = attribution.scores[:, :first].abs().double().sum(0)
    total = float(on_prompt.sum())
    heaviest = int(on_prompt.argmax())
    return Reading(
        prompt=tuple(prompt),
        answer=tuple(answer),
        views=views,
        probabilities=tuple(attribution.log_probs.double().exp().tolist()),
        outside=_outside(attribution, scored, on_prompt.numpy()) / total if total > 0 else 0.0,
        heaviest=_characters(attribution, heaviest),
        heaviest_share=float(on_prompt[heaviest]) / total if total > 0 else 0.0,
        unit=unit,
        aggregation=aggregation,
    )


def read_several(
    attributions: Sequence[Attribution],
    names: Sequence[str],
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
) -> Reading:
    """Put several methods' attributions of one text into words: the views are their scores, by name.

    Args:
        attributions: At least one, of the same tokens and targets.
        names: What to call them.
        unit: What to divide the prompt into.
        aggregation: How a unit's number is made of its tokens'.
    """
    readings = [read(one, unit, aggregation) for one in attributions]
    views = {name: reading.views[SCORE] for name, reading in zip(names, readings, strict=True)}
    return replace(readings[0], views=views, outside=0.0, heaviest="", heaviest_share=0.0)


def _characters(attribution: Attribution, index: int) -> str:
    """A token's visible characters; its name where it has none."""
    start, end = (0, 0) if attribution.offsets is None else attribution.offsets[index]
    return attribution.text[start:end].strip() or attribution.tokens[index]


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


def one_line(text: str, limit: int = 72) -> str:
    """Text of a unit for a row of a list: its white space as single spaces, cut where it is long."""
    flat = " ".join(text.split())
    return visible(flat if len(flat) <= limit else f"{flat[: limit - 1].rstrip()}…")


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
    if text.isprintable():  # nearly all: a long text is asked word by word
        return text
    spaces = "".join({c for c in text if regex.match(r"\p{Zs}", c)})
    return visible(text, "\n\t" + _JOINERS + spaces)


def _pieces(attribution: Attribution, scored: UnitScores) -> list[Piece]:
    """The units with the names of the tokens that touch them, and who says them."""
    text, offsets, names = attribution.prompt_text, attribution.prompt_offsets, attribution.tokens
    spans = scored.spans
    assert spans is not None
    if scored.unit == "token":
        return list(_token_pieces(scored.texts, names))
    by_unit = counts(text, spans, offsets).tocsc()
    pieces = []
    reached, message = 0, -1
    for index, (start, end) in enumerate(spans):
        tokens = sorted(by_unit.indices[by_unit.indptr[index] : by_unit.indptr[index + 1]])
        before, heading = text[reached:start], scored.labels[index]
        inside = _message_at(attribution.segments, start)
        if inside != message and inside >= 0:
            # Marks of a turn are structure: the role says what they say.
            before = "\n" if index else ""
            heading = heading or _role(attribution.segments[inside])
        message = inside
        shown = text[start:end]
        if scored.unit == "example" and attribution.segments:
            inner = [one for one in attribution.segments if start <= one.start < end]
            shown = "\n".join(f"{one.role}: {text[one.start : one.end]}" for one in inner)
        pieces.append(Piece(before, shown, tuple(names[token] for token in tokens), heading))
        reached = end
    return pieces


def _token_pieces(texts: Sequence[str], names: Sequence[str]) -> Iterator[Piece]:
    """Tokens; one of white space alone shows its name."""
    for text, name in zip(texts, names, strict=False):
        shown = text.strip()
        before = text[: len(text) - len(text.lstrip())]
        yield Piece(before if shown else "", shown or name, (name,))


def _message_at(segments: Sequence[Segment], place: int) -> int:
    return next((i for i, one in enumerate(segments) if one.start <= place < one.end), -1)


def _role(segment: Segment) -> str:
    """What stands over a message."""
    return (
        segment.role
        if segment.given or segment.role == "template"
        else f"{segment.role} (the template's own)"
    )


def _outside(attribution: Attribution, scored: UnitScores, sizes: NDArray[np.float64]) -> float:
    """How much of the absolute scores [n] of the prompt's tokens lies on tokens that touch no unit."""
    if scored.spans is None or scored.unit == "token":
        return 0.0
    touched = counts(attribution.prompt_text, scored.spans, attribution.prompt_offsets).sum(axis=1) > 0
    return float(sizes[~touched].sum())


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
