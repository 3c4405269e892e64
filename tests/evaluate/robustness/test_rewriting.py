"""Edits and paraphrases: what they say, and which word is which."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import heat
from annotate.sources.sample import sample_passages
from annotate.words import split_words
from evaluate.errors import EvaluateError
from evaluate.robustness.edits import EDITS
from evaluate.robustness.lemma import align, lemma
from evaluate.robustness.llm import Asking
from evaluate.robustness.paraphrase import paraphraser, paraphrases
from evaluate.robustness.rewriting import Change, Rewriting, rewritten
from evaluate.robustness.rules import RULES, RuleParaphraser, clause, contraction, voice
from evaluate.robustness.sample import SampleParaphraser
from evaluate.tasks.catalog import load_task
from evaluate.tasks.task import Example

CUE = "\nAnswer:"


def asked(text: str) -> Example:
    return Example(id="x", prompt=text + CUE, target=" a", words=split_words(text))


def words(example: Example, indices: object = None) -> list[str]:
    return [example.prompt[a:b] for a, b in example.words]


def said(rewriting: Rewriting | None) -> str:
    assert rewriting is not None
    return rewriting.example.prompt.removesuffix(CUE)


def paired(example: Example, rewriting: Rewriting) -> list[tuple[str, str]]:
    old, new = words(example), words(rewriting.example)
    return [(old[i], new[j]) for i, j in rewriting.pairs]


def test_a_change_shifts_what_follows() -> None:
    example = asked("One two three. Who?")
    found = rewritten(example, "made", [Change(4, 7, "2nd of", (((4, 7), (0, 6)),)), Change(0, 0, "Well, ")])
    assert said(found) == "Well, One 2nd of three. Who?"
    assert words(found.example) == ["Well", ",", "One", "2nd of", "three", ".", "Who", "?"]
    assert found.pairs == ((0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7))
    assert rewritten(example, "made", [Change(0, 3, "One")]) is None
    assert rewritten(example, "cut", [Change(1, 5, "x")]) is None


TEXT = "Many researchers agree, as ever. Tom ran home.\nIt rained. The Queen talks.\nWho ran home?"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("synonym", "Numerous scientists concur, as ever. Tom ran home.\nIt rained. The Queen speaks.\nWho ran home?"),
        ("case", "many researchers agree, as ever. tom ran home.\nit rained. the queen talks.\nWho ran home?"),
        ("punctuation", "Many researchers agree as ever. Tom ran home.\nIt rained. The Queen talks.\nWho ran home?"),
        ("order", "Tom ran home. Many researchers agree, as ever.\nThe Queen talks. It rained.\nWho ran home?"),
    ],
)  # fmt: skip
def test_edits(edit: str, expected: str) -> None:
    example = asked(TEXT)
    found = EDITS[edit](example)
    assert said(found) == expected
    same = [(a, b) for a, b in paired(example, found) if a.lower() != b.lower()]
    assert same == {
        "synonym": [("Many", "Numerous"), ("researchers", "scientists"), ("agree", "concur"), ("talks", "speaks")],
    }.get(edit, [])  # fmt: skip
    assert len(found.pairs) == len(example.words) - (edit == "punctuation")


def test_a_distractor_is_put_behind_the_first_line() -> None:
    example = asked(TEXT)
    found = EDITS["distractor"](example)
    first, second, third = said(found).split("\n")
    assert first.startswith("Many researchers agree, as ever. Tom ran home. ")
    assert (second, third) == ("It rained. The Queen talks.", "Who ran home?")
    assert all(a == b for a, b in paired(example, found))
    assert len(found.pairs) == len(example.words)


def test_the_question_is_never_edited_and_a_lone_sentence_neither() -> None:
    assert all(edit(asked("Many researchers agree.")) is None for edit in EDITS.values())


@given(st.text(st.sampled_from("ab. ,\n!?’éß🙂1A"), min_size=1, max_size=60))
def test_any_text_keeps_words_in_order_and_pairs_one_to_one(text: str) -> None:
    spans = split_words(text)
    if not spans:
        return
    example = Example(id="x", prompt=text + CUE, target=" a", words=spans)
    for edit in [*EDITS.values()]:
        found = edit(example)
        if found is None:
            continue
        assert len({i for i, _ in found.pairs}) == len({j for _, j in found.pairs}) == len(found.pairs)
        assert found.example.prompt.endswith(CUE)
        if edit in (EDITS["order"], EDITS["distractor"]):
            assert all(a == b for a, b in paired(example, found))
            assert len(found.pairs) == len(example.words)


def rewrite(example: Example) -> dict[str, Rewriting]:
    return {each.name: each for each in SampleParaphraser().rewrite([example])[0]}


def test_the_sample_world_is_said_in_its_paired_forms() -> None:
    example = asked(
        "With little loss, the ant carries the gout. It is the gout that the bee carries in dry weather.\n"
        "Tom sleeps.\nBy which insect is the gout carried?"
    )
    found = rewrite(example)
    tail = "\nTom sleeps.\nBy which insect is the gout carried?"
    assert said(found["voice"]) == (
        "With little loss, the gout is carried by the ant. It is the gout that the bee carries in dry weather."
        + tail
    )
    assert said(found["cleft"]) == (
        "It is the gout that the ant carries with little loss. The bee carries the gout in dry weather."
        + tail
    )
    assert said(found["fronting"]) == (
        "The ant carries the gout with little loss. It is the gout that the bee carries in dry weather."
        + tail
    )
    assert said(found["question"]).endswith("\nTom sleeps.\nWhich insect carries the gout?")
    assert paired(example, found["voice"])[:10] == [
        ("With", "With"), ("little", "little"), ("loss", "loss"), ("the", "the"), ("ant", "ant"),
        ("carries", "carried"), ("the", "the"), ("gout", "gout"), (".", "."), ("It", "It"),
    ]  # fmt: skip
    old, new = dict(enumerate(words(example))), words(found["voice"].example)
    assert [new[j] for i, j in found["voice"].pairs if old[i] == "ant"] == ["ant"]


def test_voice_and_fronting_there_and_back_is_the_same_text() -> None:
    task = load_task("curated", gold="none", limit=25)
    for example in task.examples:
        for name, there in rewrite(example).items():
            old = [each.lower() for each in words(example)]
            new = [each.lower() for each in words(there.example)]
            assert len(there.pairs) > 0.8 * len(old)
            if name in ("voice", "fronting", "question"):
                back = rewrite(there.example)[name]
                assert back.example.prompt == example.prompt
                assert tuple((j, i) for i, j in sorted(back.pairs, key=lambda pair: pair[1])) == there.pairs
            for i, j in there.pairs:
                # Nouns and phrases are themselves; verbs change their form.
                assert old[i] == new[j] or lemma(old[i])[:2] == lemma(new[j])[:2] or name != "fronting"


def test_every_fact_of_the_sample_world_can_be_read_back() -> None:
    from evaluate.robustness.sample import _forms, _read, _say

    _, science = sample_passages(seed=3, narratives=0, science=60)
    for row in science:
        for sentence in row.support.split(". "):
            reading = _read(sentence.removesuffix(".") + ".", "facts")
            assert reading is not None
            assert (
                _say(_forms("facts")[reading.form].text, reading.words)[0] == sentence.removesuffix(".") + "."
            )
        assert _read(row.question, "questions") is not None


@pytest.mark.parametrize(
    ("rule", "one", "other"),
    [
        (contraction, "He didn't see that they're here.", "He did not see that they are here."),
        (contraction, "Don't go.", "Do not go."),
        (clause, "She cried because the cat was gone.", "Because the cat was gone, she cried."),
        (clause, "When it rained, Tom ran home.", "Tom ran home when it rained."),
        (voice, "The dog chased the cat in the garden.", "The cat was chased by the dog in the garden."),
        (voice, "Tom visited his cousins.", "His cousins were visited by Tom."),
        (voice, "They painted a house.", "A house was painted by them."),
    ],
)
def test_rules_there_and_back(rule: object, one: str, other: str) -> None:
    assert rule(one) == other
    assert rule(other) == one


@pytest.mark.parametrize(
    "sentence",
    [
        "He asked her, when it rained, because of Tom.",
        "Tom ran.",
        "She cried because sad.",
        'He said "stop" before the bell rang twice.',
        "The dog was tired.",
    ],
)
def test_rules_leave_alone_what_they_cannot_read(sentence: str) -> None:
    assert all(rule(sentence) == sentence for rule in RULES.values())


def test_rules_align_by_lemma() -> None:
    example = asked("The dog chased the cat.\nWho chased it?")
    (found,) = RuleParaphraser().rewrite([example])[0]
    assert found.name == "voice"
    assert said(found) == "The cat was chased by the dog.\nWho chased it?"
    pairs = paired(example, found)
    assert ("dog", "dog") in pairs
    assert ("chased", "chased") in pairs
    assert len(pairs) == len(example.words)


@pytest.mark.parametrize(
    "family",
    [
        ("stopped", "stops", "stopping", "stop"),
        ("chased", "chases", "chase"),
        ("Tries", "tried", "try"),
        ("cat's", "Cat"),
    ],
)
def test_lemmas_that_meet(family: tuple[str, ...]) -> None:
    assert len({lemma(word) for word in family}) == 1


def test_lemmas_that_stay_apart() -> None:
    assert len({lemma(word) for word in ("glass", "gla", "his", "is", "the", "these", "red", "bed")}) == 8


def test_only_lemmas_that_occur_as_often_are_aligned() -> None:
    assert align(["a", "dog", "saw", "a", "cat"], ["dogs", "a", "cat", "a", "a"]) == [(1, 0), (4, 2)]


def test_of_two_rewritings_of_a_kind_the_first_paraphraser_s_counts() -> None:
    example = asked("The dog chased the cat. The ant carries the gout in dry weather.\nWho?")
    for names in (("sample", "rules"), ("rules", "sample")):
        asked_both = [paraphraser(name, Path(), Asking()) for name in names]
        found = {each.name: each for each in paraphrases(asked_both, [example])[0]}
        assert ("chased by" in said(found["voice"])) == (names[0] == "rules")
    with pytest.raises(EvaluateError, match="there are: sample, rules"):
        paraphraser("nobody", Path(), Asking())


def test_the_embedded_reader_stands_by_its_answer_without_commas() -> None:
    lm = heat.load()

    def first(prompt: str) -> int:
        said = heat.encode(lm, prompt, None, max_targets=1)
        return said.token_ids[said.n_prompt]

    examples = load_task("curated", gold="none").examples[:20]
    edited = [(each, made) for each in examples if (made := EDITS["punctuation"](each)) is not None]
    assert len(edited) >= 15
    assert sum(first(each.prompt) == first(made.example.prompt) for each, made in edited) >= len(edited) - 1
