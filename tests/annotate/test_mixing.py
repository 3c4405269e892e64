import random
from collections import Counter
from itertools import pairwise

import pytest
from fakes.passages import narrative, real_science, science
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.dataset.mixing import MixOptions, build_dataset
from annotate.dataset.runs import usable_runs
from annotate.dataset.supports import answer_pattern, usable_supports
from annotate.schema import Narrative, Science
from annotate.sentences import split_sentences
from annotate.words import split_words


def options(**fields: int) -> MixOptions:
    return MixOptions.model_validate({"size": 5, "min_words": 20, "max_words": 140} | fields)


def reasons(rows: list[Science], limit: int = 70) -> Counter[str]:
    dropped: Counter[str] = Counter()
    usable_supports(rows, limit, dropped)
    return dropped


def test_a_paragraph_is_its_segments_joined_by_newlines() -> None:
    paragraphs, report = build_dataset(
        [narrative(i) for i in range(5)], [science(i) for i in range(9)], options()
    )
    assert (report.made, report.supports_reused, report.segments_reused) == (5, 0, 0)
    assert [p.id for p in paragraphs] == ["p00001", "p00002", "p00003", "p00004", "p00005"]
    for p in paragraphs:
        parts = {s.role: p.text[s.start : s.end] for s in p.segments}
        assert "\n".join(parts[s.role] for s in p.segments) == p.text
        assert p.segments[-1].role == "question"
        assert parts["question"] == p.question
        row = next(s for s in p.segments if s.role == "support").row
        assert parts["support"] == science(row).support
        document = narrative(next(s for s in p.segments if s.role == "narrative").row)
        assert parts["narrative"] in document.text
        assert 2 <= len(split_sentences(parts["narrative"])) <= 5
        assert p.words == split_words(p.text)


def test_evidence_moves_with_its_segment() -> None:
    paragraphs, _ = build_dataset([narrative(i) for i in range(5)], [science(i) for i in range(9)], options())
    assert {p.segments[0].role for p in paragraphs} == {"narrative", "support"}
    for p in paragraphs:
        row = p.segments[-1].row
        assert p.evidence is not None
        marked = [p.word_texts()[i] for i in p.evidence]
        assert marked == [f"animal{row}", f"food{row}", f"animal{row}"]


def test_evidence_is_no_neighbour_that_touches_it() -> None:
    row = science(1)
    support = row.support.replace("animal1", "(animal1)")
    start = support.index("animal1")
    touched = row.model_copy(update={"support": support, "support_evidence": ((start, start + 7),)})
    (paragraph,), _ = build_dataset([narrative(0)], [touched], options(size=1))
    assert paragraph.evidence is not None
    assert [paragraph.word_texts()[i] for i in paragraph.evidence] == ["animal1", "animal1"]


def test_the_question_counts_for_the_length() -> None:
    documents, rows = [narrative(0, sentences=2)], [science(0)]
    (paragraph,), _ = build_dataset(documents, rows, options(size=1))
    length = len(paragraph.words)
    for least, made in ((length, 1), (length + 1, 0)):
        assert build_dataset(documents, rows, options(size=1, min_words=least))[1].made == made


def test_runs_and_supports_are_drawn_and_either_comes_first_as_often() -> None:
    documents, rows = [narrative(i) for i in range(300)], [science(i) for i in range(400)]
    paragraphs, report = build_dataset(documents, rows, options(size=300))
    for role in ("narrative", "support"):
        taken = [next(s.row for s in p.segments if s.role == role) for p in paragraphs]
        assert sum(a < b for a, b in pairwise(taken)) < 0.6 * len(taken)  # in order it would be nearly all
        assert max(taken[:100]) > 200
    # 300 throws: 150 with a standard deviation of 8.7; of an uneven coin (0.6) 180.
    firsts = [report.narrative_first] + [
        build_dataset(documents, rows, options(size=300, seed=seed))[1].narrative_first for seed in (1, 2)
    ]
    assert 450 - 45 < sum(firsts) < 450 + 45


