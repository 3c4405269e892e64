"""Labels by the Batch API: half the price, within a day. Submit, die, come back, collect: the ledger is the same."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from annotate.batch_lines import ENDPOINT, MOST_BYTES, MOST_LINES, Part, cut, describe_errors, read_answers
from annotate.batch_notes import BatchLog, Line, Note, Shard
from annotate.completion import shorten
from annotate.errors import BudgetError, IncompleteError, LabelError
from annotate.faults import read_fault
from annotate.files import write_atomic
from annotate.label_files import check_texts
from annotate.ledger import Attempt, Ledger, read_ledger
from annotate.limits import Budget
from annotate.pending import pending
from annotate.profiles import cost_usd, profile, profile_place
from annotate.protocol import Annotator, Response
from annotate.reparse import Reparsed, reparse
from annotate.transport import Endpoint

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

    from annotate.annotators.openai import OpenAIAnnotator
    from annotate.benchmark import Benchmark

Connect: TypeAlias = Callable[[str], Endpoint]
"""The endpoint at an address; one client for all batches of a call."""

_SHARD_KEY = "annotate_shard"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_PATIENCE = 2
"""Retries of the SDK for what may be repeated without harm: looking and fetching, never making a batch."""


@dataclass(frozen=True)
class BatchState:
    """One batch for a person.

    Attributes:
        shard: Name of our shard.
        annotator: Whom it asks.
        batch_id: The server's name; empty while it is not known whether the batch was made.
        requests: Number of requests in it.
        status: As the server says; ``unknown`` where a killed process left it open whether it was made.
        done: Requests the server has worked on, while it runs; answers recorded once it has ended.
        failed: The same for requests that failed.
        unanswered: Requests that an ended batch did not come to; the next submit or an online run asks them.
        detail: What went wrong, for a person.
    """

    shard: str
    annotator: str
    batch_id: str
    requests: int
    status: str
    done: int = 0
    failed: int = 0
    unanswered: int = 0
    detail: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Submitted:
    """What a submit did.

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
    *,
    limit: int | None = None,
    repeats: int = 1,
    fresh: bool = False,
    max_cost: float | None = None,
    most_lines: int = MOST_LINES,
    most_bytes: int = MOST_BYTES,
) -> Submitted:
    """Hand every request that is not answered and does not wait to the Batch API.

    A shard is noted on the disk before it is sent and carries its name to the server: where a killed process
    left it open whether a batch was made, the server is asked first, so that nothing is paid twice.

    Args:
        benchmark: The benchmark.
        annotators: Whom to ask.
        limit: Ask about the first ``limit`` paragraphs only.
        repeats: How often each paragraph is asked about.
        fresh: Ask again whatever the ledger holds.
        max_cost: US dollars that this submit may spend, every answer being as long as it may be.
        most_lines: Most requests in a batch.
        most_bytes: Most bytes of its file.

    Returns:
        What was submitted.

    Raises:
        LabelError: An annotator cannot be asked in batches, the server refuses, or another process is labelling.
        BudgetError: The next batch could cost more than may be spent; those before it are submitted.
        IncompleteError: The connection broke; the same call goes on.
    """
    asked = [_batchable(annotator) for annotator in annotators]
    paragraphs = benchmark.paragraphs()
    budget = Budget(max_cost)
    finished = held = 0
    with Ledger(benchmark.ledger) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(benchmark.ledger, paragraphs, rows)
        log = BatchLog(benchmark.batches)
        states = _settle_open(benchmark, log, cache(Endpoint))
        for annotator in asked:
            todo = pending(
                paragraphs[:limit], annotator, ledger.attempts, repeats, fresh, log.waiting(annotator.name)
            )
            finished += todo.finished
            held += todo.held
            for part in cut(todo.asks, annotator.name, ledger.attempts, most_lines, most_bytes):
                _check_budget(budget, annotator, part)
                states.append(_send(benchmark, log, annotator, part))
    return Submitted(tuple(states), finished, held)


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
    return [_look(shard, connect)[0] for shard in BatchLog(benchmark.batches).open_shards()]


def collect(benchmark: Benchmark) -> list[BatchState]:
    """Bring the answers of every batch that has ended into the ledger, also of those cut short.

    What came back lies in ``batches/`` before it is read. A second call adds nothing.

    Args:
        benchmark: The benchmark; its ledger is written, its labels are not.

    Returns:
        The batches that were open, in the order they were made.

    Raises:
        LabelError: The server refuses, or another process is labelling.
        IncompleteError: The connection broke; the same call goes on.
    """
    states = []
    with Ledger(benchmark.ledger) as ledger:
        log = BatchLog(benchmark.batches)
        connect = cache(Endpoint)
        _settle_open(benchmark, log, connect)
        for shard in log.open_shards():
            state, batch = _look(shard, connect)
            if batch is not None and state.ended:
                state = _bring_in(benchmark, ledger, shard, batch, connect)
                log.append(
                    Note(
                        event="ended",
                        shard=shard.name,
                        at=_now(),
                        status=state.status,
                        answered=state.done,
                        failed=state.failed,
                        unanswered=state.unanswered,
                        detail=state.detail,
                    )
                )
            states.append(state)
    return states


