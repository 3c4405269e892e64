"""What the embedded reader can do: answers right on what it never saw, and answers that follow the evidence."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from annotate.dataset.mixing import MixOptions, build_dataset
from annotate.schema import Paragraph, text_hash
from annotate.sources.sample import sample_passages
from annotate.sources.sample.world import Patterns, load_world
from annotate.words import split_words
from evaluate.tasks.prompt import prompt_of, target_of

if TYPE_CHECKING:
    from heat.model import LanguageModel

BATCH = 32


@dataclass(frozen=True)
class Proportion:
    """A proportion with its 95 % Wilson interval.

    Attributes:
        name: What was counted.
        hits: How often it held.
        n: Of how many.
        low: Lower end of the interval.
        high: Upper end of the interval.
        wanted: The proportion that the reader must reach.
    """

    name: str
    hits: int
    n: int
    low: float
    high: float
    wanted: float

    @property
    def value(self) -> float:
        """The proportion."""
        return self.hits / self.n

    def row(self) -> dict[str, object]:
        """The fields and the value, for JSON."""
        return {**asdict(self), "value": self.value}


def measure_reader(lm: LanguageModel, size: int, seed: int) -> list[Proportion]:
    """Ask the reader questions about pairs it never saw (ours).

    Args:
        lm: The reader.
        size: Paragraphs per measure.
        seed: Seed of the paragraphs; the training corpus is another stream whatever it is.

    Returns:
        Accuracy on seen patterns, on patterns never seen, and how often another evidence noun changes the answer
        and becomes the answer (over the paragraphs of seen patterns that were answered right before).
    """
    seen = _paragraphs("train", size, seed)
    unseen = _paragraphs("held-out", size, seed)
    before = answered(lm, seen)
    swapped = [swap_answer(paragraph, seed) for paragraph, right in zip(seen, before, strict=True) if right]
    still = answered(lm, [paragraph for paragraph, _ in swapped], [old for _, old in swapped])
    new = answered(lm, [paragraph for paragraph, _ in swapped])
    return [
        _proportion("unseen pairs in seen patterns: answered right", before, 0.95),
        _proportion("patterns never seen: answered right", answered(lm, unseen), 0.85),
        _proportion("evidence noun swapped: the answer changes", [not s for s in still], 0.95),
        _proportion("evidence noun swapped: the new noun is the answer", new, 0.95),
    ]


def answered(lm: LanguageModel, paragraphs: list[Paragraph], answers: list[str] | None = None) -> list[bool]:
    """Whether the model's greedy continuation is the answer, every token of it.

    Args:
        lm: Any causal model.
        paragraphs: What it is asked.
        answers: What to compare with, where it is not the paragraph's own answer.

    Returns:
        One truth value a paragraph.
    """
    import torch

    import heat

    targets = [f" {a}" for a in answers] if answers is not None else [target_of(p) for p in paragraphs]
    encoded = [heat.encode(lm, prompt_of(p), t) for p, t in zip(paragraphs, targets, strict=True)]
    right = []
    for first in range(0, len(encoded), BATCH):
        part = encoded[first : first + BATCH]
        longest = max(len(e.token_ids) for e in part)
        ids = torch.tensor([[*e.token_ids, *[0] * (longest - len(e.token_ids))] for e in part])
        mask = torch.tensor([[1] * len(e.token_ids) + [0] * (longest - len(e.token_ids)) for e in part])
        with torch.inference_mode():
            logits = lm.model(input_ids=ids.to(lm.device), attention_mask=mask.to(lm.device)).logits
        said = logits.argmax(-1).cpu()
        for row, e in enumerate(part):
            span = slice(e.n_prompt - 1, len(e.token_ids) - 1)
            right.append(said[row, span].tolist() == list(e.token_ids[e.n_prompt :]))
    return right


def swap_answer(paragraph: Paragraph, seed: int) -> tuple[Paragraph, str]:
    """Put another noun of the same category in the answer's place in the evidence.

    Args:
        paragraph: A sample-world paragraph.
        seed: Seed of the draw.

    Returns:
        The changed paragraph, whose answer is the new noun, and the old answer.
    """
    old = paragraph.answer
    category = next(nouns for nouns in load_world().categories.values() if old in nouns)
    free = [noun for noun in category if noun not in paragraph.word_texts()]
    new = random.Random(f"{seed}|{paragraph.id}").choice(free)
    start, end = next(
        paragraph.words[i] for i in paragraph.evidence or () if paragraph.word_texts()[i] == old
    )
    text, shift = paragraph.text[:start] + new + paragraph.text[end:], len(new) - len(old)
    segments = tuple(
        segment.model_copy(
            update={
                "start": segment.start + shift * (segment.start > start),
                "end": segment.end + shift * (segment.end > start),
            }
        )
        for segment in paragraph.segments
    )
    changed = Paragraph(
        id=paragraph.id,
        text=text,
        segments=segments,
        question=paragraph.question,
        answer=new,
        words=split_words(text),
        word_rule=paragraph.word_rule,
        evidence=paragraph.evidence,
        text_sha256=text_hash(text),
    )
    return changed, old


def _paragraphs(patterns: Patterns, size: int, seed: int) -> list[Paragraph]:
    narratives, science = sample_passages(seed, size, size + size // 4, patterns, "test")
    return build_dataset(narratives, science, MixOptions(size=size, seed=seed))[0]


def _proportion(name: str, truths: list[bool], wanted: float) -> Proportion:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(sum(truths), len(truths), method="wilson")
    return Proportion(name, sum(truths), len(truths), float(low), float(high), wanted)