def test_real_text_has_no_evidence() -> None:
    paragraphs, _ = build_dataset([narrative(0)], [real_science(0)], options(size=1))
    assert paragraphs[0].evidence is None


def test_same_seed_same_paragraphs_and_another_seed_others() -> None:
    documents, rows = [narrative(i) for i in range(9)], [science(i) for i in range(20)]
    first = build_dataset(documents, rows, options(seed=1))
    assert build_dataset(documents, rows, options(seed=1)) == first
    assert build_dataset(documents, rows, options(seed=2)) != first


def test_more_paragraphs_than_supports_use_them_again_evenly() -> None:
    # 3 supports for 8 paragraphs: 3 first uses, 5 again, each 2 or 3 times; segments are to spare.
    paragraphs, report = build_dataset(
        [narrative(i) for i in range(30)], [science(i) for i in range(3)], options(size=8)
    )
    assert (report.made, report.supports_used, report.supports_reused, report.segments_reused) == (8, 3, 5, 0)
    uses = Counter(p.segments[-1].row for p in paragraphs)
    assert sorted(uses.values()) == [2, 3, 3]
    assert len({p.text for p in paragraphs}) == 8


def test_fewer_than_asked_when_no_new_pair_is_left() -> None:
    # One document of four sentences gives at most two runs; with one support that is at most two paragraphs.
    paragraphs, report = build_dataset([narrative(0, sentences=4)], [science(0)], options(size=9))
    assert report.made == len(paragraphs) == report.segments
    assert 1 <= report.made <= 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"support": "  "}, "science: support is empty"),
        ({"answer": "?"}, "science: answer is empty"),
        ({"question": ""}, "science: question is empty"),
        ({"answer": "granite"}, "science: answer not in the support"),
        ({"answer": "eat"}, "science: answer only inside other words of the support"),
        (
            {"support": "They are calledfood1 (or food1s)."},
            "science: answer only inside other words of the support",
        ),
        ({"support": "NUL \x00 food1."}, "science: control character"),
        ({"question": "Bell \x07?"}, "science: control character"),
        ({"support": "lone \ud800 food1."}, "science: lone surrogate"),
        ({"support": "food1 " + "very " * 80 + "long."}, "science: support too long"),
    ],
)
def test_why_a_science_row_is_dropped(fields: dict[str, str], reason: str) -> None:
    row = Science.model_construct(**(real_science(1).model_dump() | fields))
    assert reasons([row]) == Counter({reason: 1})


def test_exact_and_near_duplicates_are_dropped_and_told_apart() -> None:
    # 30 words, the last replaced: 28 shingles each, 27 common, 29 in all; 27 / 29 = 0.93.
    words = " ".join(f"w{i}" for i in range(29))
    near = [real_science(i, support=f"{words} {end}", answer="w3") for i, end in enumerate(["a", "a", "b"])]
    assert reasons(near) == Counter(
        {"science: support repeats another": 1, "science: support nearly repeats another": 1}
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "narrative: text is empty"),
        ("One. \x00 Two. Three.", "narrative: control character"),
        ("Only one sentence.", "narrative: no 2 sentences in a row that are short enough"),
        ("Line one.\nLine two.", "narrative: no 2 sentences in a row that are short enough"),
    ],
)
def test_why_a_narrative_is_dropped(text: str, reason: str) -> None:
    dropped: Counter[str] = Counter()
    document = narrative(0).model_copy(update={"text": text})
    assert usable_runs([document], 70, random.Random(0), dropped) == []
    assert dropped == Counter({reason: 1})


def test_runs_share_no_sentence() -> None:
    runs = usable_runs([narrative(0, sentences=14)], 70, random.Random(3), Counter())
    sentences = [run.text[a:b] for run in runs for a, b in split_sentences(run.text)]
    assert len(sentences) == len(set(sentences))


