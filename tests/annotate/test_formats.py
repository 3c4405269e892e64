"""The three formats: truthful answers come back exactly, lies are placed right or reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from fakes.annotated import make_paragraph
from fakes.annotations import (
    curl,
    hard_spaces,
    long_dashes,
    lying,
    runs,
    slice_words,
    swap_case,
    tagged,
    truthful,
    truthful_quotes,
    truthful_words,
    uncurl,
)
from fakes.marked import marked, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.dataset.mixing import MixOptions, build_dataset
from annotate.errors import AnnotateError, UnknownNameError
from annotate.files import shipped
from annotate.formats import FormatError, format_names, make_format
from annotate.formats.prompts import load_prompt
from annotate.formats.tags import split_tags, tag_name
from annotate.schema import LabelSpan, Paragraph
from annotate.sources import open_source

FORMATS = {name: make_format(name) for name in format_names()}
CERTAIN = ("exact", "occurrence", "context")
REPORTED = ("ambiguous", "unresolved")
LIES = [swap_case, curl, uncurl, long_dashes, hard_spaces]
PLAIN = [
    "the",
    "The",
    "tea",
    "ant",
    "ants",
    "copper",
    "coper",
    "x-ray",
    "don't",
    "don\u2019t",
    '"',
    ",",
    "水",
    "ß",
    "SS",
]

SUPPORT = "The x-ray shows a \u201cbright\u201d film. The moss can't absorb the x-ray of naïve ants."
PARAGRAPH = make_paragraph("p", SUPPORT, "What does the moss absorb?", "x-ray")


def words_of(spans: tuple[LabelSpan, ...]) -> list[int]:
    return sorted({word for span in spans for word in span.words})


def find(text: str, place: int = 0) -> list[int]:
    """Word indices of the ``place``-th occurrence of ``text`` in the paragraph."""
    start = -1
    for _ in range(place + 1):
        start = PARAGRAPH.text.index(text, start + 1)
    return [i for i, (a, b) in enumerate(PARAGRAPH.words) if a < start + len(text) and start < b]


def test_registry() -> None:
    assert format_names() == ["quotes", "indexed", "tags"]
    assert make_format().name == "quotes"
    with pytest.raises(
        UnknownNameError, match=r"no format is called 'offsets'; there are: quotes, indexed, tags"
    ):
        make_format("offsets")


@pytest.mark.parametrize("name", format_names())
def test_schema_is_of_the_strict_subset(name: str) -> None:
    def check(node: object) -> None:
        if isinstance(node, dict) and node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
        for child in node.values() if isinstance(node, dict) else ():
            check(child)

    schema = FORMATS[name].schema
    assert (schema is None) == (name == "tags")
    check(schema)
    assert schema is None or schema["type"] == "object"


def test_the_prompt_for_passages_asks_in_quotes_about_one_text() -> None:
    made = make_format(prompt="passage")
    assert (made.name, made.prompt.sha256 == make_format("quotes").prompt.sha256) == ("quotes", False)
    _, example = load_prompt("passage")
    assert example.paragraph.question not in example.paragraph.text
    assert [segment.role for segment in example.paragraph.segments] == ["support"]
    (span,) = made.read(example.paragraph, example.content)
    assert (span.rung, span.quote) == ("exact", "After the flood of 1903 it was turned into a school")
    assert "Question: What was the mill used for" in made.messages(example.paragraph)[1]["content"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (('id = "quotes"', 'id = "words"'), "no format is called 'words'"),
        (("Question: $question", "Question: $query"), "cannot be used: KeyError"),
        (("$unplaced", "$missing"), "cannot be used: KeyError"),
        (('{"spans":', "spans:"), "cannot be used: FormatError"),
        (("version = 1", ""), "is no prompt file: KeyError"),
        (("[example]", "[[example]]"), "is no prompt file"),
        (("system = ", "system "), "is no prompt file: TOMLDecodeError"),
    ],
)
def test_a_prompt_of_ones_own_is_checked_before_anything_is_asked(
    changed: tuple[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    text = shipped("prompts/passage.toml").read_text(encoding="utf-8")
    path.write_text(text)
    assert make_format("quotes", str(path)).prompt.sha256 == make_format(prompt="passage").prompt.sha256
    with pytest.raises(AnnotateError, match="asks for 'quotes', not for 'tags'; leave format= away"):
        make_format("tags", str(path))
    path.write_text(text.replace(*changed))
    assert path.read_text() != text
    with pytest.raises(AnnotateError, match=message):
        make_format(prompt=str(path))


def test_a_prompt_that_is_not_there() -> None:
    with pytest.raises(AnnotateError, match="cannot be read: No such file"):
        make_format(prompt="nowhere.toml")
    with pytest.raises(UnknownNameError, match=r"no prompt is called 'pasage' .*did you mean 'passage'"):
        make_format(prompt="pasage")


@pytest.mark.parametrize("name", format_names())
def test_worked_example_reads_to_the_same_words_in_every_format(name: str) -> None:
    prompt, example = load_prompt(name)
    spans = FORMATS[name].read(example.paragraph, example.content)
    assert {span.rung for span in spans} <= {"exact", "occurrence"}
    marked_words = [example.paragraph.word_texts()[i] for i in words_of(spans)]
    assert " ".join(marked_words) == (
        "Copper turns green film of copper carbonate forms forms on copper turns green"
    )
    assert (prompt.name, prompt.version, len(prompt.sha256)) == (name, 1, 64)


@pytest.mark.parametrize("name", format_names())
def test_messages_show_what_is_asked(name: str) -> None:
    messages = FORMATS[name].messages(PARAGRAPH)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    asked = messages[-1]["content"]
    assert PARAGRAPH.text in asked
    assert "narrative, support, question" in asked
    assert "Question: What does the moss absorb?\nAnswer: x-ray" in asked
    assert not any("$" in message["content"] for message in messages)
    if name == "indexed":
        the, ray, shows = find("The x-ray shows")
        assert f"\n{the}:The {ray}:x-ray {shows}:shows " in asked


@pytest.mark.parametrize("name", format_names())
def test_dollars_in_the_text_stay(name: str) -> None:
    paragraph = make_paragraph("p", "It costs $text or $5 $$.", "Why ${answer}?", "$5")
    assert paragraph.text in FORMATS[name].messages(paragraph)[-1]["content"]


@settings(max_examples=150, deadline=None)
@given(case=marked())
@pytest.mark.parametrize("name", format_names())
def test_truthful_answers_come_back_exactly(name: str, case: tuple[Paragraph, list[int]]) -> None:
    paragraph, words = case
    spans = FORMATS[name].read(paragraph, truthful(name, paragraph, words))
    assert words_of(spans) == words
    assert all(span.rung in CERTAIN for span in spans)


@st.composite
def typos(draw: st.DrawFn) -> Callable[[str], str]:
    """A lie that changes one letter of a word of at least two letters, where there is one."""
    seed, letter = draw(st.integers(0, 50)), draw(st.sampled_from("aestx"))
    kind = draw(st.sampled_from(["replace", "insert", "delete", "swap"]))

    def lie(text: str) -> str:
        inner = [i for i in range(len(text) - 1) if text[i].isascii() and text[i : i + 2].isalpha()]
        if not inner:
            return text
        i = inner[seed % len(inner)]
        changed = {
            "replace": text[:i] + letter + text[i + 1 :],
            "insert": text[:i] + letter + text[i:],
            "delete": text[:i] + text[i + 1 :],
            "swap": text[:i] + text[i + 1] + text[i] + text[i + 2 :],
        }
        return changed[kind]

    return lie


lies = st.one_of(st.sampled_from(LIES), typos())
plain = marked(texts(PLAIN, [" ", " ", "\n", "  "], 10))


def check_nothing_is_elsewhere(
    paragraph: Paragraph, truth: list[int], entries: list[dict[str, object]], spans: tuple[LabelSpan, ...]
) -> None:
    """Every span is right, or reported, or stands where all that the annotator said of it holds word for word."""
    for span in spans:
        if span.rung in REPORTED or set(span.words) <= set(truth):
            continue
        first, last = span.words[0], span.words[-1]
        assert slice_words(paragraph, first, last) == span.quote, span
        head = paragraph.text[: paragraph.words[first][0]].rstrip()
        assert any(e["quote"] == span.quote and head.endswith(str(e["before"])) for e in entries), span
    for (first, last), entry in zip(runs(truth), entries, strict=True):
        placed = set(range(first, last + 1)) <= set(words_of(spans))
        assert placed or any(span.quote == str(entry["quote"]).strip() for span in spans), entry


@settings(max_examples=250, deadline=None)
@given(case=plain, lie=lies)
def test_lied_quotes_are_never_silently_elsewhere(
    case: tuple[Paragraph, list[int]], lie: Callable[[str], str]
) -> None:
    paragraph, words = case
    spans = FORMATS["quotes"].read(paragraph, lying("quotes", paragraph, words, lie))
    entries = [entry | {"quote": lie(str(entry["quote"]))} for entry in truthful_quotes(paragraph, words)]
    check_nothing_is_elsewhere(paragraph, words, entries, spans)


@settings(max_examples=200, deadline=None)
@given(case=plain, number=st.integers(-1, 4))
def test_a_wrong_occurrence_is_never_silently_elsewhere(
    case: tuple[Paragraph, list[int]], number: int
) -> None:
    paragraph, words = case
    entries = [entry | {"occurrence": number} for entry in truthful_quotes(paragraph, words)]
    spans = FORMATS["quotes"].read(paragraph, json.dumps({"spans": entries}))
    check_nothing_is_elsewhere(paragraph, words, entries, spans)


@settings(max_examples=150, deadline=None)
@given(case=plain, lie=lies, shift=st.integers(-2, 2))
def test_lied_numbered_words_are_never_silently_elsewhere(
    case: tuple[Paragraph, list[int]], lie: Callable[[str], str], shift: int
) -> None:
    paragraph, words = case
    lied = [
        {"i": i + (shift if lie is str else 0), "word": lie(str(entry["word"]))}
        for i, entry in zip(words, truthful_words(paragraph, words), strict=True)
    ]
    spans = FORMATS["indexed"].read(paragraph, json.dumps({"words": lied}))
    assert all(span.rung in REPORTED or set(span.words) <= set(words) for span in spans)
    assert set(words) <= set(words_of(spans)) or any(span.rung in REPORTED for span in spans)


@settings(max_examples=150, deadline=None)
@given(case=plain, shift=st.sampled_from([-2, -1, 1, 2]))
def test_shifted_numbers_are_caught_by_the_word_beside_them(
    case: tuple[Paragraph, list[int]], shift: int
) -> None:
    paragraph, words = case
    texts_of = paragraph.word_texts()
    lied = [{"i": i + shift, "word": texts_of[i]} for i in words]
    for entry, true in zip(lied, words, strict=True):
        (span,) = FORMATS["indexed"].read(paragraph, json.dumps({"words": [entry]}))
        same = span.words and texts_of[span.words[0]].casefold() == texts_of[true].casefold()
        assert span.words == (true,) or span.rung in REPORTED or (same and span.words == (entry["i"],))


@settings(max_examples=200, deadline=None)
@given(case=plain, lie=lies, cut=st.integers(0, 12))
def test_lied_copies_are_never_silently_elsewhere(
    case: tuple[Paragraph, list[int]], lie: Callable[[str], str], cut: int
) -> None:
    paragraph, words = case
    content = tagged(paragraph, words, lie)
    tail = len(content) - cut
    if "<" not in content[tail:] and ">" not in content[tail:]:
        content = content[:tail]
    try:
        spans = FORMATS["tags"].read(paragraph, content)
    except FormatError:
        return
    assert all(span.rung in REPORTED or set(span.words) <= set(words) for span in spans)
    assert set(words) <= set(words_of(spans)) or any(span.rung in REPORTED for span in spans)


@pytest.mark.parametrize(
    ("lie", "text", "rung"),
    [
        (swap_case, "moss can't absorb", "casefold"),
        (curl, "moss can't absorb", "normalized"),
        (uncurl, "a \u201cbright\u201d film", "normalized"),
        (long_dashes, "the x-ray of", "normalized"),
        (hard_spaces, "moss can't absorb", "normalized"),
        (lambda text: text.replace("absorb", "absrob"), "moss can't absorb", "fuzzy"),
        (lambda text: text.replace("naïve", "nai\u0308ve"), "naïve ants", "normalized"),
    ],
)
@pytest.mark.parametrize("name", ["quotes", "tags"])
def test_each_lie_is_placed_by_its_rung(name: str, lie: Callable[[str], str], text: str, rung: str) -> None:
    words = find(text)
    (span,) = FORMATS[name].read(PARAGRAPH, lying(name, PARAGRAPH, words, lie))
    assert (span.words, span.rung) == (tuple(words), rung)


def test_numbered_words_by_rung() -> None:
    moss, ants = find("moss")[0], find("ants")[0]
    entries = [
        {"i": moss, "word": "moss"},
        {"i": moss, "word": "MOSS"},
        {"i": moss, "word": "mos"},
        {"i": ants + 1, "word": "ants"},
        {"i": 999, "word": "ants"},
        {"i": 999, "word": "the"},
        {"i": moss, "word": "granite"},
    ]
    content = json.dumps({"words": entries})
    spans = FORMATS["indexed"].read(PARAGRAPH, content)
    assert [(span.words, span.rung) for span in spans] == [
        ((moss,), "exact"),
        ((moss,), "casefold"),
        ((moss,), "fuzzy"),
        ((ants,), "context"),
        ((find("the moss absorb?")[0],), "ambiguous"),
        ((), "unresolved"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("quotes", "I cannot do that.", "Invalid JSON"),
        ("quotes", '{"words": []}', "spans: Field required"),
        ("quotes", '{"spans": [{"occurrence": 1}]}', r"spans\.0\.quote: Field required"),
        (
            "indexed",
            '{"words": [{"i": "three", "word": "a"}]}',
            r"words\.0\.i: Input should be a valid integer",
        ),
        ("tags", "", "no copy of the text"),
        ("tags", "I am sorry, but that is not possible.", "no copy of the text"),
        ("tags", "<m>Mira", "<m> is not closed"),
        ("tags", "Mira</m>", "</m> closes nothing"),
        ("tags", "<m>Mira <m>lost</m></m>", "opened again"),
    ],
)
def test_answers_without_form_are_refused(name: str, content: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        FORMATS[name].read(PARAGRAPH, content)


ANSWERS = {
    "quotes": '{"spans": [{"quote": "Mira", "occurrence": 1, "before": ""}]}',
    "indexed": '{"words": [{"i": 0, "word": "Mira"}]}',
}
EMPTY = {"quotes": '{"spans": []}', "indexed": '{"words": []}'}
AROUND = [
    "<think>\nWhich words? {{maybe}} {empty}\n</think>\n\n{answer}",
    "<THINKING>{empty}</THINKING>{answer}",
    "Okay, {{let}} me look. {empty}\n</think>\n{answer}",
    "<think>one {empty}</think>\n<think>two</think>{answer}",
    "[THINK]{empty}[/THINK]{answer}",
    "<seed:think>{empty}</seed:think>{answer}",
    "<|channel|>analysis<|message|>{empty}<|end|><|start|>assistant<|channel|>final<|message|>{answer}",
    "◁think▷{empty}◁/think▷{answer}",
    '<think time="3">{empty}</think>{answer}',
    "<longcat_think>{empty}</longcat_think>{answer}",
    "<scratch_pad>{empty}</scratch_pad>{answer}",
    "<|START_THINKING|>{empty}<|END_THINKING|><|START_RESPONSE|>{answer}<|END_RESPONSE|>",
    "<|channel>thought\n{empty}<channel|>{answer}",
    "<|begin_of_thought|>{empty}<|end_of_thought|>{answer}",
    "{answer}\n<reflection>{empty} would be less.</reflection>",
    "Here is the JSON you asked for:\n```json\n{answer}\n```\nLet me know if it helps.",
    "```JSON\n{answer}\n```",
    "```json {answer}```",
    "~~~\n{answer}\n~~~",
    "```\n{answer}",
    "Sure! {answer}",
    'The text says "{{" and {{"x": it begins no object. {answer}',
    "{answer}\n\nThese words matter most.",
    "{answer}{empty}",
    '{{"note": "an object of another form {{"}} {answer}',
    "{{}}\n{answer}",
    "[{answer}]",
    "\ufeff{answer}",
]


@pytest.mark.parametrize("name", ["quotes", "indexed"])
@pytest.mark.parametrize("around", AROUND)
def test_json_is_found_in_what_stands_around_it(name: str, around: str) -> None:
    content = around.format(answer=ANSWERS[name], empty=EMPTY[name])
    (span,) = FORMATS[name].read(PARAGRAPH, content)
    assert (span.words, span.rung) == ((0,), "exact")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<think>" + ANSWERS["quotes"], "Invalid JSON"),
        ("<think>" + ANSWERS["quotes"] + "</think>", "Invalid JSON"),
        ('Sure: {"spans": [{"quote": 7}]} and so on', r"spans\.0\.quote: Input should be a valid string"),
        ('{"answer": ' + ANSWERS["quotes"] + "}", "spans: Field required"),
        ('Sure: {"spans": [{"quote": "Mira"},]}', "Invalid JSON"),
        ('{"spans": [{"quote": "Mira"},]}', "Invalid JSON: trailing comma"),
        ("{'spans': []}", "Invalid JSON"),
        ("[" + ANSWERS["quotes"].partition("[")[2][:-2] + "]", "Input should be an object"),
        (ANSWERS["quotes"].replace("1", "1" * 5_000), "Invalid JSON: number out of range"),
        ('{"spans":' * 20_000, "Invalid JSON: recursion limit"),
        ('{"a":' * 5_000 + "x" + ANSWERS["quotes"], "Invalid JSON"),
    ],
)
def test_what_is_in_the_json_is_read_strictly(content: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        FORMATS["quotes"].read(PARAGRAPH, content)


def test_marks_of_thoughts_inside_a_quote_are_part_of_it() -> None:
    paragraph = make_paragraph("p", "It prints <think> and </think> twice.", "What?", "x", narrative="One.")
    content = json.dumps({"spans": [{"quote": "<think> and </think>", "occurrence": 1, "before": "prints"}]})
    for said in (content, f"Sure: {content}", f"<think>{EMPTY['quotes']}</think>{content}"):
        (span,) = FORMATS["quotes"].read(paragraph, said)
        assert (len(span.words), span.rung) == (8, "exact")


def test_half_a_surrogate_pair_in_an_answer_is_one_character_that_is_not_there() -> None:
    for half in ("\\ud83d", "\ud83d", "\\uDE00"):
        content = ANSWERS["quotes"].replace("Mira", f"Mira {half}")
        (span,) = FORMATS["quotes"].read(PARAGRAPH, content)
        assert (span.quote, span.words) == ("Mira \ufffd", (0,))


@pytest.mark.parametrize("open_mark", ["<think>", ""])
def test_thoughts_before_a_tagged_copy_are_left_out(open_mark: str) -> None:
    copy = tagged(PARAGRAPH, [0])
    thoughts = f"{open_mark}<m> opens a mark. <m>Or two?</think>\n"
    for content in (thoughts + copy, f"{thoughts}<think>A <m> again.</think>{copy}"):
        (span,) = FORMATS["tags"].read(PARAGRAPH, content)
        assert (span.words, span.rung) == ((0,), "exact")
    with pytest.raises(FormatError, match="no copy of the text"):
        FORMATS["tags"].read(PARAGRAPH, f"<think>{copy}")
    paragraph = make_paragraph("p", "It prints <think> and </think> twice.", "What?", "x", narrative="One.")
    (span,) = FORMATS["tags"].read(paragraph, tagged(paragraph, [0]))
    assert (span.words, span.rung) == ((0,), "exact")


def test_tag_is_one_that_the_text_does_not_hold() -> None:
    assert tag_name("a <b> b") == "m"
    assert tag_name("a </M> and <m1>") == "m2"
    assert split_tags("<m> <m1>x</m1>", "m1") == ("<m> x", [(4, 5)])
    paragraph = make_paragraph("p", "The <m>moss</m> grows.", "What?", "moss")
    messages = FORMATS["tags"].messages(paragraph)
    assert "<m1>Copper turns green</m1>" in messages[2]["content"]
    assert "Tags to use: <m1> and </m1>" in messages[3]["content"]


def test_a_dropped_tail_is_reported_and_moves_nothing() -> None:
    words = find("moss") + find("x-ray", 1)
    content = tagged(PARAGRAPH, words).split(" of naïve")[0]
    spans = FORMATS["tags"].read(PARAGRAPH, content)
    assert [(span.words, span.rung) for span in spans] == [
        ((words[0],), "exact"),
        ((words[1],), "exact"),
        ((), "unresolved"),
    ]
    assert spans[-1].quote == "of naïve ants.\nWhat does the moss absorb?"


def test_two_words_of_a_copy_with_a_claim_to_one_of_the_text_are_doubtful() -> None:
    paragraph = make_paragraph("p", "copper coper sinks.", "What?", "copper")
    copy = tagged(paragraph, [paragraph.word_texts().index("copper")], lambda text: "coper")
    (span,) = FORMATS["tags"].read(paragraph, copy)
    assert span.rung == "ambiguous"


def test_chatter_around_a_copy_moves_nothing() -> None:
    words = find("moss")
    spans = FORMATS["tags"].read(PARAGRAPH, f"Here is the text:\n{tagged(PARAGRAPH, words)}\nDone.")
    assert [(span.words, span.rung) for span in spans] == [(tuple(words), "exact")]


@pytest.mark.parametrize("name", ["quotes", "indexed"])
def test_a_second_answer_completes_the_first(name: str) -> None:
    form = FORMATS[name]
    placed = LabelSpan(words=(3,), quote="key", rung="exact")
    lost = [LabelSpan(words=(), quote=quote, rung="unresolved") for quote in ("granite", "basalt", "slate")]
    conversation = form.again(PARAGRAPH, "first answer", lost)
    assert conversation[:4] == form.messages(PARAGRAPH)
    assert conversation[4] == {"role": "assistant", "content": "first answer"}
    assert '"granite"\n"basalt"\n"slate"' in conversation[5]["content"]
    found = LabelSpan(words=(5,), quote="moss", rung="exact")
    taken_back = LabelSpan(words=(), quote="", rung="unresolved")
    assert form.merge([placed, *lost], [found, taken_back]) == (placed, found, lost[2])
    assert form.merge([placed, *lost], []) == (placed, *lost)


def test_a_second_copy_stands_for_the_first_unless_it_is_worse() -> None:
    good = LabelSpan(words=(3,), quote="key", rung="exact")
    bad = LabelSpan(words=(), quote="granite", rung="unresolved")
    assert FORMATS["tags"].merge([good, bad], [good]) == (good,)
    assert FORMATS["tags"].merge([good, bad], [bad, bad]) == (good, bad)


def test_real_paragraphs(shared: Path) -> None:
    data = shared / "data"
    source = open_source("local", data / "narrativeqa" / "test.parquet", data / "sciq" / "test.parquet")
    passages = source.passages("test", 60, 0)
    paragraphs, _ = build_dataset(passages.narratives[:40], passages.science[:150], MixOptions(size=60))
    assert len(paragraphs) == 60
    rng = Random(0)
    for paragraph in paragraphs:
        words = [i for i in range(len(paragraph.words)) if rng.random() < 0.2]
        for name, form in FORMATS.items():
            spans = form.read(paragraph, truthful(name, paragraph, words))
            assert words_of(spans) == words, (name, paragraph.id)
            assert all(span.rung in CERTAIN for span in spans)
            lied = form.read(paragraph, lying(name, paragraph, words, lambda text: curl(swap_case(text))))
            assert all(span.rung in REPORTED or set(span.words) <= set(words) for span in lied)