def collect_labels(benchmark: Benchmark, command: str = "") -> tuple[list[BatchState], Reparsed | None]:
    """Collect, then make the labels again and settle gold from the annotators that batches asked.

    Args:
        benchmark: The benchmark; its ledger, labels and gold are written.
        command: The command line, noted in the manifests.

    Returns:
        The batches that were open, and what came of the labels; ``None`` while there is no answer at all.

    Raises:
        AnnotateError: As :func:`collect` and :func:`annotate.reparse.reparse`.
    """
    states = collect(benchmark)
    shards = BatchLog(benchmark.batches).shards.values()
    if not read_ledger(benchmark.ledger).rows:
        return states, None
    names = list(dict.fromkeys(shard.prepared.annotator for shard in shards))
    return states, reparse(benchmark, names, command=command)


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


def _settle_open(benchmark: Benchmark, log: BatchLog, connect: Connect) -> list[BatchState]:
    """Find out about shards that a killed process had prepared: was a batch made of them or not?

    One that the server does not know is abandoned, which makes its requests free again.
    """
    found = []
    for shard in log.open_shards():
        if shard.batch_id:
            continue
        endpoint = connect(shard.prepared.base_url)
        with _said_plainly(endpoint):
            known = _patient(endpoint).batches.list(limit=100)
            made = {(batch.metadata or {}).get(_SHARD_KEY): batch for batch in known}
        batch = made.get(shard.name)
        if batch is None:
            log.append(Note(event="abandoned", shard=shard.name, at=_now(), detail="no batch was made of it"))
        else:
            log.append(Note(event="submitted", shard=shard.name, at=_now(), batch_id=batch.id))
            found.append(_state(log.shards[shard.name], batch))
        _input_file(benchmark, shard.name).unlink(missing_ok=True)
    return found


def _send(benchmark: Benchmark, log: BatchLog, annotator: OpenAIAnnotator, part: Part) -> BatchState:
    shard = Note(
        event="prepared",
        shard=secrets.token_hex(8),
        at=_now(),
        annotator=annotator.name,
        model=annotator.model,
        base_url=annotator.endpoint.base_url,
        lines=part.lines,
    )
    client = annotator.endpoint.client  # without a key nothing is noted
    path = _input_file(benchmark, shard.shard)
    write_atomic(path, part.text)
    log.append(shard)
    try:
        with _said_plainly(annotator.endpoint):
            uploaded = _patient(annotator.endpoint).files.create(file=path, purpose="batch")
            batch = client.batches.create(
                input_file_id=uploaded.id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={_SHARD_KEY: shard.shard, "annotator": annotator.name[:512]},
            )
            submitted = Note(event="submitted", shard=shard.shard, at=_now(), batch_id=batch.id)
    except LabelError as error:
        log.append(Note(event="abandoned", shard=shard.shard, at=_now(), detail=str(error)))
        path.unlink()
        raise
    log.append(submitted)
    path.unlink()
    return _state(log.shards[shard.shard], batch)


def _look(shard: Shard, connect: Connect) -> tuple[BatchState, Batch | None]:
    """Ask the server about a shard; nothing where it is not known whether a batch was made of it."""
    if not shard.batch_id:
        detail = "a submit was cut off here; --batch submit or collect finds out whether a batch was made"
        return _unknown(shard, detail), None
    endpoint = connect(shard.prepared.base_url)
    with _said_plainly(endpoint):
        batch = _patient(endpoint).batches.retrieve(shard.batch_id)
        return _state(shard, batch), batch


def _unknown(shard: Shard, detail: str) -> BatchState:
    prepared = shard.prepared
    return BatchState(shard.name, prepared.annotator, "", len(prepared.lines), "unknown", detail=detail)


def _state(shard: Shard, batch: Batch) -> BatchState:
    counts = batch.request_counts
    errors = batch.errors.data if batch.errors else None
    return BatchState(
        shard=shard.name,
        annotator=shard.prepared.annotator,
        batch_id=batch.id,
        requests=len(shard.prepared.lines),
        status=batch.status,
        done=counts.completed if counts else 0,
        failed=counts.failed if counts else 0,
        detail=describe_errors(errors or [], shard.prepared.lines),
    )


