"""What the Batch API says: the state of a batch, and errors as one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from annotate.batch.lines import describe_errors
from annotate.errors import IncompleteError, LabelError
from annotate.ledger.batches import Shard
from annotate.online.completion import shorten
from annotate.online.faults import read_fault
from annotate.online.transport import Endpoint

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

Connect: TypeAlias = Callable[[str], Endpoint]
"""The endpoint at an address; one client for all batches of a call."""

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


def look(shard: Shard, connect: Connect) -> tuple[BatchState, Batch | None]:
    """Ask the server about a shard; nothing where it is not known whether a batch was made of it."""
    if not shard.batch_id:
        prepared = shard.prepared
        detail = "a submit was cut off here; --batch submit or collect finds out whether a batch was made"
        count = len(prepared.lines)
        return BatchState(shard.name, prepared.annotator, "", count, "unknown", detail=detail), None
    endpoint = connect(shard.prepared.base_url)
    with said_plainly(endpoint):
        batch = patient(endpoint).batches.retrieve(shard.batch_id)
        return batch_state(shard, batch), batch


def batch_state(shard: Shard, batch: Batch) -> BatchState:
    """The state of a batch, with what the server found wrong with its file."""
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


def patient(endpoint: Endpoint) -> OpenAI:
    """A client that tries again; for calls that may be repeated without harm."""
    return endpoint.client.with_options(max_retries=_PATIENCE)


@contextmanager
def said_plainly(endpoint: Endpoint) -> Iterator[None]:
    """Errors of the SDK as one sentence: refused for good, or cut off, so that the command can be re-run.

    Raises:
        LabelError: The server refuses.
        IncompleteError: It cannot be told whether the server did what was asked.
    """
    import openai

    from annotate.online.bounds import RedirectError, TooLargeError

    try:
        yield
    except openai.APIStatusError as error:
        fault = read_fault(error.status_code, error.body)
        said = endpoint.without_key(f"HTTP {fault.http} {fault.code}: {fault.message}")
        if fault.action == "retry":
            raise IncompleteError(
                f"{endpoint.host} is busy or failing ({said}); re-run the command to resume"
            ) from None
        raise LabelError(f"{endpoint.host} refuses ({said})") from None
    except (openai.APIConnectionError, RedirectError, TooLargeError, TimeoutError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, RedirectError | TooLargeError):
            raise LabelError(f"{endpoint.host}: {endpoint.without_key(str(cause))}") from None
        raise IncompleteError(
            f"the connection to {endpoint.host} broke; re-run the command to resume"
        ) from None
    except (AttributeError, ValueError) as error:  # a proxy's page instead of JSON
        said = endpoint.without_key(shorten(f"{type(error).__name__}: {error}"))
        raise IncompleteError(
            f"{endpoint.host} answers something else than the Batch API ({said}); re-run the command to resume"
        ) from None
