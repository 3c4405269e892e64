"""Mixed paragraphs: a narrative run as distractor, a science support that holds the answer, the question."""

from __future__ import annotations

import bisect
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from pydantic import Field

from annotate.dataset.duplicates import jaccard, shingles
from annotate.dataset.runs import Run, usable_runs
from annotate.dataset.screening import NEAR
from annotate.dataset.supports import Support, usable_supports
from annotate.schema import Narrative, Paragraph, Record, Role, Science, Segment, Span, text_hash
from annotate.words import rule_for, split_words


class MixOptions(Record):
    """What to make.

    Attributes:
        size: Number of paragraphs wanted.
        seed: Seed of every draw.
        min_words: Least number of words of a paragraph, by the word rule, so punctuation counts.
        max_words: Greatest number. 140 words of encyclopedic English come to about 460 tokens even where the
            vocabulary is only 512. The narrative and the support may each take half of it.
    """

    size: int = Field(default=2000, ge=1)
    seed: int = 0
    min_words: int = Field(default=40, ge=1)
    max_words: int = Field(default=140, ge=1)


class MixReport(Record):
    """How many passages were used and left out.

    Attributes:
        asked: Paragraphs wanted.
        made: Paragraphs made.
        documents: Narrative documents read.
        segments: Narrative segments that could be used: runs of 2 to 5 sentences that share no sentence.
        segments_used: How many of them were.
        segments_reused: Paragraphs whose segment stands in an earlier paragraph too.
        rows: Science rows read.
        supports: Science supports that could be used.
        supports_used: How many of them were.
        supports_reused: Paragraphs whose support stands in an earlier paragraph too.
        supports_cut: Paragraphs whose support was too long and is the run of sentences around the answer.
        narrative_first: Paragraphs that begin with the narrative.
        words: Least, median and greatest number of words of a paragraph.
        dropped: What was left out, by reason.
    """

    asked: int
    made: int
    documents: int
    segments: int
    segments_used: int
    segments_reused: int
    rows: int
    supports: int
    supports_used: int
    supports_reused: int
    supports_cut: int
    narrative_first: int
    words: tuple[int, float, int]
    dropped: dict[str, int]


def build_dataset(
    narratives: Sequence[Narrative], science: Sequence[Science], options: MixOptions
) -> tuple[list[Paragraph], MixReport]:
    """Mix passages into paragraphs.

    Each paragraph is a narrative run and a support in an order drawn by seed, then the question, joined by
    newlines. The support holds the answer as whole words, the run does not. Supports and runs are used in an
    order drawn by seed. A support is used again only after every other one; a run, only where none fits that
    is used less. Near duplicates are left out among supports, among runs, and among paragraphs that share
    either.

    Args:
        narratives: Documents that runs of sentences are taken from.
        science: Questions with their supports.
        options: Size, seed and length limits.

    Returns:
        At most ``options.size`` paragraphs, named ``p00001`` and so on, and the report. Equal arguments give
        equal results.
    """
    rng = random.Random(options.seed)
    dropped: Counter[str] = Counter()
    half = options.max_words // 2
    supports = usable_supports(science, half, dropped)
    runs = usable_runs(narratives, half, rng, dropped)
    rng.shuffle(supports)
    rng.shuffle(runs)
    pairs = _pair(supports, runs, options, dropped)
    paragraphs = [
        _assemble(f"p{number:05d}", support, run, narrative_first=rng.random() < 0.5)
        for number, (support, run) in enumerate(pairs, start=1)
    ]
    supports_used = len({support for support, _ in pairs})
    segments_used = len({run for _, run in pairs})
    lengths = [len(paragraph.words) for paragraph in paragraphs] or [0]
    report = MixReport(
        asked=options.size,
        made=len(paragraphs),
        documents=len(narratives),
        segments=len(runs),
        segments_used=segments_used,
        segments_reused=len(pairs) - segments_used,
        rows=len(science),
        supports=len(supports),
        supports_used=supports_used,
        supports_reused=len(pairs) - supports_used,
        supports_cut=sum(support.text != support.row.support for support, _ in pairs),
        narrative_first=sum(paragraph.segments[0].role == "narrative" for paragraph in paragraphs),
        words=(min(lengths), float(median(lengths)), max(lengths)),
        dropped=dict(sorted(dropped.items())),
    )
    return paragraphs, report


def _pair(
    supports: list[Support], runs: list[Run], options: MixOptions, dropped: Counter[str]
) -> list[tuple[Support, Run]]:
    """Give each support the least used run that fits it, round after round until there are enough pairs."""
    pairs: list[tuple[Support, Run]] = []
    # Texts made so far by what they share, so that one that is used again makes no near duplicate.
    made: dict[Support | Run, list[str]] = defaultdict(list)
    queue = [(0, position) for position in range(len(runs))]
    waiting = list(supports)
    while waiting and len(pairs) < options.size:
        served = []
        for support in waiting[: options.size - len(pairs)]:
            place = next(
                (i for i, (_, run) in enumerate(queue) if _fits(support, runs[run], options, made)), None
            )
            if place is None:
                if not made[support]:
                    dropped["science: no narrative segment fits"] += 1
                continue
            uses, position = queue.pop(place)
            bisect.insort(queue, (uses + 1, position))
            run = runs[position]
            text = "\n".join((run.text, support.text, support.row.question))
            made[support].append(text)
            made[run].append(text)
            pairs.append((support, run))
            served.append(support)
        waiting = served
    return pairs


def _fits(support: Support, run: Run, options: MixOptions, made: dict[Support | Run, list[str]]) -> bool:
    length = support.length + run.length + len(split_words(support.row.question))
    if not options.min_words <= length <= options.max_words or support.pattern.search(run.text):
        return False
    earlier = made[support] + made[run]
    if not earlier:
        return True
    mixed = shingles("\n".join((run.text, support.text, support.row.question)))
    return all(jaccard(mixed, shingles(text)) < NEAR for text in earlier)


def _assemble(name: str, support: Support, run: Run, narrative_first: bool) -> Paragraph:
    row, document = support.row, run.document
    roles: tuple[Role, ...] = (
        ("narrative", "support", "question") if narrative_first else ("support", "narrative", "question")
    )
    texts = {"narrative": run.text, "support": support.text, "question": row.question}
    text = "\n".join(texts[role] for role in roles)
    bounds = [0]
    for role in roles:
        bounds.append(bounds[-1] + len(texts[role]) + 1)
    segments = tuple(
        Segment(
            role=role,
            start=start,
            end=end - 1,
            source=document.source if role == "narrative" else row.source,
            split=document.split if role == "narrative" else row.split,
            row=document.row if role == "narrative" else row.row,
            document_id=document.document_id if role == "narrative" else "",
            pattern="" if role == "narrative" else row.pattern,
        )
        for role, (start, end) in zip(roles, pairwise(bounds), strict=True)
    )
    words = split_words(text)
    return Paragraph(
        id=name,
        text=text,
        segments=segments,
        question=row.question,
        answer=support.answer,
        words=words,
        word_rule=rule_for(text),
        evidence=_evidence(row, segments, words),
        text_sha256=text_hash(text),
    )


def _evidence(row: Science, segments: Sequence[Segment], words: Sequence[Span]) -> tuple[int, ...] | None:
    if row.support_evidence is None:
        return None
    start = {segment.role: segment.start for segment in segments}
    spans = [(a + start["support"], b + start["support"]) for a, b in row.support_evidence]
    spans += [(a + start["question"], b + start["question"]) for a, b in row.question_evidence or ()]
    return tuple(i for i, (a, b) in enumerate(words) if any(a < end and begin < b for begin, end in spans))
