"""What stored results hang on does not change by accident: each method's options and their values, and its cost."""

import re
from pathlib import Path

import pytest
from fakes.golden import check_golden

import heat

DOCS = Path(__file__).parents[2] / "docs" / "methods.md"


def test_options_and_costs_of_every_method_are_as_they_were() -> None:
    ready = {name: method() for name, method in heat.methods().items() if not name.startswith("test-")}
    check_golden(
        "methods",
        {name: {"config": each.config(), "costs": each.costs(100, 1)} for name, each in ready.items()},
    )


@pytest.mark.parametrize("name", [name for name in heat.methods() if not name.startswith("test-")])
def test_every_method_has_its_row_in_the_docs(name: str) -> None:
    assert re.search(rf"^(\| |\*\*)`{name}`", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
