"""What a run would ask and cost, before anything is asked: the dry run of `annotate label`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import mean, stdev
from typing import TYPE_CHECKING

from annotate.annotators.openai import CAP_REASONING, RAISE, OpenAIAnnotator
from annotate.label_files import check_texts
from annotate.labelling.label import distinct_names
from annotate.ledger.batches import BatchLog
from annotate.ledger.ledger import Attempts, read_ledger
from annotate.ledger.pending import Ask, Pending, pending
from annotate.ledger.questions import EVERYTHING, Selection
from annotate.money.tokens import TokenCounter, token_counter
from annotate.online.profiles import ModelProfile, cost_usd
from annotate.protocol import Annotator, Usage
from annotate.schema import Paragraph, Record

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

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
        requests: Requests that would be made, as far as can be known: second questions are in the tokens only.
        finished: Paragraphs and repetitions that need no request any more.
        held: Paragraphs and repetitions whose request waits in a batch.
        model: Its model; empty for an annotator that costs nothing, as all that follows.
        counted_by: How tokens were counted.
        fitted_on: Paragraphs and repetitions in the ledger that the chosen effort's figures rest on; 0 where
            they are assumptions.
        efforts: One entry per effort that the model knows, the chosen one included.
        prices_of: Day of the prices, or ``None`` where the model is not known.
        warnings: What to know before money is spent, for instance that the model is being shut down.
        sample: Messages of the first request; empty where there is none.
    """

    annotator: str
    requests: int
    finished: int
    held: int
    model: str = ""
    counted_by: str = ""
    fitted_on: int = 0
    efforts: tuple[EffortCost, ...] = ()
    prices_of: date | None = None
    warnings: tuple[str, ...] = ()
    sample: tuple[dict[str, str], ...] = ()


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
    annotator = todo.annotator
    if not isinstance(annotator, OpenAIAnnotator):
        return Estimate(
            annotator=annotator.name, requests=len(todo.asks), finished=todo.finished, held=todo.held
        )
    fit = _fit(annotator, paragraphs, attempts, counter)
    return Estimate(
        annotator=annotator.name,
        model=annotator.model,
        requests=len(todo.asks),
        finished=todo.finished,
        held=todo.held,
        counted_by=counter.name,
        fitted_on=fit.asked if fit else 0,
        efforts=_efforts(todo.asks, annotator, counter, fit),
        prices_of=annotator.profile.as_of,
        warnings=tuple(annotator.warnings(today)),
        sample=tuple(todo.asks[0].request.body["messages"]) if todo.asks else (),
    )


def dry_run(
    benchmark: Benchmark,
    annotators: Sequence[Annotator],
    today: date,
    selection: Selection = EVERYTHING,
) -> list[Estimate]:
    """Estimate what labelling a benchmark would still ask and cost. Reads, asks nobody, needs no key.

    Args:
        benchmark: The benchmark.
        annotators: Whom to ask.
        today: The day of the run.
        selection: What to ask them about.

    Raises:
        LabelError: An annotator is named twice, or the ledger is of another benchmark.
        BenchmarkError: A file is damaged.
    """
    distinct_names(annotators)
    paragraphs = benchmark.paragraphs()
    attempts = read_ledger(benchmark.ledger)
    rows = [(row.paragraph_id, row.text_sha256) for row in attempts.rows]
    check_texts(benchmark.ledger, paragraphs, rows)
    log = BatchLog(benchmark.batches)
    counter = token_counter()
    estimates = []
    for annotator in annotators:
        questions = selection.questions(paragraphs, log.waiting(annotator.name))
        todo = pending(questions, annotator, attempts)
        estimates.append(estimate(todo, paragraphs, attempts, counter, today))
    return estimates


def _efforts(
    asks: Sequence[Ask], annotator: OpenAIAnnotator, counter: TokenCounter, fit: _Fit | None
) -> tuple[EffortCost, ...]:
    counted = sum(counter.body(ask.request.body) for ask in asks)
    uses = {
        effort: (_scaled(counted, ASKED_AGAIN), _assumed_output(asks, annotator, effort), 0.0)
        for effort in dict.fromkeys([*annotator.profile.efforts, annotator.effort])
        if effort or not annotator.profile.efforts
    }
    if fit:
        sent = counted * fit.input_ratio
        likely = Band(low=sent, likely=sent, high=sent)
        uses[annotator.effort] = (likely, _fitted_output(fit, len(asks)), fit.cached_share)
    return tuple(
        EffortCost(
            effort=effort,
            chosen=effort == annotator.effort,
            input_tokens=sent,
            output_tokens=received,
            online=_price(sent, received, cached, annotator.profile, batch=False),
            batch=_price(sent, received, cached, annotator.profile, batch=True)
            if annotator.profile.batch
            else None,
        )
        for effort, (sent, received, cached) in uses.items()
    )


def _scaled(tokens: float, again: Band) -> Band:
    return Band(
        low=tokens * (1 + again.low), likely=tokens * (1 + again.likely), high=tokens * (1 + again.high)
    )


def _assumed_output(asks: Sequence[Ask], annotator: OpenAIAnnotator, effort: str) -> Band:
    """Tokens received over all requests: the answer grows with the paragraph, reasoning with the effort.

    An answer that is cut off at the cap is paid and asked for again with a larger one.
    """
    answer = ANSWER_TOKENS_A_WORD[annotator.format.name]
    reasoning = REASONING_TOKENS.get(effort, REASONING_TOKENS["none"])
    cap = annotator.cap if effort == annotator.effort else max(annotator.cap, CAP_REASONING)

    def total(a_word: float, thought: float, again: float) -> float:
        wanted = [len(ask.paragraph.words) * a_word + thought for ask in asks]
        return sum(t if t <= cap else cap + min(t, RAISE * cap) for t in wanted) * (1 + again)

    return Band(
        low=total(answer.low, reasoning.low, ASKED_AGAIN.low),
        likely=total(answer.likely, reasoning.likely, ASKED_AGAIN.likely),
        high=total(answer.high, reasoning.high, ASKED_AGAIN.high),
    )


def _fit(
    annotator: OpenAIAnnotator, paragraphs: Sequence[Paragraph], attempts: Attempts, counter: TokenCounter
) -> _Fit | None:
    """What was used so far, or ``None`` where too little was asked to tell."""
    by_id = {paragraph.id: paragraph for paragraph in paragraphs}
    usages: dict[tuple[str, int], list[Usage]] = defaultdict(list)
    for row in attempts.rows:
        asked_so = row.annotator == annotator.name and row.prompt_sha256 == annotator.prompt_sha256
        if asked_so and row.usage is not None:
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
