"""Word pairs to complete by analogy, near the pair or after a passage that has nothing to do with it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

from annotate.errors import UnusableRowError
from annotate.files import shipped
from annotate.rationales.rows import Row, Rows, checked_source, convert, file_rows, text_lines, text_of
from annotate.schema import Span
from annotate.words import split_words
from evaluate.tasks.errors import TaskError
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "longra"
RULE = "pair"
SCHEMA = "lines `: section` and `a b c d`, or fields section, a, b, c, d (a is to b as c is to d)"
SIZE = 200
DISTANCES = (0, 1)
GOLD = GoldSource(
    rule=RULE,
    annotators=(),
    offline=True,
    note="the two words of the given pair and the word asked about, known by construction; no annotator was asked.",
)

# The pair as a sentence, and the query that the fourth word ends.
TEMPLATES = (
    ("When {a} is mentioned, the answer is {b}.", "When {c} is mentioned, the answer is"),
    ("On the list, {a} goes with {b}.", "On the same list, {c} goes with"),
    ("The word that belongs to {a} is {b}.", "The word that belongs to {c} is"),
    ("If somebody says {a}, reply {b}.", "If somebody says {c}, reply"),
    ("First comes {a} and then comes {b}.", "In the same way, first comes {c} and then comes"),
    ("We matched {a} with {b}.", "By the same rule we matched {c} with"),
)


@dataclass(frozen=True)
class Quadruple:
    """Four words, a to b as c to d, and where they stand."""

    number: int
    section: str
    words: tuple[str, str, str, str]


def quadruples(path: Path) -> Rows:
    """The rows of a word-pair file, or of a table with the fields `section`, `a`, `b`, `c`, `d`.

    Args:
        path: A `.txt` file with a line `: section` before the lines of four words it holds, or a table.

    Raises:
        TaskError: It is missing, empty, or of another kind.
    """
    if path.suffix != ".txt":
        return file_rows(path)
    return Rows(checked_source(path, (".txt",)), partial(_pairs, path))


def _pairs(path: Path) -> Iterator[Row]:
    section = ""
    for row in text_lines(path):
        if row.problem:
            yield row
            continue
        first, *words = row.values["line"].split()
        if first == ":":
            section = " ".join(words)
        elif len(words) != 3:
            yield Row(row.number, row.place, {}, "not four words")
        else:
            fields = zip("abcd", (first, *words), strict=True)
            yield Row(row.number, row.place, {"section": section, **dict(fields)})


def longra(
    rows: Rows,
    *,
    size: int | None = SIZE,
    seed: int = 0,
    distances: Sequence[int] = DISTANCES,
    limit: int | None = None,
) -> Task:
    """Examples of analogies: a pair, nothing or a passage of distractor text, and a query the fourth word ends.

    Pair and query are sentences of `TEMPLATES` (ours), the passages ship with this project; a passage that holds
    one of the four words is not used for them. The prompt ends right before the fourth word, which is the target
    with the space before it. Gold are the words of the pair, a and b, and the word asked about, c: without them the
    answer cannot be told. Words of the passages are distractor; those of the sentences around are neither.

    Sections take turns, so that each is there in a small sample too; within a section `seed` draws the order.
    Every quadruple is used once, at one of the distances in turn: the same words near and far would be no
    independent examples. Models that do not know an answer, and targets of several tokens, are the runner's to
    leave out.

    Left out and named are lines that are not four words, words that hold no letter or digit, and analogies
    that ask for a word already given or about one of the pair.

    Args:
        rows: Quadruples.
        size: How many to draw; all of them if not given.
        seed: Seed of the draw, of templates and passages.
        distances: Numbers of passages between pair and query.
        limit: Keep the first N examples only.

    Raises:
        RowsError: No row can be used, or there are too few passages for a distance.
    """
    if not distances or min(distances) < 0:
        raise TaskError(f"distances {list(distances)} are no numbers of passages; name some from 0 on")
    quadruples, left_out = convert(NAME, rows, _quadruple, SCHEMA)
    passages = _passages()
    examples = []
    for turn, quadruple in _by_turns(quadruples, seed)[:size][:limit]:
        distance = distances[turn % len(distances)]
        examples.append(_example(quadruple, distance, passages, random.Random(f"{seed}/{quadruple.number}")))
    return Task(
        name=NAME,
        source=rows.source,
        examples=tuple(examples),
        gold=GOLD,
        left_out=left_out,
        only_correct=True,
        single_token=True,
    )


def _quadruple(row: Row) -> Quadruple:
    a, b, c, d = (text_of(row, field).strip() for field in "abcd")
    if any(len(word.split()) > 1 for word in (a, b, c, d)):
        raise UnusableRowError("not four words")
    if not all(any(letter.isalnum() for letter in word) for word in (a, b, c, d)):
        raise UnusableRowError("a word without letter or digit")
    if d.casefold() in {word.casefold() for word in (a, b, c)}:
        raise UnusableRowError("the word to tell is already given")
    if c.casefold() in {a.casefold(), b.casefold()}:
        raise UnusableRowError("the word asked about is one of the pair")
    return Quadruple(row.number, str(row.values.get("section") or ""), (a, b, c, d))


def _by_turns(quadruples: Sequence[Quadruple], seed: int) -> list[tuple[int, Quadruple]]:
    """Shuffle each section, then take one of each in turn, with a number that grows by one within a section."""
    sections: dict[str, list[Quadruple]] = {}
    for quadruple in quadruples:
        sections.setdefault(quadruple.section, []).append(quadruple)
    for section, members in sections.items():
        random.Random(f"{seed}/{section}").shuffle(members)
    numbered = [list(enumerate(members, start)) for start, members in enumerate(sections.values())]
    return [pair for turn in zip_longest(*numbered) for pair in turn if pair is not None]


def _passages() -> dict[str, set[str]]:
    """The passages that ship, each with its words in small letters."""
    rows = text_lines(shipped("tasks") / "longra-distractors.txt")
    texts = [row.values["line"].strip() for row in rows]
    return {text: {text[start:end].casefold() for start, end in split_words(text)} for text in texts}


def _example(
    quadruple: Quadruple, distance: int, passages: Mapping[str, set[str]], draw: random.Random
) -> Example:
    a, b, c, d = quadruple.words
    pair, query = draw.choice(TEMPLATES)
    given = {word.casefold() for word in quadruple.words}
    fitting = [text for text, its_words in passages.items() if not given & its_words]
    if distance > len(fitting):
        raise TaskError(
            f"there are {len(fitting)} distractor passages without the words {a}, {b}, {c}, {d}; a distance of"
            f" {distance} needs as many"
        )
    opening, items = _fill(pair, {"a": a, "b": b})
    between = "".join(f" {passage}" for passage in draw.sample(fitting, distance))
    closing, asked = _fill(query, {"c": c})
    start, end = len(opening), len(opening) + len(between)
    prompt = f"{opening}{between} {closing}"
    words = split_words(prompt)
    items += [(end + 1 + first, end + 1 + last) for first, last in asked]
    return Example(
        id=f"{NAME}-{quadruple.number}-{distance}",
        prompt=prompt,
        target=f" {d}",
        words=words,
        gold=_overlapping(words, items),
        distractor=_overlapping(words, [(start, end)]),
        gold_rule=RULE,
    )


def _fill(template: str, names: dict[str, str]) -> tuple[str, list[Span]]:
    """The template with its places filled, and the spans of what fills them."""
    text, spans = "", []
    for position, part in enumerate(re.split(r"\{(\w)\}", template)):
        is_place = position % 2 == 1
        filling = names[part] if is_place else part
        if is_place:
            spans.append((len(text), len(text) + len(filling)))
        text += filling
    return text, spans


def _overlapping(words: Sequence[Span], spans: Sequence[Span]) -> tuple[int, ...]:
    return tuple(i for i, (a, b) in enumerate(words) if any(s < b and a < e for s, e in spans))
