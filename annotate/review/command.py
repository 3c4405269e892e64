"""What `annotate review` does: open the log, serve the page, say where it is."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import unicodedata
import webbrowser
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast, get_args

from annotate.benchmark import command_on
from annotate.errors import LabelError, UnknownNameError
from annotate.label_files import read_labels
from annotate.review.log import DEFAULT_REVIEWER, Mode, ReviewLog, last_reviews, read_log
from annotate.review.queue import Filter
from annotate.review.session import Session
from annotate.schema import Label, Paragraph

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
_NAME = re.compile(r"\S(.{0,78}\S)?")


def review(
    benchmark: Benchmark,
    annotators: Sequence[str] = (),
    *,
    mode: Mode = "review",
    shown: str = "pending",
    reviewer: str = DEFAULT_REVIEWER,
    seed: int = 0,
    port: int = 0,
    token: str = "",
    browser: bool = True,
    tell: Callable[[str], object] = print,
) -> None:
    """Serve the review page until Ctrl-C.

    Args:
        benchmark: What is reviewed; actions go to its ``reviews.jsonl``.
        annotators: Whose marks to show; all there are when empty.
        mode: What the person sees.
        shown: Which paragraphs the page lists at first.
        reviewer: Name of the person, noted with every action.
        seed: Seed of the swap of sides (``blind``) and of the order (``audit``).
        port: Port on the loopback; 0 for any free one.
        token: The secret in the address; drawn when empty. Open pages go on when port and token are those
            they were opened with.
        browser: Whether to open the page in the browser.
        tell: Gets the lines for the terminal.

    Raises:
        LabelError: There is nothing to review, another process writes to the log, the port is taken, a name or
            token cannot be used, or the extra ``review`` is not installed.
        UnknownNameError: There is no such filter, or a named annotator has no labels.
    """
    try:
        from annotate.review.server import HOST, create_app, listen, serve
    except ModuleNotFoundError as error:
        raise LabelError(
            f"annotate review needs {error.name}: pip install 'heat-alignment[review]'"
            " (in a checkout: pip install -e '.[review]')"
        ) from error
    if shown not in get_args(Filter):
        raise UnknownNameError("filter", shown, list(get_args(Filter)))
    if not _NAME.fullmatch(reviewer):
        raise LabelError("--reviewer must be a name of 1 to 80 characters in one line")
    reviewer = unicodedata.normalize("NFC", reviewer)  # "é" is typed in two ways
    secret = token or secrets.token_urlsafe(24)
    if not _TOKEN.fullmatch(secret):
        raise LabelError("--token must have 16 to 200 letters, digits, - or _")
    paragraphs = benchmark.paragraphs()
    labels = _labels(benchmark, paragraphs, annotators, mode)
    listener = listen(port)
    own_port = listener.getsockname()[1]
    with listener, ReviewLog(benchmark.reviews, paragraphs) as log:
        session = Session(
            paragraphs,
            labels,
            log,
            mode=mode,
            reviewer=reviewer,
            shown=cast(Filter, shown),
            seed=seed,
            restart=_again(benchmark, annotators, mode, reviewer, seed, own_port, secret),
        )
        address = f"http://{HOST}:{own_port}/{secret}/"
        tell(f"review page: {address}")
        tell("Ctrl-C stops it; every action is on the disk by then")
        if browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C before the server listens for it
            serve(create_app(session, secret, own_port), listener)
    tell(_result(benchmark, paragraphs))


def _labels(
    benchmark: Benchmark, paragraphs: Sequence[Paragraph], annotators: Sequence[str], mode: Mode
) -> dict[str, list[Label]]:
    if mode == "audit":
        if annotators:
            raise LabelError("an audit shows no marks; leave out --annotator or --audit")
        return {}
    labels = read_labels(benchmark.labels_dir, paragraphs, annotators)
    if mode == "blind" and len(labels) > 2:
        raise LabelError(f"--blind shows two annotators; name two by --annotator, of: {', '.join(labels)}")
    return labels


def _again(
    benchmark: Benchmark,
    annotators: Sequence[str],
    mode: Mode,
    reviewer: str,
    seed: int,
    port: int,
    token: str,
) -> str:
    """The command that serves open pages again."""
    words = ["annotate", "review", "--benchmark", str(benchmark.path)]
    for name in annotators:
        words += ["--annotator", name]
    if mode != "review":
        words.append(f"--{mode}")
    words += [
        "--reviewer",
        reviewer,
        "--seed",
        str(seed),
        "--port",
        str(port),
        "--token",
        token,
        "--no-browser",
    ]
    return shlex.join(words)


def _result(benchmark: Benchmark, paragraphs: Sequence[Paragraph]) -> str:
    reviews = last_reviews(read_log(benchmark.reviews, paragraphs))
    done = len({review.paragraph_id for review in reviews if review.done})
    flagged = len({review.paragraph_id for review in reviews if review.flag})
    return (
        f"stopped; {done:,} of {len(paragraphs):,} paragraphs done, {flagged:,} flagged, in {benchmark.reviews};"
        f" next: {command_on('adjudicate --rule reviewed', benchmark.path)}"
    )
