"""Model profiles: which one a model gets, what an attempt costs, what is said of a model being shut down."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from annotate.online.profiles import ModelProfile, cost_usd, profile, profile_place, retirement
from annotate.protocol import Usage


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-5.1", "gpt-5.1"),
        ("gpt-5-mini", "gpt-5-mini"),
        ("gpt-5-pro", ""),
        ("gpt-4o-audio-preview", ""),
        ("llama3", ""),
    ],
)
def test_a_snapshot_has_the_profile_of_its_model_and_another_model_has_none(model, name) -> None:
    assert profile(model).name == name
    assert profile(model).known == bool(name)


def test_a_snapshot_with_a_profile_of_its_own_has_that(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("gpt-4o-2024-05-13", "gpt-4o")
    table = {name: ModelProfile(name=name) for name in names}
    monkeypatch.setattr("annotate.online.profiles._profiles", lambda path: table)
    assert profile("gpt-4o-2024-05-13").name == "gpt-4o-2024-05-13"
    assert profile("gpt-4o-2024-08-06").name == "gpt-4o"


def test_the_cost_worked_out_by_hand() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=400, output_tokens=200, reasoning_tokens=150)
    # gpt-5: 600 x 1.25 + 400 x 0.125 + 200 x 10 = 750 + 50 + 2000 = 2800 dollars a million
    assert cost_usd(usage, profile("gpt-5")) == pytest.approx(0.0028)
    assert cost_usd(usage, profile("gpt-5"), batch=True) == pytest.approx(0.0014)


def test_an_unknown_cost_is_none_and_never_nothing() -> None:
    assert cost_usd(Usage(input_tokens=1), ModelProfile()) is None
    assert cost_usd(None, profile("gpt-4o")) is None
    assert cost_usd(Usage(input_tokens=1), profile("gpt-5-nano")) is None


def test_a_model_being_shut_down_is_announced_with_its_date() -> None:
    assert "2026-12-11 (in 1 days" in retirement("gpt-5", date(2026, 12, 10))
    assert "(already" in retirement("gpt-5", date(2026, 12, 11))
    assert retirement("gpt-5.2", date(2026, 12, 11)) == ""
    assert retirement("llama3", date(2026, 12, 11)) == ""


def test_the_line_to_edit_is_the_line_of_the_field() -> None:
    path, _, number = profile_place("gpt-5-2025-08-07", "temperature").rpartition(" line ")
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    assert lines[int(number) - 1] == 'temperature = "never"'
    assert lines[int(number) - 2] == '[models."gpt-5"]'
    assert "add window" in profile_place("gpt-5.5", "window")
    assert '[models."llama3"]' in profile_place("llama3", "input")


def test_every_profile_offers_the_effort_it_sends_unasked() -> None:
    for model in ("gpt-4o", "gpt-5", "gpt-5.5", "gpt-6.1-sol", "gpt-6-luna"):
        found = profile(model)
        assert found.default_effort in (found.efforts or ("",))
        assert found.temperature != "effort_none" or "none" in found.efforts
