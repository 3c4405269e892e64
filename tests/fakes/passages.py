"""Small passages to build benchmarks from."""

from annotate.schema import Narrative, Science

NOUNS = ["otter", "lamp", "tower", "river", "violin", "garden", "letter", "bridge", "candle", "market"]


def narrative(row: int, sentences: int = 6) -> Narrative:
    """A document whose sentences all differ from those of other rows."""
    text = " ".join(
        f"Person{row} takes item{row}x{i} from the {NOUNS[(row + i) % 10]} of place{row}x{i}."
        for i in range(sentences)
    )
    return Narrative(source="test", split="test", row=row, document_id=f"d{row}", title=f"T{row}", text=text)


def science(row: int) -> Science:
    """A row whose evidence is the words ``animalN`` and ``foodN``."""
    support = f"Many see that animal{row} eats food{row} in winter{row}. Also thing{row} is near place{row}."
    question = f"What does animal{row} eat?"
    return Science(
        source="test",
        split="test",
        row=row,
        question=question,
        answer=f"food{row}",
        support=support,
        support_evidence=tuple(
            (support.index(word), support.index(word) + len(word)) for word in (f"animal{row}", f"food{row}")
        ),
        question_evidence=((question.index("animal"), question.index(" eat")),),
    )


def real_science(row: int, **fields: str) -> Science:
    """A row without constructed evidence."""
    plain = {
        "question": f"What does animal{row} eat?",
        "answer": f"food{row}",
        "support": science(row).support,
    }
    return Science(source="test", split="test", row=row, **(plain | fields))  # type: ignore[arg-type]
