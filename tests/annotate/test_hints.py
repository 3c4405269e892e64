"""What a command says to do next can be copied whole."""

from pathlib import Path

import pytest

from annotate.benchmark import command_on


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("curated", "annotate agreement"),
        ("real", "annotate agreement --benchmark real"),
        ("my data/real", "annotate agreement --benchmark 'my data/real'"),
    ],
)
def test_the_benchmark_is_named_unless_it_is_the_default(folder: str, line: str) -> None:
    assert command_on("agreement", Path(folder)) == line


def test_options_stay() -> None:
    line = command_on("adjudicate --rule reviewed", Path("real"))
    assert line == "annotate adjudicate --rule reviewed --benchmark real"
