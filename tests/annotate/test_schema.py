import pytest
from pydantic import ValidationError

from annotate.schema import Gold, GoldWord, Label, Paragraph, Segment, text_hash


def paragraph(**fields: object) -> Paragraph:
    text = "ab cd\nef gh"
    plain = {
        "id": "p1",
        "text": text,
        "segments": (
            Segment(role="support", start=0, end=5, source="s", split="test", row=0),
            Segment(role="question", start=6, end=11, source="s", split="test", row=0),
        ),
        "question": "ef gh",
        "answer": "ab",
        "words": ((0, 2), (3, 5), (6, 8), (9, 11)),
        "word_rule": "regex-1",
        "evidence": (0, 3),
        "text_sha256": text_hash(text),
    }
    return Paragraph.model_validate(plain | fields)


def test_words_of_a_segment() -> None:
    assert paragraph().words_in("question") == [2, 3]
    assert paragraph().word_texts() == ["ab", "cd", "ef", "gh"]
    assert Paragraph.model_validate_json(paragraph().model_dump_json()) == paragraph()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "ab cd\nef gx"}, "checksum"),
        ({"words": ((0, 2), (1, 5))}, "out of order"),
        ({"words": ((0, 2), (3, 12))}, "out of range"),
        ({"evidence": (4,)}, "does not exist"),
        ({"unknown": 1}, "Extra inputs"),
        ({"schema_version": 2}, "Input should be 1"),
    ],
)
def test_a_wrong_paragraph_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        paragraph(**fields)


def test_a_failure_is_never_an_empty_label() -> None:
    failed = Label(paragraph_id="p1", text_sha256="0", annotator="a", status="refused")
    assert failed.words == ()
    with pytest.raises(ValidationError, match="carries words"):
        Label(paragraph_id="p1", text_sha256="0", annotator="a", status="refused", words=(1,))


def test_gold_indices() -> None:
    words = (GoldWord(index=1, origin="agreed"), GoldWord(index=3, origin="union"))
    gold = Gold(paragraph_id="p1", text_sha256="0", rule="union", annotators=("a",), words=words)
    assert gold.indices() == [1, 3]