def _bring_in(
    benchmark: Benchmark, ledger: Ledger, shard: Shard, batch: Batch, connect: Connect
) -> BatchState:
    """Record what an ended batch brought, except what a killed collect had recorded of it already."""
    problems: list[str] = []
    for kind, file_id in (("output", batch.output_file_id), ("errors", batch.error_file_id)):
        if file_id:
            path = batch_folder(benchmark) / f"{batch.id}.{kind}.jsonl"
            text = _fetch(connect(shard.prepared.base_url), file_id, path)
            problems += _record(ledger, shard, batch, text, path.name)
            problems += [] if text else [f"the server no longer has the file of {kind}"]
    ledger.sync()
    rows = [row for row in ledger.attempts.rows if row.batch_id == batch.id]
    answered = sum(row.answered for row in rows)
    state = _state(shard, batch)
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
    before = {row.request_sha256 for row in ledger.attempts.rows if row.batch_id == batch.id}
    asked_at = datetime.fromtimestamp(batch.created_at, UTC).isoformat(timespec="seconds")
    read: set[str] = set()
    problems = []
    for number, answer in read_answers(text, shard.prepared.model):
        if answer is None:
            problems.append(f"{name} line {number} is no answer")
        elif answer.custom_id not in lines:
            problems.append(f"{name} line {number} answers {answer.custom_id}, which was not asked")
        elif answer.custom_id in read:
            problems.append(f"{name} line {number} answers {answer.custom_id} a second time")
        else:
            read.add(answer.custom_id)
            line = lines[answer.custom_id]
            if answer.worked_on and line.request_sha256 not in before:
                about = {"batch_id": batch.id, "asked_at": asked_at}
                ledger.append(_attempt(ledger, shard, line, answer.response.model_copy(update=about)))
    return problems


def _attempt(ledger: Ledger, shard: Shard, line: Line, response: Response) -> Attempt:
    annotator = shard.prepared.annotator
    price = cost_usd(response.usage, profile(shard.prepared.model), batch=True)
    return Attempt(
        **{name: getattr(response, name) for name in Response.model_fields} | {"cost_usd": price},
        schema_version=1,
        request_sha256=line.request_sha256,
        annotator=annotator,
        paragraph_id=line.paragraph_id,
        text_sha256=line.text_sha256,
        repeat=line.repeat,
        attempt=ledger.attempts.count(annotator, line.request_sha256) + 1,
        prompt_sha256=line.prompt_sha256,
    )


def _fetch(endpoint: Endpoint, file_id: str, path: Path) -> str:
    """The text of a file of the server, kept at ``path`` and taken from there a second time.

    Raises:
        IncompleteError: The server does not hand it out yet.
        LabelError: The server refuses.
    """
    import openai

    if path.exists():
        return path.read_text(encoding="utf-8")
    with _said_plainly(endpoint):
        try:
            text = _patient(endpoint).files.content(file_id).read().decode("utf-8")
        except openai.PermissionDeniedError:
            raise IncompleteError(
                f"{endpoint.host} does not hand out the file {file_id} yet; collect again in some minutes"
            ) from None
        except openai.NotFoundError:
            text = ""  # someone deleted it, or it is too old: its requests are free to be asked again
    write_atomic(path, endpoint.without_key(text))
    return text


def _patient(endpoint: Endpoint) -> OpenAI:
    return endpoint.client.with_options(max_retries=_PATIENCE)


@contextmanager
def _said_plainly(endpoint: Endpoint) -> Iterator[None]:
    """Errors of the SDK as one sentence: refused for good, or cut off so that the same command goes on.

    Raises:
        LabelError: The server refuses.
        IncompleteError: It cannot be told whether the server did what was asked.
    """
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        fault = read_fault(error.status_code, error.body)
        said = endpoint.without_key(f"HTTP {fault.http} {fault.code}: {fault.message}")
        if fault.action == "retry":
            raise IncompleteError(
                f"{endpoint.host} is busy or failing ({said}); the same command goes on"
            ) from None
        raise LabelError(f"{endpoint.host} refuses ({said})") from None
    except openai.APIConnectionError:
        raise IncompleteError(f"the connection to {endpoint.host} broke; the same command goes on") from None
    except (AttributeError, ValueError) as error:  # a proxy's page instead of JSON
        said = endpoint.without_key(shorten(f"{type(error).__name__}: {error}"))
        raise IncompleteError(
            f"{endpoint.host} answers something else than the Batch API ({said}); the same command goes on"
        ) from None


def _input_file(benchmark: Benchmark, shard: str) -> Path:
    return batch_folder(benchmark) / f"{shard}.input.jsonl"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
