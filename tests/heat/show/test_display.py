import io
from dataclasses import replace

import pytest
import torch
from fakes.attributions import made
from rich.cells import cell_len
from rich.console import Console

from heat.attribution import Attribution
from heat.show.display import show

TEXT = "The gate :smile: is\n\n\nof iron yes"
SPANS = [(0, 3), (3, 8), (8, 16), (16, 19), (19, 24), (24, 29), (29, 33)]


def shown(attribution: Attribution, *, top: int = 3, **options: object) -> str:
    stream = io.StringIO()
    show(attribution, top, Console(file=stream, highlight=False, **options))  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.fixture
def signed() -> Attribution:
    return made(TEXT, SPANS, [[0.1, 5.0, 0.0, 0.1, 0.0, -4.0, 0.0]])


def test_colours_follow_sign_and_strength(signed: Attribution) -> None:
    text = shown(signed, force_terminal=True, color_system="truecolor", no_color=False, width=80)
    assert "48;2;240;146;79mgate" in text  # three quarters of the orange
    assert "48;2;150;174;234miron" in text  # four fifths of three quarters of the blue
    assert "m[gate]" not in text
    assert "orange speaks for it, blue against" in text


def test_a_pipe_gets_marks_instead_of_colours_and_whole_lines(signed: Attribution) -> None:
    text = shown(signed, width=20)
    assert "\x1b" not in text
    # Neither markup nor emoji codes are read; empty lines collapse to one.
    assert text.splitlines()[:3] == ["The [gate] :smile: is", "", "of [-iron]"]
    assert "probability 0.5   method random   model made by hand\n" in text
    assert "[word] speaks for it, [-word] against" in text
    assert text.splitlines()[-3:] == ["          5  gate", "         -4  iron", "        0.1  The"]


def test_no_color_is_obeyed(signed: Attribution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(signed, force_terminal=True, width=80)
    assert "[gate]" in text
    assert "48;" not in text


def test_a_narrow_terminal_is_not_overrun() -> None:
    text = "The " + "long" * 30 + " 今天很好 yes"
    spans = [(0, 3), (3, 124), *((125 + i, 126 + i) for i in range(4)), (129, 133)]
    attribution = made(text, spans, [[0.0, 5.0, 1.0, 1.0, 1.0, 1.0, 0.0]])
    lines = shown(attribution, force_terminal=True, color_system=None, width=24, height=50).splitlines()
    assert max(map(cell_len, lines)) <= 24
    assert "longlong" in lines[1]
    assert any(line.endswith("…") for line in lines)


def test_components_stand_in_columns_where_there_is_room(signed: Attribution) -> None:
    parts = made(TEXT, SPANS, [[0, 5.0, 0, 0, 0, 0, 0]], components={"information": signed.scores})
    assert "      score  information  word\n          5            5  gate\n" in shown(parts)
    assert "information" not in shown(parts, force_terminal=True, color_system=None, width=40)


def test_a_long_prompt_is_shown_around_what_matters() -> None:
    words = [f"w{index}" for index in range(3000)]
    words[1500] = "middle"
    text = " ".join(words)
    spans = []
    for word in [*words, "yes"]:
        start = spans[-1][1] + 1 if spans else 0
        spans.append((start, start + len(word)))
    scores = [0.0] * 3001
    scores[1500] = 1.0
    found = shown(made(text + " yes", spans, [scores]), top=1)
    assert all(word in found for word in ("w0 ", "[middle]", "w2999", "... 1,"))
    assert len(found) < 5000


def test_control_characters_and_overrides_do_not_reach_the_terminal() -> None:
    attribution = made("a \x1b[31m\u202e b", [(0, 1), (1, 8), (8, 10)], [[1.0, 2.0, 0.0]], model="m\x1b[2J")
    found = shown(attribution)
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert "\\x1b" in found
    assert "m\\x1b[2J" in found


def test_the_target_is_shown_letter_by_letter() -> None:
    assert "-> :smile:[b]\n" in shown(made("go :smile:[b]", [(0, 2), (2, 13)], [[1.0, 0.0]]))


def test_zero_and_lost_scores_are_said() -> None:
    assert "Every word has score 0." in shown(made("go on", [(0, 2), (2, 5)], [[0.0, 0.0]]))
    lost = made("go on", [(0, 0), (0, 2), (2, 5)], [[3.0, 1.0, 0.0]])
    assert "75% of the score lies on tokens that are no word" in shown(lost)


@pytest.mark.parametrize(("share", "noted"), [(0.89, False), (0.91, True)])
def test_a_token_with_nine_tenths_of_the_score_is_named(share: float, noted: bool) -> None:
    rest = (1 - share) / 5
    attribution = made(TEXT, SPANS, [[rest, share, rest, rest, rest, rest, 0.0]])
    line = (
        f"{share:.0%} of the score lies on one token, gate; leave out first and special tokens (--skip-first"
    )
    assert (line in shown(attribution)) == noted


@pytest.mark.parametrize(("log_prob", "noted"), [(-13.8, False), (-13.9, True)])
def test_a_target_that_the_model_would_hardly_say_is_noted(log_prob: float, noted: bool) -> None:
    attribution = made(TEXT, SPANS, [[1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]])
    attribution = replace(attribution, log_probs=torch.tensor([log_prob]))
    assert ("this explains what it would hardly say" in shown(attribution)) == noted
