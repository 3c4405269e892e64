"""Beginnings of sentences with a right and a wrong next word, and the word that decides between them."""

from __future__ import annotations

from annotate.errors import UnusableRowError
from annotate.rationales.marks import checked_gold, content_words
from annotate.rationales.rows import Row, Rows, convert, text_of
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "blimp-evidence"
RULE = "licenser"
SCHEMA = "one_prefix_prefix, one_prefix_word_good, one_prefix_word_bad, target (the word of the prefix that decides)"
PATTERNS = (
    "anaphor_gender_agreement",
    "anaphor_number_agreement",
    "determiner_noun_agreement_1",
    "distractor_agreement_relational_noun",
    "irregular_plural_subject_verb_agreement_1",
    "npi_present_1",
    "ioi",
)
"""The patterns of BLiMP for which there is such a rule, and indirect objects."""

BY_RULE = GoldSource(
    rule=RULE,
    annotators=(),
    offline=True,
    note="the word that licenses the right next word, found by a rule of grammar for each pattern; nobody was asked.",
)

# As the source's tables write that a rule found no such word.
_NO_WORD = "NA"


def blimp_evidence(rows: Rows, limit: int | None = None, name: str = NAME) -> Task:
    """Examples of minimal pairs: one a pair, the target the right next word, the foil the wrong one.

    The prompt is the sentence up to the word in which the pair differs; it is continued, nothing is asked. Words with a
    letter or digit are scored. Gold is the one word that decides, which a rule found and no person marked. As the
    question is why one word and not the other, the target is explained against the foil.

    Left out and named are pairs without such a word, or whose word the prompt does not hold exactly once, and prompts
    of one word, in which there is nothing to tell apart.

    Args:
        rows: Rows as in the source's tables.
        limit: Make the first N examples only.
        name: What the task is called.

    Raises:
        RowsError: No row can be used.
    """

    def make(row: Row) -> Example:
        return _example(row, name)

    examples, left_out = convert(name, rows, make, SCHEMA, limit)
    return Task(
        name=name, source=rows.source, examples=examples, gold=BY_RULE, left_out=left_out, contrast=True
    )


def _example(row: Row, name: str) -> Example:
    prompt = text_of(row, "one_prefix_prefix").strip()
    good, bad = (text_of(row, f"one_prefix_word_{which}").strip() for which in ("good", "bad"))
    evidence = text_of(row, "target").strip()
    if evidence == _NO_WORD:
        raise UnusableRowError("the rule found no word that decides")
    if good == bad:
        raise UnusableRowError("the right next word is the wrong one")
    words = content_words(prompt)
    gold = tuple(i for i, (start, end) in enumerate(words) if prompt[start:end] == evidence)
    if len(gold) != 1:
        often = "more than once" if gold else "not"
        raise UnusableRowError(f"the prompt holds the word that decides {often}")
    return Example(
        id=f"{name.replace('/', '-')}-{row.number}",
        prompt=prompt,
        target=f" {good}",
        words=words,
        gold=checked_gold(gold, words),
        gold_rule=RULE,
        foil=f" {bad}",
    )
