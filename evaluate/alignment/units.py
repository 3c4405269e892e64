"""Examples read by other units than words: the sentences, lines or tokens of the text that is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from annotate.schema import Span
from evaluate.pipeline.runner import encode
from evaluate.pipeline.store import Settings
from evaluate.tasks.task import Example
from heat.units import Unit, split, visible

if TYPE_CHECKING:
    from heat import LanguageModel


def in_units(example: Example, unit: Unit, spans: Sequence[Span]) -> Example:
    """The example with units in the place of its words.

    Units that hold no scored word are left out. A unit is gold if it holds a gold word, distractor if it holds a
    distractor word, and marked by a person if it holds a word that the person marked.

    Args:
        example: With its words.
        unit: What the spans are; `word` leaves the example as it is.
        spans: `[start, end)` of each unit in its prompt, in order, without overlap.
    """
    if unit == "word":
        return example
    words_of = [
        {index for index, (first, last) in enumerate(example.words) if first < end and start < last}
        for start, end in spans
    ]
    held = [(span, words) for span, words in zip(spans, words_of, strict=True) if words]

    def holding(marked: Sequence[int]) -> tuple[int, ...]:
        return tuple(place for place, (_, words) in enumerate(held) if words.intersection(marked))

    return example.model_copy(
        update={
            "words": tuple(span for span, _ in held),
            "gold": None if example.gold is None else holding(example.gold),
            "distractor": holding(example.distractor),
            "people": tuple(holding(marked) for marked in example.people),
        }
    )


def unit_spans(example: Example, unit: Unit) -> list[Span]:
    """Where the units of an example's text are: those of `heat.units`, inside the text that is asked about.

    What a template adds belongs to none. The text lies in one message, whatever the template.

    Args:
        example: The example.
        unit: Any but `token`.

    Returns:
        `[start, end)` of each in the prompt.
    """
    if unit == "word":
        return list(example.words)
    start, end = example.body or (0, len(example.prompt))
    if unit == "message":
        return [(start, end)]
    return [(start + part.start, start + part.end) for part in split(example.prompt[start:end], unit)]


def token_spans(lm: LanguageModel, examples: Sequence[Example], settings: Settings) -> list[list[Span]]:
    """Where the tokens of some examples' texts are, without the white space at their ends.

    Tokens that share a character, as the bytes of an emoji do, are one span.

    Args:
        lm: The model that the examples are put to.
        examples: Examples that it can take.
        settings: Of the run.

    Returns:
        `[start, end)` of each in the prompt.
    """
    found = []
    for example in examples:
        start, end = example.body or (0, len(example.prompt))
        encoded = encode(lm, example, settings.target, contrast=settings.contrast)
        spans: list[Span] = []
        for first, last in (encoded.offsets or ())[: encoded.n_prompt]:
            places = [
                place for place in range(max(first, start), min(last, end)) if visible(example.prompt[place])
            ]
            if not places:
                continue
            span = (places[0], places[-1] + 1)
            if spans and span[0] < spans[-1][1]:
                span = (spans[-1][0], max(spans[-1][1], span[1]))
                spans.pop()
            spans.append(span)
        found.append(spans)
    return found
