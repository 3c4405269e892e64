"""Annotators: what each marks and why, how they are named, what replay gives back."""

from __future__ import annotations

import json

import pytest
from fakes.annotated import make_paragraph, make_paragraphs, texts_at
from hypothesis import given
from hypothesis import strategies as st

from annotate.annotators import annotator_names, is_offline, make_annotator
from annotate.annotators.clause import mark_clause
from annotate.annotators.lexical import answer_position, stem, support_sentences
from annotate.annotators.offline import answer_words, read_words
from annotate.annotators.overlap import mark_overlap
from annotate.errors import BenchmarkError, LabelError, UnknownNameError
from annotate.ledger.ledger import Attempt, Ledger
from annotate.protocol import Request, Response
from annotate.words import is_content

FOX = make_paragraph(
    "p1",
    "The otter avoids plums in summer. In dry weather, the fox eats the bitter plum after rain.",
    "Which fruit does the fox eat?",
    "plum",
)


class TestRules:
    def test_overlap_marks_what_question_answer_and_sentence_share(self) -> None:
        # Stems of question and answer: fruit, fox, eat, plum. The second sentence shares fox, eat and plum,
        # the first only plum. "fruit" is not in the sentence, so the question's "fruit" is not marked.
        assert texts_at(FOX, sorted(mark_overlap(FOX))) == ["fox", "eats", "plum", "fox", "eat"]

    def test_clause_marks_the_answering_clause_and_the_question_keys(self) -> None:
        # The clause after the comma holds answer and key words; "In dry weather" holds neither. All its
        # content words count, "bitter" and "rain" too, and so does "fruit" in the question.
        assert texts_at(FOX, sorted(mark_clause(FOX))) == [
            "fox", "eats", "bitter", "plum", "rain", "fruit", "fox", "eat",
        ]  # fmt: skip

    def test_clause_prefers_the_sentence_that_holds_the_answer(self) -> None:
        paragraph = make_paragraph(
            "p1", "The hungry fox eats and eats. Its prey is a vole.", "What does the fox eat?", "vole"
        )
        assert texts_at(paragraph, sorted(mark_clause(paragraph))) == ["prey", "vole", "fox", "eat"]
        assert texts_at(paragraph, sorted(mark_overlap(paragraph))) == ["fox", "eats", "eats", "fox", "eat"]

    def test_narrative_is_never_marked(self) -> None:
        paragraph = make_paragraph(
            "p1", "A vole is small.", "What eats the fox?", "vole", narrative="The fox eats a vole."
        )
        narrative = set(paragraph.words_in("narrative"))
        assert not narrative & (mark_overlap(paragraph) | mark_clause(paragraph))

    def test_evidence_is_not_looked_at(self) -> None:
        told = FOX.model_copy(update={"evidence": (0, 1)})
        assert (mark_overlap(told), mark_clause(told)) == (mark_overlap(FOX), mark_clause(FOX))

    def test_other_scripts_mark_nothing_they_cannot_match(self) -> None:
        paragraph = make_paragraph("p1", "Лиса ест сливу.", "ماذا يأكل الثعلب؟", "сливу")
        assert texts_at(paragraph, sorted(mark_overlap(paragraph))) == ["сливу"]

    @given(st.text(max_size=60), st.text(max_size=40), st.text(max_size=20))
    def test_any_text_gives_content_words(self, support: str, question: str, answer: str) -> None:
        paragraph = make_paragraph("p1", support, question, answer)
        texts = paragraph.word_texts()
        for marked in (mark_overlap(paragraph), mark_clause(paragraph)):
            assert all(is_content(texts[i]) for i in marked)

    def test_stems_meet(self) -> None:
        assert stem("absorbs") == stem("absorbed") == stem("absorb") == stem("Absorbing")
        assert stem("carries") == stem("carry") == stem("carried")
        assert stem("dissolves") == stem("dissolve")
        assert stem("fox's") == stem("fox’s") == stem("fox")
        assert stem("glass") != stem("glas")

    def test_answer_position_needs_whole_words(self) -> None:
        assert answer_position(["The", "Tree", "rings", "grow"], "tree rings") == range(1, 3)
        assert answer_position(["treerings"], "tree rings") is None
        assert answer_position(["a"], "") is None

    def test_sentences_are_of_the_support_alone(self) -> None:
        assert [texts_at(FOX, s)[0] for s in support_sentences(FOX)] == ["The", "In"]

    def test_rules_disagree_but_not_wildly(self) -> None:
        both = first = second = 0
        for paragraph in make_paragraphs(20):
            a, b = mark_overlap(paragraph), mark_clause(paragraph)
            both, first, second = both + len(a & b), first + len(a), second + len(b)
        assert 0.6 < 2 * both / (first + second) < 0.95


