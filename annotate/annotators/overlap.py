"""The annotator ``overlap``: marks the words that question, answer and best sentence share."""

from __future__ import annotations

from annotate.annotators.lexical import is_meaningful, stem, stems, support_sentences, words_of
from annotate.annotators.offline import RuleAnnotator
from annotate.schema import Paragraph


def mark_overlap(paragraph: Paragraph) -> set[int]:
    """Mark what the question, the answer and one sentence of the support share.

    The sentence is the one that shares the most different stems with question and answer together, the first
    of equals. Marked are its content words that occur in either, and the question's content words that occur
    in it.

    Args:
        paragraph: Any paragraph; its evidence is not looked at.

    Returns:
        Word indices; empty when nothing is shared.
    """
    texts = paragraph.word_texts()
    wanted = stems(words_of(paragraph.question, paragraph.word_rule)) | stems(
        words_of(paragraph.answer, paragraph.word_rule)
    )
    sentences = support_sentences(paragraph)
    if not sentences:
        return set()
    best = max(sentences, key=lambda sentence: len(wanted & stems([texts[i] for i in sentence])))
    shared = wanted & stems([texts[i] for i in best])
    candidates = best + paragraph.words_in("question")
    return {i for i in candidates if is_meaningful(texts[i]) and stem(texts[i]) in shared}


OVERLAP = RuleAnnotator("overlap", 1, mark_overlap)
