"""Bring what the Batch API answered into the ledger: late, in any order, cut short, or in part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.batch.lines import Answer, read_answers
from annotate.batch.server import BatchState, Connect, batch_state, look, patient, said_plainly
from annotate.batch.submit import batch_folder, settle_open
from annotate.errors import IncompleteError
from annotate.files import write_atomic
from annotate.labelling.reparse import ReparseResult, reparse
from annotate.ledger.batches import BatchLog, Line, Note, Shard, now
from annotate.ledger.ledger import Attempt, Ledger, make_attempt, read_ledger
from annotate.online.profiles import cost_usd, profile
from annotate.online.transport import Endpoint
from annotate.protocol import Response

if TYPE_CHECKING:
    from openai.types import Batch

    from annotate.benchmark import Benchmark

GONE_AFTER = timedelta(days=2)
"""Age of a batch from which a file that the server does not find is taken to be gone, not late."""


def collect(benchmark: Benchmark) -> list[BatchState]:
    """Bring the answers of every batch that has ended into the ledger, also of those cut short.

    What came back lies in ``batches/`` before it is read. A second call adds nothing.

    Args:
        benchmark: The benchmark; its ledger is written, its labels are not.

    Returns:
        The batches that were open, in the order they were made.

    Raises:
        LabelError: The server refuses, or another process is labelling.
        IncompleteError: The connection broke; the same call resumes.
    """
    states = []
    with Ledger(benchmark.ledger) as ledger:
        log = BatchLog(benchmark.batches)
        connect = cache(Endpoint)
        settle_open(benchmark, log, connect)
        for shard in log.open_shards():
            state, batch = look(shard, connect)
            if batch is not None and state.ended:
                state = _bring_in(benchmark, ledger, shard, batch, connect)
                log.append(
                    Note(
                        event="ended",
                        shard=shard.name,
                        at=now(),
                        status=state.status,
                        answered=state.done,
                        failed=state.failed,
                        unanswered=state.unanswered,
                        detail=state.detail,
                    )
                )
            states.append(state)
    return states


def collect_labels(benchmark: Benchmark, command: str = "") -> tuple[list[BatchState], ReparseResult | None]:
    """Collect, then make the labels again; gold is settled from the annotators that batches asked if there is none yet.

    Args:
        benchmark: The benchmark; its ledger, labels and gold are written.
        command: The command line, noted in the manifests.

    Returns:
        The batches that were open, and what came of the labels; ``None`` while there is no answer at all.

    Raises:
        AnnotateError: As :func:`collect` and :func:`annotate.labelling.reparse.reparse`.
    """
    states = collect(benchmark)
    shards = BatchLog(benchmark.batches).shards.values()
    if not read_ledger(benchmark.ledger).rows:
        return states, None
    names = list(dict.fromkeys(shard.prepared.annotator for shard in shards))
    return states, reparse(benchmark, names, command=command)


def _bring_in(
    benchmark: Benchmark, ledger: Ledger, shard: Shard, batch: Batch, connect: Connect
) -> BatchState:
    """Record what an ended batch brought, except what a killed collect had recorded of it already."""
    problems: list[str] = []
    for kind, file_id in (("output", batch.output_file_id), ("errors", batch.error_file_id)):
        if file_id:
            path = batch_folder(benchmark) / f"{shard.name}.{kind}.jsonl"
            text = _fetch(connect(shard.prepared.base_url), file_id, path, _made_at(batch))
            problems += _record(ledger, shard, batch, text, path.name)
            problems += [] if text else [f"the server no longer has the file of {kind}"]
    ledger.sync()
    rows = _rows(ledger, shard, batch)
    answered = sum(row.answered for row in rows)
    state = batch_state(shard, batch)
    return replace(
        state,
        done=answered,
        failed=len(rows) - answered,
        unanswered=state.requests - len(rows),
        detail="; ".join([*([state.detail] if state.detail else []), *problems]),
    )


def _record(ledger: Ledger, shard: Shard, batch: Batch, text: str, name: str) -> list[str]:
    """Append the answers of one file to the ledger; what is wrong with the file, for a person."""
    lines = {line.custom_id: line for line in shard.prepared.lines}
    before = {row.request_sha256 for row in _rows(ledger, shard, batch)}
    about = {"batch_id": batch.id, "asked_at": _made_at(batch).isoformat(timespec="seconds")}
    read: set[str] = set()
    problems = []
    for number, answer in read_answers(text, shard.prepared.model):
        problem = _problem(answer, lines, read)
        if answer is None or problem:
            problems.append(f"{name} line {number} {problem}")
            continue
        read.add(answer.custom_id)
        line = lines[answer.custom_id]
        if answer.worked_on and line.request_sha256 not in before:
            ledger.append(_attempt(ledger, shard, line, answer.response.model_copy(update=about)))
    return problems


def _problem(answer: Answer | None, lines: Mapping[str, Line], read: Collection[str]) -> str:
    """What is wrong with a line that came back; empty where nothing is."""
    if answer is None:
        return "is no answer"
    if answer.custom_id not in lines:
        return f"answers {answer.custom_id}, which was not asked"
    return f"answers {answer.custom_id} a second time" if answer.custom_id in read else ""


def _rows(ledger: Ledger, shard: Shard, batch: Batch) -> list[Attempt]:
    annotator = shard.prepared.annotator
    return [row for row in ledger.attempts.rows if row.batch_id == batch.id and row.annotator == annotator]


def _made_at(batch: Batch) -> datetime:
    return datetime.fromtimestamp(batch.created_at, UTC)


def _attempt(ledger: Ledger, shard: Shard, line: Line, response: Response) -> Attempt:
    price = cost_usd(response.usage, profile(shard.prepared.model), batch=True)
    priced = response.model_copy(update={"cost_usd": price})
    return make_attempt(shard.prepared.annotator, line, priced, ledger.attempts)


def _fetch(endpoint: Endpoint, file_id: str, path: Path, made_at: datetime) -> str:
    """The text of a file of the server, kept at ``path`` and taken from there a second time.

    A file that is gone, deleted or too old, is empty: its requests are free to be asked again.

    Raises:
        IncompleteError: The server does not hand it out yet.
        LabelError: The server refuses.
    """
    import openai

    if path.exists():
        return path.read_text(encoding="utf-8")
    with said_plainly(endpoint):
        try:
            text = patient(endpoint).files.content(file_id).read().decode("utf-8", "replace")
        except (openai.PermissionDeniedError, openai.NotFoundError) as error:
            if error.status_code == 403 or datetime.now(UTC) - made_at < GONE_AFTER:
                raise IncompleteError(
                    f"{endpoint.host} does not hand out the file {file_id} yet; collect again in some minutes"
                ) from None
            text = ""
    write_atomic(path, endpoint.without_key(text))
    return text
