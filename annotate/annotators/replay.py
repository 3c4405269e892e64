"""The annotator ``replay``: another annotator's recorded answers, from a ledger file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotate.errors import BenchmarkError, LabelError, UnknownNameError
from annotate.ledger.ledger import Attempts, read_ledger
from annotate.protocol import Annotator, Reading, Request, Response
from annotate.schema import Paragraph


@dataclass(frozen=True)
class ReplayAnnotator:
    """Makes the requests of ``inner`` and answers them from ``recorded``.

    A request that was never made is ``missing``; since the file may grow, errors are looked up again.
    """

    inner: Annotator
    recorded: Attempts
    deterministic: bool = False

    @property
    def name(self) -> str:
        """``replay:`` and the name of the annotator whose answers are replayed."""
        return f"replay:{self.inner.name}"

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """The request of the annotator that is replayed."""
        return self.inner.request(paragraph, repeat, earlier)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """The recorded answer, with all that was recorded about it."""
        row = self.recorded.answer(self.inner.name, request.sha256)
        if row is None:
            return Response(status="missing", detail="this request is not in the replayed ledger")
        return Response(**{name: getattr(row, name) for name in Response.model_fields})

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        """As the annotator that is replayed reads them."""
        return self.inner.read(paragraph, answers)


def build_replay(options: str, seed: int, make: Callable[[str, int], Annotator]) -> ReplayAnnotator:
    """Make the annotator of ``replay:PATH``, or ``replay:PATH,annotator=NAME`` where it holds several.

    Args:
        options: What stands after the colon.
        seed: Of the annotator that is replayed; it changes no recorded answer.
        make: Makes the annotator that is replayed, from its name and the seed.

    Raises:
        LabelError: No path is given, or the ledger holds several annotators and none is named.
        BenchmarkError: The file is missing or no ledger.
        UnknownNameError: The ledger does not hold that annotator.
    """
    place, _, wanted = options.partition(",annotator=")
    if not place:
        raise LabelError("annotator replay: say which ledger to read, for instance replay:old/ledger.jsonl")
    path = Path(place)
    if not path.is_file():
        raise BenchmarkError(f"annotator replay: the ledger {path} does not exist")
    rows = [
        row.model_copy(update={"annotator": row.annotator.removeprefix("replay:")})
        for row in read_ledger(path).rows
    ]
    names = sorted({row.annotator for row in rows})
    if not names:
        raise LabelError(f"annotator replay: the ledger {path} holds no answers")
    if not wanted and len(names) > 1:
        raise LabelError(
            f"annotator replay: {path} holds {len(names)} annotators; add one of: "
            + ", ".join(f",annotator={name}" for name in names)
        )
    if wanted and wanted not in names:
        raise UnknownNameError(f"annotator in {path}", wanted, names)
    return ReplayAnnotator(make(wanted or names[0], seed), Attempts(rows))
