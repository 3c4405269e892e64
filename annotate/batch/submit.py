"""Hand requests to the Batch API: half the price, within a day. The process may die at any moment."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.batch.lines import ENDPOINT, MOST_BYTES, MOST_LINES, Part, cut
from annotate.batch.server import BatchState, Connect, batch_state, look, patient, said_plainly
from annotate.errors import AnnotateError, BudgetError, IncompleteError, LabelError
from annotate.files import write_atomic
from annotate.label_files import check_texts
from annotate.ledger.batches import BatchLog, Note, now
from annotate.ledger.ledger import Ledger
from annotate.ledger.pending import pending
from annotate.ledger.questions import EVERYTHING, Selection
from annotate.online.limits import Budget
from annotate.online.profiles import cost_usd, profile_place
from annotate.online.transport import Endpoint
from annotate.protocol import Annotator

if TYPE_CHECKING:
    from openai.types import Batch

    from annotate.annotators.openai import OpenAIAnnotator
    from annotate.benchmark import Benchmark

SHARD_KEY = "annotate_shard"
"""Key of a batch's metadata that holds the name of our shard."""


@dataclass(frozen=True)
class Submission:
    """The result of submitting.

    Attributes:
        states: The batches made, and those a killed process had made before.
        finished: Paragraphs and repetitions that needed no request.
        held: Paragraphs and repetitions whose request waited in an earlier batch.
    """

    states: tuple[BatchState, ...]
    finished: int
    held: int


def submit(
    benchmark: Benchmark,
    annotators: Sequence[Annotator],
    selection: Selection = EVERYTHING,
    *,
    max_cost: float | None = None,
    most_lines: int = MOST_LINES,
    most_bytes: int = MOST_BYTES,
) -> Submission:
    """Hand every request that is not answered and does not wait to the Batch API.

    A shard is noted on the disk before it is sent and carries its name to the server: where a killed process
    left it open whether a batch was made, the server is asked first, so that nothing is paid twice.

    Args:
        benchmark: The benchmark.
        annotators: Whom to ask.
        selection: What to ask them about.
        max_cost: US dollars that this submit may spend, every answer being as long as it may be.
        most_lines: Most requests in a batch.
        most_bytes: Most bytes of its file.

    Returns:
        What was submitted.

    Raises:
        LabelError: An annotator cannot be asked in batches, the server refuses, or another process is labelling.
        BudgetError: The next batch could cost more than may be spent; those before it are submitted.
        IncompleteError: The connection broke; the same call resumes.
    """
    asked = [_batchable(annotator) for annotator in annotators]
    paragraphs = benchmark.paragraphs()
    budget = Budget(max_cost)
    finished = held = 0
    with Ledger(benchmark.ledger) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(benchmark.ledger, paragraphs, rows)
        log = BatchLog(benchmark.batches)
        states = settle_open(benchmark, log, cache(Endpoint))
        for annotator in asked:
            questions = selection.questions(paragraphs, log.waiting(annotator.name))
            todo = pending(questions, annotator, ledger.attempts)
            finished += todo.finished
            held += todo.held
            for part in cut(todo.asks, annotator.name, ledger.attempts, most_lines, most_bytes):
                _check_budget(budget, annotator, part)
                states.append(_send(benchmark, log, annotator, part))
    return Submission(tuple(states), finished, held)


def _check_budget(budget: Budget, annotator: OpenAIAnnotator, part: Part) -> None:
    worst = [cost_usd(annotator.worst_usage(ask.request), annotator.profile, batch=True) for ask in part.asks]
    known = [price for price in worst if price is not None]
    if budget.limit is not None and len(known) < len(worst):
        raise LabelError(
            f"--max-cost needs a price, and none is known for {annotator.name}: add it to its profile"
        )
    total = math.fsum(known)
    if not budget.allows(total):
        raise BudgetError(
            f"--max-cost {budget.limit:g}: a batch of {len(worst):,} requests could cost {total:.4f}, and"
            f" {budget.held:.4f} is committed; lower --limit or raise --max-cost"
        )
    budget.hold(total)


def status(benchmark: Benchmark) -> list[BatchState]:
    """Ask how the batches are that were not collected yet. Writes nothing.

    Raises:
        LabelError: The server refuses.
        IncompleteError: The connection broke.
    """
    connect = cache(Endpoint)
    return [look(shard, connect)[0] for shard in BatchLog(benchmark.batches).open_shards()]


def batch_folder(benchmark: Benchmark) -> Path:
    """Where files on their way to and from the Batch API lie."""
    return benchmark.path / "batches"


def _batchable(annotator: Annotator) -> OpenAIAnnotator:
    from annotate.annotators.openai import OpenAIAnnotator

    if not isinstance(annotator, OpenAIAnnotator):
        raise LabelError(
            f"annotator {annotator.name} is not asked over the API, so not in batches;"
            " name one that is, for instance --annotator openai:gpt-4o"
        )
    if not annotator.profile.batch:
        place = profile_place(annotator.model, "batch")
        raise LabelError(
            f"{annotator.model} takes no batches; if that is not so, set batch = true in {place}"
        )
    return annotator


def settle_open(benchmark: Benchmark, log: BatchLog, connect: Connect) -> list[BatchState]:
    """Find out about shards that a killed process had prepared: was a batch made of them or not?

    One that the server does not know is abandoned, which makes its requests free again.
    """
    states = []
    for shard in log.open_shards():
        if shard.batch_id:
            continue
        batch = _find(connect(shard.prepared.base_url), shard.name)
        if batch is None:
            log.append(Note(event="abandoned", shard=shard.name, at=now(), detail="no batch was made of it"))
        else:
            log.append(Note(event="submitted", shard=shard.name, at=now(), batch_id=batch.id))
            states.append(batch_state(log.shards[shard.name], batch))
        _input_file(benchmark, shard.name).unlink(missing_ok=True)
    return states


def _find(endpoint: Endpoint, shard: str) -> Batch | None:
    with said_plainly(endpoint):
        known = patient(endpoint).batches.list(limit=100)
        return next((batch for batch in known if (batch.metadata or {}).get(SHARD_KEY) == shard), None)


def _send(benchmark: Benchmark, log: BatchLog, annotator: OpenAIAnnotator, part: Part) -> BatchState:
    shard = Note(
        event="prepared",
        shard=secrets.token_hex(8),
        at=now(),
        annotator=annotator.name,
        model=annotator.model,
        base_url=annotator.endpoint.base_url,
        lines=part.lines,
    )
    client = annotator.endpoint.client  # without a key nothing is noted
    path = _input_file(benchmark, shard.shard)
    write_atomic(path, part.text)
    log.append(shard)
    file_id = ""
    try:
        with said_plainly(annotator.endpoint):
            file_id = patient(annotator.endpoint).files.create(file=path, purpose="batch").id
            batch = client.batches.create(
                input_file_id=file_id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={SHARD_KEY: shard.shard, "annotator": annotator.name[:512]},
            )
            submitted = Note(event="submitted", shard=shard.shard, at=now(), batch_id=batch.id)
    except AnnotateError as error:
        if file_id and isinstance(error, IncompleteError):
            raise  # a batch may have been made: the next call asks the server
        log.append(Note(event="abandoned", shard=shard.shard, at=now(), detail=str(error)))
        path.unlink()
        raise
    log.append(submitted)
    path.unlink()
    return batch_state(log.shards[shard.shard], batch)


def _input_file(benchmark: Benchmark, shard: str) -> Path:
    return batch_folder(benchmark) / f"{shard}.input.jsonl"
