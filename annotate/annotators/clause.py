"""The annotator ``clause``: marks the clause that gives the answer, and the question's key words."""

from __future__ import annotations

from annotate.annotators.lexical import (
    answer_position,
    is_key,
    is_meaningful,
    stems,
    support_sentences,
    words_of,
)
from annotate.annotators.offline import RuleAnnotator
from annotate.schema import Paragraph

_BREAKS = frozenset(",;:()–—")


def mark_clause(paragraph: Paragraph) -> set[int]:
    """Mark the clause that gives the answer.

    The sentence is one that holds the answer as whole words, of several the one that shares the most stems
    with the question, the first of equals. Its clauses (between commas, colons, brackets and dashes) count if
    they hold part of the answer or a key word of the question; all their content words are marked, and the
    question's key words.

    Args:
        paragraph: Any paragraph; its evidence is not looked at.

    Returns:
        Word indices.
    """
    texts = paragraph.word_texts()
    keys = stems([word for word in words_of(paragraph.question, paragraph.word_rule) if is_key(word)])

    def rank(sentence: list[int]) -> tuple[bool, int]:
        words = [texts[i] for i in sentence]
        return answer_position(words, paragraph.answer, paragraph.word_rule) is not None, len(
            keys & stems(words)
        )

    marked = {i for i in paragraph.words_in("question") if is_key(texts[i])}
    sentences = support_sentences(paragraph)
    if not sentences:
        return marked
    best = max(sentences, key=rank)
    wanted = keys | stems(words_of(paragraph.answer, paragraph.word_rule))
    for clause in _clauses(best, texts):
        if wanted & stems([texts[i] for i in clause]):
            marked.update(i for i in clause if is_meaningful(texts[i]))
    return marked


def _clauses(sentence: list[int], texts: list[str]) -> list[list[int]]:
    clauses: list[list[int]] = [[]]
    for i in sentence:
        if texts[i] in _BREAKS:
            clauses.append([])
        else:
            clauses[-1].append(i)
    return clauses


CLAUSE = RuleAnnotator("clause", 1, mark_clause)