def test_a_long_support_is_cut_to_the_answer_sentence_most_like_the_question() -> None:
    text = (
        "Some iron is in rocks all over the land. Filler goes here and is long enough to be cut. "
        "The heart needs iron to live. Then more filler follows it here."
    )
    row = real_science(0, support=text, answer="IRON", question="What does the heart need to live?")
    # The sentence of the answer has 7 words with its stop; its neighbours 11 and 7, too many for 12.
    (support,) = usable_supports([row], 12, Counter())
    assert (support.text, support.answer) == ("The heart needs iron to live.", "iron")
    (longer,) = usable_supports([row], 30, Counter())
    # 7 + 11 before + 7 after = 25 words; the first sentence has 10 more.
    assert longer.text == text[text.index("Filler goes") :]


def test_constructed_evidence_is_never_cut() -> None:
    assert reasons([science(1)], limit=5) == Counter({"science: support too long": 1})


def test_the_answer_is_recorded_as_it_stands_in_the_support() -> None:
    (support,) = usable_supports([real_science(1, answer="FOOD1")], 70, Counter())
    assert support.answer == "food1"


def test_the_answer_never_stands_in_the_narrative() -> None:
    told = narrative(0).model_copy(
        update={"text": "They ate FOOD0 there. It was good. Nobody knew. The end came."}
    )
    paragraphs, report = build_dataset([told], [real_science(0)], options(size=1, min_words=5))
    for p in paragraphs:
        part = next(s for s in p.segments if s.role == "narrative")
        assert "FOOD0" not in p.text[part.start : part.end]
    only = told.model_copy(update={"text": "They ate FOOD0 there. It was good."})
    _, report = build_dataset([only], [real_science(0)], options(size=1, min_words=5))
    assert (report.made, report.dropped) == (0, {"science: no narrative segment fits": 1})


@pytest.mark.parametrize(
    ("answer", "text", "found"),
    [
        ("acid", "An ACID.", True),
        ("acid", "acidic", False),
        ("acid", "a placid lake", False),
        ("nucleic  acid", "a nucleic\nacid", True),
        ("C++", "in C++ now", True),
        ("e\u0301t", "un e\u0301te\u0301", False),
    ],
)
def test_whole_words(answer: str, text: str, found: bool) -> None:
    assert bool(answer_pattern(answer).search(text)) is found


def test_unusual_text_passes_unharmed() -> None:
    support = "The 👩🏽‍🚀 drinks קפה\u200f with cafe\u0301 in space. It is good."
    row = real_science(0, support=support, answer="cafe\u0301", question="What, with קפה?")
    document = Narrative(
        source="t",
        split="t",
        row=0,
        document_id="d",
        title="",
        text="مرحبا بكم. كيف الحال؟ Fine 👍🏿 there. Yes.",
    )
    paragraphs, _ = build_dataset([document], [row], options(size=1, min_words=5))
    assert support in paragraphs[0].text
    assert paragraphs[0].answer == "cafe\u0301"
    assert "👩🏽‍🚀" in paragraphs[0].word_texts()


@settings(max_examples=25, deadline=None)
@given(
    documents=st.integers(1, 6),
    rows=st.integers(1, 8),
    size=st.integers(1, 20),
    seed=st.integers(0, 5),
    most=st.integers(45, 90),
)
def test_what_holds_for_every_build(documents: int, rows: int, size: int, seed: int, most: int) -> None:
    wanted = options(size=size, seed=seed, max_words=most)
    paragraphs, report = build_dataset(
        [narrative(i) for i in range(documents)], [science(i) for i in range(rows)], wanted
    )
    assert report.made == len(paragraphs) == len({p.text for p in paragraphs}) <= size
    assert all(20 <= len(p.words) <= most for p in paragraphs)
    uses = Counter(p.segments[-1].row for p in paragraphs)
    assert report.supports_reused == sum(uses.values()) - len(uses)
    texts = Counter(p.text[s.start : s.end] for p in paragraphs for s in p.segments if s.role == "narrative")
    assert report.segments_reused == sum(texts.values()) - len(texts)
    early = report.dropped.get("science: no narrative segment fits", 0)
    assert (
        report.supports + sum(v for k, v in report.dropped.items() if k.startswith("science")) - early == rows
    )