class TestReading:
    def test_neighbouring_words_make_one_span(self) -> None:
        reading = read_words(FOX, [answer_words([12, 3, 4])])
        assert reading.status == "ok"
        assert [span.words for span in reading.spans] == [(3, 4), (12,)]
        assert [span.quote for span in reading.spans] == ["lantern.", "otter"]

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            "{",
            "[]",
            "{}",
            '{"words": 3}',
            '{"words": ["a"]}',
            '{"words": [999]}',
            '{"words": [-1]}',
            '{"words": [true]}',
        ],
    )
    def test_a_broken_answer_is_invalid_output(self, raw: str) -> None:
        reading = read_words(FOX, [Response(status="ok", raw=raw)])
        assert reading.status == "invalid_output"
        assert reading.spans == ()

    def test_a_failure_keeps_its_status(self) -> None:
        assert read_words(FOX, [Response(status="refused", detail="no")]).status == "refused"


class TestRequest:
    def test_identity_covers_content_repeat_and_version(self) -> None:
        overlap = make_annotator("overlap")
        base = overlap.request(FOX, 0, [])
        assert base is not None
        others = [
            overlap.request(FOX, 1, []),
            overlap.request(FOX.model_copy(update={"answer": "otter"}), 0, []),
            make_annotator("clause").request(FOX, 0, []),
            make_annotator("mock:seed=1").request(FOX, 0, []),
            make_annotator("mock:seed=2").request(FOX, 0, []),
        ]
        hashes = {request.sha256 for request in [base, *others] if request}
        assert len(hashes) == 6

    def test_identity_does_not_depend_on_the_id(self) -> None:
        overlap = make_annotator("overlap")
        a, b = (overlap.request(FOX.model_copy(update={"id": i}), 0, []) for i in ("p1", "p2"))
        assert a == b

    def test_hash_is_of_canonical_json(self) -> None:
        # sha256 of {"body":{"a":1,"b":2},"repeat":0}
        assert Request({"b": 2, "a": 1}).sha256 == Request({"a": 1, "b": 2}).sha256
        assert Request({"a": 1}).sha256 != Request({"a": 1}, repeat=1).sha256


class TestNames:
    def test_unknown_name_lists_those_that_exist(self) -> None:
        with pytest.raises(UnknownNameError, match="clause, mock, openai, overlap, replay"):
            make_annotator("gpt-4o")
        assert annotator_names() == ["clause", "mock", "openai", "overlap", "replay"]

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("overlap:x=1", "no option"),
            ("mock:nois=1", "there are: noise"),
            ("mock:noise", "no option"),
            ("mock:noise=2", "between 0 and 1"),
            ("mock:noise=nan", "between 0 and 1"),
            ("mock:noise=much", "must be a number"),
            ("mock:fail=-0.1", "between 0 and 1"),
            ("mock:seed=0.5", "whole number"),
            ("mock:delay=-1", "0 or more"),
            ("mock:noise=0,noise=1", "given twice"),
            ("mock:base=replay", "clause, overlap"),
        ],
    )
    def test_bad_options(self, spec: str, message: str) -> None:
        with pytest.raises((LabelError, UnknownNameError), match=message):
            make_annotator(spec)

    def test_a_name_makes_the_same_annotator_again(self) -> None:
        for spec in ("overlap", "clause", "mock", "mock:noise=0.25,base=clause,fail=0.1", "mock:delay=0.1"):
            name = make_annotator(spec, seed=7).name
            assert make_annotator(name).name == name

    def test_seed_is_the_default_of_the_option(self) -> None:
        assert make_annotator("mock", seed=7).name == "mock:noise=0.1,seed=7"
        assert make_annotator("mock:seed=3", seed=7).name == "mock:noise=0.1,seed=3"

    def test_offline_by_name(self) -> None:
        assert all(
            map(is_offline, ("overlap", "clause", "mock:noise=0,seed=1", "replay:mock:noise=0,seed=0"))
        )
        assert not any(map(is_offline, ("openai:gpt-4o", "replay:openai:gpt-5", "overlapping")))


