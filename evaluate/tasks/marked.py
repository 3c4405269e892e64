"""From a text that people marked to an example: the one way for all sets of such texts."""

from __future__ import annotations

from annotate.rationales.marked import MarkedText
from annotate.rationales.marks import content_words, majority, overlapping
from evaluate.tasks.prompt import CUE
from evaluate.tasks.task import Example


def example_of(marked: MarkedText, task: str, rule: str) -> Example:
    """The example of a text that people marked.

    The prompt is the text, the question on the next line where one is asked beside it, and the cue; the text's words
    with a letter or digit are scored. Gold are those that more than half of the people marked (of one person all, of
    two those of both), distractor those of the distractor spans that are not gold. A word is marked where it shares a
    character with a span.

    Args:
        marked: The text with its marks.
        task: The name of the benchmark, with its subset.
        rule: How gold comes about.

    Raises:
        UnusableRowError: Gold is no word, or every one.
    """
    words = content_words(marked.text)
    people = tuple(overlapping(words, marking.spans) for marking in marked.people.values())
    gold = majority(words, people)
    asked = f"{marked.text}\n{marked.question}" if marked.question else marked.text
    return Example(
        id=f"{task.replace('/', '-')}-{marked.id}",
        prompt=asked + CUE,
        target=f" {marked.answer}",
        words=words,
        gold=gold,
        distractor=tuple(i for i in overlapping(words, marked.distractor) if i not in gold),
        gold_rule=rule,
        body=(0, len(marked.text)),
        question=marked.question,
        instruction=f"Answer with one word, {' or '.join(marked.choices)}." if marked.choices else "",
        foil=f" {marked.foil}" if marked.foil else "",
        people=people if len(people) > 1 else (),
    )
