"""What can go wrong while a benchmark is built or labelled, each with a sentence for the person at the terminal."""

from difflib import get_close_matches


class AnnotateError(Exception):
    """Root of every error this package raises on purpose; its text is one sentence for a person."""

    exit_code = 1


class SourceError(AnnotateError):
    """A source of passages is missing, unreachable or not in the expected schema."""


class TooFewError(AnnotateError):
    """Fewer paragraphs could be made than were asked for."""


class BenchmarkError(AnnotateError):
    """A benchmark folder is missing, torn, or belongs to another seed or schema version."""


class LabelError(AnnotateError):
    """Labels cannot be collected, or do not fit the benchmark they are read against."""


class RowsError(AnnotateError):
    """The rows of a file cannot be had, or none of them can be used."""


class UnusableRowError(ValueError):
    """A row that nothing can be made of; its text is the reason, the same words for every such row."""


class UnknownNameError(AnnotateError):
    """A source, annotator or rule was named that is not registered.

    Args:
        kind: What was looked for, for instance ``"annotator"``.
        name: The name that was asked for.
        known: The names that exist.
    """

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        near = get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        super().__init__(f"no {kind} is called {name!r}{hint}; there are: {', '.join(known)}")


class OutOfMemoryError(AnnotateError):
    """The process may take too little memory for its libraries."""


class IncompleteError(AnnotateError):
    """A run stopped before its end; re-run the command to resume."""

    exit_code = 3


class StaleError(AnnotateError):
    """An action on a paragraph follows a state that is no longer the last one.

    Args:
        paragraph_id: The paragraph.
        base: Sequence number that the action follows.
        last: Sequence number of the last review.
    """

    def __init__(self, paragraph_id: str, base: int, last: int) -> None:
        super().__init__(
            f"{paragraph_id} was changed elsewhere (review {last}, this page knew {base});"
            " nothing was overwritten: reload the paragraph"
        )


class BudgetError(AnnotateError):
    """The next request could cost more than may be spent; what was answered is kept."""

    exit_code = 4


class EndpointError(AnnotateError):
    """The endpoint will not serve this run: quota, key, model or a parameter; what was answered is kept."""

    exit_code = 5
