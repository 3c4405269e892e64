"""What a run would ask and cost, before anything is asked: the dry run of `annotate label`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import mean, stdev
from typing import Any

from annotate.ledger import Attempts
from annotate.pending import Pending
from annotate.profiles import ModelProfile, cost_usd, profile, retirement
from annotate.protocol import Annotator, Usage
from annotate.schema import Paragraph, Record
from annotate.tokens import TokenCounter

FIT_FROM = 20
"""From this many answered paragraphs on, what they used replaces the assumptions."""


class Band(Record):
    """A figure that is not known yet: a low, a likely and a high value."""

    low: float
    likely: float
    high: float


ANSWER_TOKENS_A_WORD = {
    "quotes": Band(low=0.5, likely=1.25, high=2.5),
    "indexed": Band(low=0.4, likely=1.0, high=2.0),
    "tags": Band(low=1.2, likely=1.4, high=1.8),
}
"""Assumed tokens of the visible answer for each word of the paragraph, by label format."""
REASONING_TOKENS = {
    "none": Band(low=0, likely=0, high=0),
    "minimal": Band(low=0, likely=0, high=100),
    "low": Band(low=100, likely=400, high=900),
    "medium": Band(low=400, likely=1200, high=3000),
    "high": Band(low=1000, likely=3000, high=8000),
    "xhigh": Band(low=2000, likely=6000, high=16_000),
    "max": Band(low=4000, likely=12_000, high=32_000),
}
"""Assumed reasoning tokens of one answer, by effort. They dominate the price and vary most."""
ASKED_AGAIN = Band(low=0.0, likely=0.05, high=0.25)
"""Assumed share of paragraphs asked about a second time, because of a quote that could not be placed."""


class EffortCost(Record):
    """What the run would use and cost with one reasoning effort.

    Attributes:
        effort: The effort; empty for a model without.
        chosen: Whether the run would be made with it.
        input_tokens: Tokens sent.
        output_tokens: Tokens received, reasoning included.
        online: US dollars online, or ``None`` where the model's price is not known.
        batch: US dollars in a batch, or ``None`` where its price is not known or it takes no batches.
    """

    effort: str
    chosen: bool
    input_tokens: Band
    output_tokens: Band
    online: Band | None
    batch: Band | None


class Estimate(Record):
    """What a run with one annotator would ask and cost.

    Attributes:
        annotator: Its name.
        model: Its model; empty for an annotator that costs nothing.
        requests: Requests that would be made, as far as can be known: second questions are in the tokens only.
        finished: Paragraphs and repetitions that need no request any more.
        held: Paragraphs and repetitions whose request waits in a batch.
        counted_by: How tokens were counted.
        fitted_on: Paragraphs and repetitions in the ledger that the chosen effort's figures rest on; 0 where
            they are assumptions.
        efforts: One entry an effort that the model knows, the chosen one included; empty for an annotator that
            costs nothing.
        prices_of: Day of the prices, or ``None`` where the model is not known.
        warning: That the model is or will be shut down; empty otherwise.
        sample: Messages of the first request; empty where there is none.
    """

    annotator: str
    model: str
    requests: int
    finished: int
    held: int
    counted_by: str
    fitted_on: int
    efforts: tuple[EffortCost, ...]
    prices_of: date | None
    warning: str
    sample: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class _Fit:
    """What one paragraph and repetition used, failures and second questions included.

    Attributes:
        asked: Paragraphs and repetitions that the figures rest on.
        input_ratio: Tokens sent, by tokens that were counted for the first request.
        cached_share: Share of the tokens sent that the server had cached.
        output_mean: Mean tokens received.
        output_sd: Their standard deviation.
    """

    asked: int
    input_ratio: float
    cached_share: float
    output_mean: float
    output_sd: float


def estimate(
    todo: Pending, paragraphs: Sequence[Paragraph], attempts: Attempts, counter: TokenCounter, today: date
) -> Estimate:
    """Estimate what is still to be asked of one annotator.

    Args:
        todo: The requests that are not answered yet.
        paragraphs: All paragraphs of the benchmark, at least one.
        attempts: All attempts in the ledger.
        counter: Counts tokens.
        today: The day, to tell what is being shut down.

    Returns:
        The estimate. An unknown price stays unknown.
    """
    first = todo.annotator.request(paragraphs[0], 0, [])
    body = first.body if first else {}
    model = str(body.get("model", ""))
    efforts: tuple[EffortCost, ...] = ()
    fit = None
    if model:
        fit = _fit(todo.annotator, paragraphs, attempts, counter)
        efforts = _efforts(todo, body, profile(model), counter, fit)
    return Estimate(
        annotator=todo.annotator.name,
        model=model,
        requests=len(todo.asks),
        finished=todo.finished,
        held=todo.held,
        counted_by=counter.name,
        fitted_on=fit.asked if fit else 0,
        efforts=efforts,
        prices_of=profile(model).as_of if model else None,
        warning=retirement(model, today) if model else "",
        sample=tuple(todo.asks[0].request.body["messages"]) if model and todo.asks else (),
    )


def _efforts(
    todo: Pending, body: dict[str, Any], known: ModelProfile, counter: TokenCounter, fit: _Fit | None
) -> tuple[EffortCost, ...]:
    chosen = str(body.get("reasoning_effort", ""))
    sent = sum(counter.body(ask.request.body) for ask in todo.asks)
    uses = {
        effort: (_scaled(sent, ASKED_AGAIN), _assumed_output(todo, body, known, effort), 0.0)
        for effort in dict.fromkeys([*known.efforts, chosen] if chosen else [""])
    }
    if fit:
        expected = sent * fit.input_ratio
        uses[chosen] = (
            Band(low=expected, likely=expected, high=expected),
            _fitted_output(fit, len(todo.asks)),
            fit.cached_share,
        )
    return tuple(
        EffortCost(
            effort=effort,
            chosen=effort == chosen,
            input_tokens=sent,
            output_tokens=received,
            online=_price(sent, received, cached, known, batch=False),
            batch=_price(sent, received, cached, known, batch=True) if known.batch else None,
        )
        for effort, (sent, received, cached) in uses.items()
    )


def _scaled(tokens: float, again: Band) -> Band:
    return Band(
        low=tokens * (1 + again.low), likely=tokens * (1 + again.likely), high=tokens * (1 + again.high)
    )


def _assumed_output(todo: Pending, body: dict[str, Any], known: ModelProfile, effort: str) -> Band:
    """Tokens received over all requests: the answer grows with the paragraph, reasoning with the effort."""
    answer = ANSWER_TOKENS_A_WORD[label_format(todo.annotator)]
    reasoning = REASONING_TOKENS.get(effort, REASONING_TOKENS["none"])
    most = float(body.get(known.cap_param, math.inf))
    words = [len(ask.paragraph.words) for ask in todo.asks]

    def total(a_word: float, thought: float, again: float) -> float:
        return sum(min(count * a_word + thought, most) for count in words) * (1 + again)

    return Band(
        low=total(answer.low, reasoning.low, ASKED_AGAIN.low),
        likely=total(answer.likely, reasoning.likely, ASKED_AGAIN.likely),
        high=total(answer.high, reasoning.high, ASKED_AGAIN.high),
    )


def _fit(
    annotator: Annotator, paragraphs: Sequence[Paragraph], attempts: Attempts, counter: TokenCounter
) -> _Fit | None:
    """What was used so far, or ``None`` where too little was asked to tell."""
    by_id = {paragraph.id: paragraph for paragraph in paragraphs}
    usages: dict[tuple[str, int], list[Usage]] = defaultdict(list)
    for row in attempts.rows:
        if row.annotator == annotator.name and row.usage is not None:
            usages[row.paragraph_id, row.repeat].append(row.usage)
    if len(usages) < FIT_FROM:
        return None
    requests = [annotator.request(by_id[identifier], repeat, []) for identifier, repeat in usages]
    counted = sum(counter.body(request.body) for request in requests if request)
    sent = sum(usage.input_tokens for used in usages.values() for usage in used)
    cached = sum(usage.cached_tokens for used in usages.values() for usage in used)
    outputs = [sum(usage.output_tokens for usage in used) for used in usages.values()]
    return _Fit(len(usages), sent / counted, cached / max(sent, 1), mean(outputs), stdev(outputs))


def _fitted_output(fit: _Fit, requests: int) -> Band:
    """Two standard errors about the total of ``requests`` more draws, the mean itself being an estimate.

    The variance of the sum of m new draws about m times the mean of n old ones is ``sd^2 (m + m^2 / n)``.
    """
    likely = requests * fit.output_mean
    margin = 2 * fit.output_sd * math.sqrt(requests + requests**2 / fit.asked)
    return Band(low=max(likely - margin, 0), likely=likely, high=likely + margin)


def _price(sent: Band, received: Band, cached: float, known: ModelProfile, batch: bool) -> Band | None:
    def price(tokens_in: float, tokens_out: float) -> float | None:
        usage = Usage(
            input_tokens=round(tokens_in),
            cached_tokens=round(tokens_in * cached),
            output_tokens=round(tokens_out),
        )
        return cost_usd(usage, known, batch)

    low, likely, high = (
        price(sent.low, received.low),
        price(sent.likely, received.likely),
        price(sent.high, received.high),
    )
    if low is None or likely is None or high is None:
        return None
    return Band(low=low, likely=likely, high=high)