class TestMock:
    def words(self, spec: str, repeat: int = 0, seed: int = 0) -> list[set[int]]:
        annotator = make_annotator(spec, seed)
        marked = []
        for paragraph in make_paragraphs(60):
            request = annotator.request(paragraph, repeat, [])
            assert request is not None
            marked.append(set(json.loads(annotator.annotate(paragraph, request).raw)["words"]))
        return marked

    def test_no_noise_is_the_base(self) -> None:
        assert self.words("mock:noise=0") == [mark_overlap(p) for p in make_paragraphs(60)]
        assert self.words("mock:noise=0,base=clause") == [mark_clause(p) for p in make_paragraphs(60)]

    def test_full_noise_is_the_complement_of_the_base_among_content_words(self) -> None:
        for paragraph, marked in zip(make_paragraphs(60), self.words("mock:noise=1"), strict=True):
            content = {i for i, text in enumerate(paragraph.word_texts()) if is_content(text)}
            assert marked == content - mark_overlap(paragraph)

    def test_noise_has_its_rate(self) -> None:
        flips = words = 0
        for paragraph, marked in zip(make_paragraphs(60), self.words("mock:noise=0.2"), strict=True):
            flips += len(marked ^ mark_overlap(paragraph))
            words += sum(map(is_content, paragraph.word_texts()))
        # About 1,900 words: the standard deviation of the share is sqrt(.2 * .8 / 1900) = 0.009.
        assert abs(flips / words - 0.2) < 0.04

    def test_seeded_by_seed_text_and_repeat(self) -> None:
        assert self.words("mock") == self.words("mock")
        assert self.words("mock") != self.words("mock", seed=1)
        assert self.words("mock") != self.words("mock", repeat=1)

    def test_failures_have_their_rate_and_carry_no_answer(self) -> None:
        annotator = make_annotator("mock:fail=0.5")
        responses = [annotator.annotate(p, Request({})) for p in make_paragraphs(200)]
        failed = [response for response in responses if response.status != "ok"]
        assert 70 < len(failed) < 130
        assert len({response.status for response in failed}) == 5
        assert all(response.raw == "" and response.detail for response in failed)


class TestReplay:
    def test_gives_back_what_was_recorded_and_misses_the_rest(self, tmp_path) -> None:
        known, unknown = make_paragraphs(2)
        inner = make_annotator("mock:seed=4")
        request = inner.request(known, 0, [])
        assert request is not None
        recorded = inner.annotate(known, request).model_copy(update={"model": "m-1", "cost_usd": 0.25})
        record(tmp_path / "old.jsonl", inner.name, known, request, recorded)
        replay = make_annotator(f"replay:{tmp_path / 'old.jsonl'}")
        assert replay.name == "replay:mock:noise=0.1,seed=4"
        assert replay.request(known, 0, []) == request
        assert replay.annotate(known, request) == recorded
        assert replay.read(known, [recorded]) == inner.read(known, [recorded])
        other = inner.request(unknown, 0, [])
        assert other is not None
        assert replay.annotate(unknown, other).status == "missing"

    def test_replay_of_a_replay_is_a_replay_of_the_first(self, tmp_path) -> None:
        paragraph = make_paragraphs(1)[0]
        request = make_annotator("overlap").request(paragraph, 0, [])
        assert request is not None
        record(tmp_path / "old.jsonl", "replay:overlap", paragraph, request, answer_words([1]))
        replay = make_annotator(f"replay:{tmp_path / 'old.jsonl'}")
        assert replay.name == "replay:overlap"
        assert replay.annotate(paragraph, request) == answer_words([1])

    def test_a_ledger_of_several_needs_a_name(self, tmp_path) -> None:
        path = tmp_path / "old.jsonl"
        paragraph = make_paragraphs(1)[0]
        for name in ("overlap", "clause"):
            request = make_annotator(name).request(paragraph, 0, [])
            assert request is not None
            record(path, name, paragraph, request, answer_words([1]))
        with pytest.raises(
            LabelError, match="2 annotators; add one of: ,annotator=clause, ,annotator=overlap"
        ):
            make_annotator(f"replay:{path}")
        assert make_annotator(f"replay:{path},annotator=clause").name == "replay:clause"
        with pytest.raises(UnknownNameError, match="clause, overlap"):
            make_annotator(f"replay:{path},annotator=mock")

    def test_missing_or_empty_file(self, tmp_path) -> None:
        with pytest.raises(BenchmarkError, match="does not exist"):
            make_annotator(f"replay:{tmp_path / 'none.jsonl'}")
        with pytest.raises(LabelError, match=r"replay:old/ledger\.jsonl"):
            make_annotator("replay")
        (tmp_path / "empty.jsonl").touch()
        with pytest.raises(LabelError, match="holds no answers"):
            make_annotator(f"replay:{tmp_path / 'empty.jsonl'}")


def record(path, annotator: str, paragraph, request: Request, response: Response) -> None:
    with Ledger(path) as ledger:
        ledger.append(
            Attempt(
                **response.model_dump(),
                schema_version=1,
                request_sha256=request.sha256,
                annotator=annotator,
                paragraph_id=paragraph.id,
                text_sha256=paragraph.text_sha256,
                repeat=request.repeat,
                attempt=1,
            )
        )
