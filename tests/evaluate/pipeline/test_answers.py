"""What the model itself says, and how right that is."""

import math

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from evaluate.pipeline import answers
from evaluate.pipeline.answers import exact_match, normalised, own_answer, probability, token_f1
from evaluate.tasks.task import Example


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
    assert probability(lm, encoded) == pytest.approx(math.exp(expected), rel=1e-4)


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
def test_where_an_answer_ends(
    monkeypatch: pytest.MonkeyPatch, said: str, fields: dict[str, object], answer: str
) -> None:
    monkeypatch.setattr(answers, "generate", lambda *args, **options: said)
    lm, asked = tiny_lm("llama"), example(**fields)
    assert own_answer(lm, asked, heat.encode(lm, asked.prompt, asked.target)) == answer


def test_an_answer_is_what_the_model_says_greedily_and_fits_its_context() -> None:
    lm = tiny_lm("llama")
    prompt = "The vault is made of copper. The gate is made of"
    asked = example(prompt=prompt, target=" iron", body=(0, len(prompt)), words=((0, 3),))
    encoded = heat.encode(lm, prompt, " iron")
    found = own_answer(lm, asked, encoded)
    assert lm.context_length is not None
    room = min(answers.ANSWER_TOKENS, lm.context_length - encoded.n_prompt)
    greedy = heat.encode(lm, prompt, None, max_targets=room)
    assert (greedy.text[len(prompt) :]).lstrip().startswith(found.strip())
    assert found.strip()
