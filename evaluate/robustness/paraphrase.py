"""The paraphrase probe: the same said otherwise, by whoever can rewrite a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from evaluate.errors import EvaluateError
from evaluate.pipeline.measure import Cases, Context, Measure
from evaluate.robustness.llm import SCHEME, Asking, LLMParaphraser
from evaluate.robustness.options import Options
from evaluate.robustness.rewriting import Rewriting
from evaluate.robustness.rewritings import rewriting_measure, rewritten
from evaluate.robustness.rules import RuleParaphraser
from evaluate.robustness.sample import SampleParaphraser
from evaluate.tasks.task import Example

VOICE = "voice"


class Paraphraser(Protocol):
    """Says texts in other words.

    Attributes:
        kinds: Names of its rewritings.
    """

    kinds: tuple[str, ...]

    def rewrite(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """Rewrite each example; only what changed, at most one rewriting of a kind."""
        ...


_OFFLINE: dict[str, type[SampleParaphraser] | type[RuleParaphraser]] = {
    "sample": SampleParaphraser,
    "rules": RuleParaphraser,
}


def is_llm(name: str) -> bool:
    """Whether a paraphraser of that name asks a language model."""
    return name.startswith(SCHEME)


def paraphraser(name: str, folder: Path, asking: Asking) -> Paraphraser:
    """A paraphraser by name.

    Args:
        name: ``sample`` (texts of the sample world, words aligned exactly), ``rules`` (English, aligned by lemma) or
            ``openai:MODEL`` (a language model, aligned by lemma).
        folder: Results folder, where answers of language models are kept.
        asking: How they are asked.

    Raises:
        EvaluateError: There is none of that name.
        LabelError: An option of a language model is wrong.
    """
    if is_llm(name):
        return LLMParaphraser(name, folder, asking)
    return _offline(name)()


def kinds_of(name: str) -> tuple[str, ...]:
    """Names of the rewritings of a paraphraser, without making it.

    Raises:
        EvaluateError: There is none of that name.
    """
    return (name,) if is_llm(name) else _offline(name).kinds


def _offline(name: str) -> type[SampleParaphraser] | type[RuleParaphraser]:
    if name not in _OFFLINE:
        raise EvaluateError(
            f"there is no paraphraser {name!r}; there are: {', '.join(_OFFLINE)}, openai:MODEL"
        )
    return _OFFLINE[name]


def paraphrase_measure(paraphrasers: Sequence[Paraphraser], options: Options) -> Measure:
    """Word scores beside those of a paraphrase.

    Args:
        paraphrasers: Asked in this order; of two rewritings of one kind the first counts.
        options: Kept with the result.
    """
    kinds = tuple(dict.fromkeys(kind for paraphraser in paraphrasers for kind in paraphraser.kinds))
    cases = partial(_paraphrased, paraphrasers=tuple(paraphrasers), kinds=kinds)
    return rewriting_measure("robustness-paraphrase", kinds, cases, options, leading=VOICE)


def paraphrases(paraphrasers: Sequence[Paraphraser], examples: Sequence[Example]) -> list[list[Rewriting]]:
    """What all paraphrasers say of each example, without those of which no word has a partner.

    Args:
        paraphrasers: Of two rewritings of one kind that of the first counts.
        examples: To be rewritten.
    """
    by_example: list[dict[str, Rewriting]] = [{} for _ in examples]
    for paraphraser in paraphrasers:
        for by_name, rewritings in zip(by_example, paraphraser.rewrite(examples), strict=True):
            for rewriting in rewritings:
                if rewriting.pairs:
                    by_name.setdefault(rewriting.name, rewriting)
    return [list(by_name.values()) for by_name in by_example]


def _paraphrased(
    context: Context,
    examples: Sequence[Example],
    paraphrasers: tuple[Paraphraser, ...],
    kinds: tuple[str, ...],
) -> Cases:
    """What all paraphrasers say, and how often language models failed to."""
    made = rewritten(context, examples, paraphrases(paraphrasers, examples), kinds)
    models = [paraphraser for paraphraser in paraphrasers if isinstance(paraphraser, LLMParaphraser)]
    failed = {paraphraser.kinds[0]: paraphraser.failed for paraphraser in models}
    copies = (
        row.model_copy(update={"failed": failed[row.name]}) if row.name in failed else row
        for row in made.copies
    )
    return replace(made, copies=tuple(copies))
