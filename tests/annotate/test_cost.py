"""Sums over a ledger, against sums made by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import annotate

from annotate.ledger.ledger import Attempt, Ledger
from annotate.money.cost import CostRow, Spending, cost
from annotate.money.tables import describe_cost
from annotate.protocol import Usage


def attempt(status: str = "ok", usage: tuple[int, int, int, int] | None = None, **fields: Any) -> Attempt:
    named = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    plain = {
        "schema_version": 1,
        "request_sha256": "0" * 64,
        "annotator": "openai:m",
        "paragraph_id": "p00000",
        "text_sha256": make_paragraphs(1)[0].text_sha256,
        "repeat": 0,
        "attempt": 1,
        "status": status,
        "model": "m-1",
        "usage": Usage(**dict(zip(named, usage, strict=True))) if usage else None,
    }
    return Attempt(**(plain | fields))


LEDGER = [
    attempt(usage=(100, 40, 30, 10), cost_usd=0.25),
    attempt(usage=(100, 0, 50, 20), cost_usd=0.5),
    attempt(usage=(10, 0, 5, 0), cost_usd=0.125, batch_id="b1"),
    attempt("truncated", usage=(100, 0, 900, 900), cost_usd=2.0, http=200),
    attempt("error", model="", http=429),
    attempt("error", model="", detail="timeout"),
    attempt("error", model="", code="unreachable"),
    attempt(usage=(7, 0, 7, 0), model="unpriced"),
    attempt(usage=(9, 9, 9, 9), cost_usd=9.0, annotator="replay:openai:m"),
    attempt(annotator="mock:noise=0.1,seed=0", model=""),
]


def spent(*counts: int, usd: float = 0.0, unpriced: int = 0, rejected: int = 0) -> Spending:
    attempts, sent, cached, received, reasoning = counts
    return Spending(
        attempts=attempts,
        input_tokens=sent,
        cached_tokens=cached,
        output_tokens=received,
        reasoning_tokens=reasoning,
        usd=usd,
        unpriced=unpriced,
        rejected=rejected,
    )


class TestSums:
    def test_rows(self) -> None:
        def row(annotator: str, model: str, way: str, status: str, sums: Spending) -> CostRow:
            return CostRow.model_validate(
                {"annotator": annotator, "model": model, "way": way, "status": status, "spent": sums}
            )

        assert cost(LEDGER).rows == (
            row("mock:noise=0.1,seed=0", "", "offline", "ok", spent(1, 0, 0, 0, 0)),
            row("openai:m", "", "online", "error", spent(3, 0, 0, 0, 0, unpriced=1, rejected=2)),
            row("openai:m", "m-1", "batch", "ok", spent(1, 10, 0, 5, 0, usd=0.125)),
            row("openai:m", "m-1", "online", "ok", spent(2, 200, 40, 80, 30, usd=0.75)),
            row("openai:m", "m-1", "online", "truncated", spent(1, 100, 0, 900, 900, usd=2.0)),
            row("openai:m", "unpriced", "online", "ok", spent(1, 7, 0, 7, 0, unpriced=1)),
            row("replay:openai:m", "m-1", "replayed", "ok", spent(1, 9, 9, 9, 9, usd=9.0)),
        )

    def test_totals_leave_out_what_is_free_or_was_paid_elsewhere(self) -> None:
        sums = cost(LEDGER)
        assert sums.total == spent(8, 317, 40, 992, 930, usd=2.875, unpriced=2, rejected=2)
        assert sums.online == spent(7, 307, 40, 987, 930, usd=2.75, unpriced=2, rejected=2)
        assert sums.batch == spent(1, 10, 0, 5, 0, usd=0.125)
        assert sums.failures == spent(4, 100, 0, 900, 900, usd=2.0, unpriced=1, rejected=2)

    def test_an_unknown_price_is_said(self) -> None:
        lines = describe_cost(cost(LEDGER), cost([]))
        assert lines[0] == (
            "paid: $2.8750 (online $2.7500, batch $0.1250);"
            " of it $2.0000 for 4 attempts that brought no answer"
        )
        assert lines[1].startswith("not in these sums: 2 attempts whose price is unknown")
        assert lines[2].startswith(
            "nor 2 that the server turned down (HTTP 4xx, 5xx) or that never reached it"
        )

    def test_many_small_prices_are_summed_exactly(self) -> None:
        assert cost([attempt(cost_usd=0.1) for _ in range(10)]).total.usd == 1.0  # sum() gives 0.9999...


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        benchmark = make_benchmark(tmp_path / "curated", make_paragraphs(3))
        with Ledger(benchmark.ledger) as ledger:
            for row in LEDGER:
                ledger.append(row)
        return tmp_path

    def test_table(self, folder) -> None:
        done = annotate(folder, "cost")
        assert done.returncode == 0
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
        assert ["m-1", "online", "ok", "2", "200", "40", "80", "30", "0.7500"] in rows
        assert ["-", "online", "error", "3", "0", "0", "0", "0", "1 unknown + 2 rejected"] in rows
        assert "free" in done.stdout
        assert done.stdout.splitlines()[-3].startswith("paid: $2.8750")

    def test_json(self, folder) -> None:
        done = annotate(folder, "cost", "--json")
        assert json.loads(done.stdout)["total"]["usd"] == 2.875
        assert done.stderr == ""

    def test_a_pilot_is_told_apart(self, folder) -> None:
        with Ledger(folder / "curated" / "pilot" / "ledger.jsonl") as ledger:
            ledger.append(LEDGER[0])
            ledger.append(LEDGER[5])
        done = annotate(folder, "cost")
        assert done.stdout.splitlines()[-4].startswith("paid: $2.8750")
        assert done.stdout.splitlines()[-1] == (
            "beside it: $0.2500 and 1 attempts of unknown price for annotate pilot, in a ledger of its own"
        )
        assert json.loads(annotate(folder, "cost", "--json").stdout)["pilot"]["total"]["usd"] == 0.25

    def test_no_ledger(self, tmp_path) -> None:
        make_benchmark(tmp_path / "curated", make_paragraphs(3))
        done = annotate(tmp_path, "cost")
        assert done.returncode == 1
        assert done.stderr == (
            "error: there is no ledger curated/ledger.jsonl; make one with: annotate label\n"
        )
