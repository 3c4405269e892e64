"""What stored results hang on does not change by accident: each method's options and their values, and its cost."""

from fakes.golden import check_golden

import heat


def test_options_and_costs_of_every_method_are_as_they_were() -> None:
    ready = {name: method() for name, method in heat.methods().items() if not name.startswith("test-")}
    check_golden(
        "methods",
        {name: {"config": each.config(), "costs": each.costs(100, 1)} for name, each in ready.items()},
    )
