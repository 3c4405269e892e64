"""What the model itself says, and how right that is."""

import math
from itertools import takewhile

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from evaluate.pipeline import answers
from evaluate.pipeline.answers import answer_in, exact_match, normalised, own_answers, probabilities, token_f1
from evaluate.tasks.task import Example
from heat.offsets import decode


@pytest.mark.parametrize(
    ("answer", "gold", "match", "f1"),
    [
        (" the Copper.", "copper", True, 1.0),
        ("copper and tin", "copper", False, 0.5),  # precision 1/3, recall 1
        ("tin", "copper", False, 0.0),
        ("", "copper", False, 0.0),
        ("the", "a", False, 0.0),
        ("in in the old mill", "in the mill", False, 2 * 2 / 6),  # in, mill of {in in old mill} and {in mill}
    ],
)
def test_answers_are_judged_as_squad_does(answer: str, gold: str, match: bool, f1: float) -> None:
    assert exact_match(answer, gold) is match
    assert token_f1(answer, gold) == pytest.approx(f1)
    assert token_f1(gold, answer) == pytest.approx(f1)


def test_normalising_takes_case_punctuation_articles_and_space() -> None:
    assert normalised("  The  U.S. An' a  cat! ") == "us cat"


def test_probability_is_that_of_all_target_tokens() -> None:
    lm = tiny_lm("llama")
    encoded = heat.encode(lm, "The gate is made of", " iron and tin")
    ids = torch.tensor([encoded.token_ids])
    with torch.no_grad():
        log_probs = lm.model(ids).logits[0].double().log_softmax(-1)
    expected = sum(
        float(log_probs[at - 1, encoded.token_ids[at]])
        for at in range(encoded.n_prompt, len(encoded.token_ids))
    )
    assert encoded.n_targets > 1
    other = heat.encode(lm, "Ann had wood. The gate", " is")
    alone = probabilities(lm, [other])
    assert probabilities(lm, [encoded, other]) == pytest.approx([math.exp(expected), *alone], rel=1e-4)


def example(**fields: object) -> Example:
    values = {
        "id": "e",
        "prompt": "What is it?\nAnswer:",
        "target": " a red fox",
        "words": ((0, 4),),
        "body": (0, 11),
    }
    return Example.model_validate({**values, **fields})


@pytest.mark.parametrize(
    ("said", "fields", "answer"),
    [
        (" a fox\nNext question", {}, " a fox"),
        ("\n\n a fox\nNext", {}, "\n\n a fox"),
        ("a fox\nwith a tail", {"special_tokens": False}, "a fox\nwith a tail"),
        (" one two three four", {"body": None}, " one two three"),
        (" one", {"body": None}, " one"),
        ("", {}, ""),
        ("   ", {}, ""),
    ],
)
def test_where_an_answer_ends(said: str, fields: dict[str, object], answer: str) -> None:
    assert answer_in(said, example(**fields)) == answer


def asked(prompt: str, target: str = " iron", **fields: object) -> Example:
    return example(prompt=prompt, target=target, body=(0, len(prompt)), words=((0, 3),), **fields)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom", "gemma2", "mamba"])
def test_answers_are_what_the_model_says_greedily_and_fit_its_context(family: str) -> None:
    lm = tiny_lm(family)
    examples = [
        asked("The vault is made of copper. The gate is made of"),
        asked("Ann took a knife, and Tom had wood. What did Tom have?\nAnswer:", id="f"),
        asked("Tin.", id="g"),
    ]
    encodings = [heat.encode(lm, one.prompt, one.target) for one in examples]
    found = own_answers(lm, examples, encodings)
    config = lm.model.generation_config
    assert lm.tokenizer is not None
    ends = {lm.tokenizer.eos_token_id, None if config is None else config.eos_token_id}
    for one, encoded, own in zip(examples, encodings, found, strict=True):
        room = answers.ANSWER_TOKENS
        if lm.context_length is not None:
            room = min(room, lm.context_length - encoded.n_prompt)
        # Step by step without a cache, and nobody else in the batch.
        greedy = heat.encode(lm, encoded.token_ids[: encoded.n_prompt], None, max_targets=room)
        assert own.first == greedy.token_ids[encoded.n_prompt]
        said = list(takewhile(lambda token: token not in ends, greedy.token_ids[encoded.n_prompt :]))
        head = list(encoded.token_ids[: encoded.n_prompt])
        text = decode(lm.tokenizer, head + said).removeprefix(decode(lm.tokenizer, head))
        assert answer_in(text, one) == own.text
    assert any(own.text.strip() for own in found)


def test_a_token_that_ends_at_once_is_the_first_one() -> None:
    lm = tiny_lm("llama")
    one = asked("The vault is made of copper. The gate is made of")
    encoded = heat.encode(lm, one.prompt, one.target)
    (own,) = own_answers(lm, [one], [encoded])
    config = lm.model.generation_config
    assert config is not None
    given = config.eos_token_id
    try:
        config.eos_token_id = own.first
        (ended,) = own_answers(lm, [one], [encoded])
    finally:
        config.eos_token_id = given
    assert (ended.first, ended.text) == (own.first, "")
