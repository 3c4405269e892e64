"""Runs of narrative sentences that can stand in a paragraph as distractor."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annotate.dataset.screening import bad_character, without_repeats
from annotate.schema import Narrative
from annotate.sentences import split_sentences
from annotate.words import split_words

MIN_SENTENCES = 2
MAX_SENTENCES = 5


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive sentences of one document; equal to itself only, so that it can be counted.

    Attributes:
        document: The document.
        text: The sentences, as they stand in it.
        length: Number of words of ``text``.
    """

    document: Narrative
    text: str
    length: int


def usable_runs(
    narratives: Sequence[Narrative], limit: int, rng: random.Random, dropped: Counter[str]
) -> list[Run]:
    """Cut documents into runs of 2 to 5 sentences that share no sentence.

    Args:
        narratives: The documents.
        limit: Greatest number of words of a run.
        rng: Draws how many sentences a run has.
        dropped: Counts the documents and runs left out by reason; it is added to.
    """
    sound = []
    for document in narratives:
        flaw = bad_character(document.text) if document.text.strip() else "text is empty"
        if flaw:
            dropped[f"narrative: {flaw}"] += 1
        else:
            sound.append(document)
    runs: list[Run] = []
    for index in without_repeats([document.text for document in sound], "narrative: document", dropped):
        of_document = [
            Run(sound[index], text, length) for text, length in _cut(sound[index].text, limit, rng)
        ]
        if not of_document:
            dropped[f"narrative: no {MIN_SENTENCES} sentences in a row that are short enough"] += 1
        runs += of_document
    return [runs[i] for i in without_repeats([run.text for run in runs], "narrative: segment", dropped)]


def _cut(text: str, limit: int, rng: random.Random) -> Iterator[tuple[str, int]]:
    """Runs with their number of words. None crosses a line break, where the story breaks off too."""
    for line in text.split("\n"):
        sentences = split_sentences(line)
        first = 0
        while first + MIN_SENTENCES <= len(sentences):
            most = min(rng.randint(MIN_SENTENCES, MAX_SENTENCES), len(sentences) - first)
            for count in range(most, MIN_SENTENCES - 1, -1):
                run = line[sentences[first][0] : sentences[first + count - 1][1]]
                length = len(split_words(run))
                if length <= limit:
                    yield run, length
                    first += count
                    break
            else:
                first += 1
