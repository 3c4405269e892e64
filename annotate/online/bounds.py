"""How much of a response is read, how long that may take, and whose it may be: hooks of an HTTP client."""

from __future__ import annotations

import importlib
import queue
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MOST_BYTES = 8 << 20
"""Most bytes of a body once it is unpacked; an answer has some thousand."""
MOST_FILE_BYTES = 1 << 30
"""The same for a file of a batch, which holds up to 50,000 answers."""
_FILE_TIMES = 20
"""How many times as long as for an answer reading a file may take."""
_DEADLINE = "annotate_deadline"


class TooLargeError(Exception):
    """A body is larger than any that is asked for."""


class RedirectError(Exception):
    """A server sends the request on to another one."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread of its own, and leave it behind when it takes too long.

    The time limits of an HTTP client hold for a single read: who sends a byte now and then is never late.

    Raises:
        TimeoutError: It takes longer than ``seconds``.
        Exception: What ``work`` raises.
    """
    results: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(([work()], None))
        except BaseException as error:
            results.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result[0]


def bounded_client(seconds: float, make: Callable[..., Any]) -> Any:
    """An HTTP client whose responses are bounded in bytes, time and origin.

    Args:
        seconds: Limit for a whole response; a file of a batch may take longer.
        make: Makes the client of keyword arguments; of whichever library the SDK uses.
    """

    def started(request: Any) -> None:
        times = _FILE_TIMES if _is_file(request) else 1
        request.extensions.setdefault(_DEADLINE, time.monotonic() + times * seconds)

    hooks = {"request": [started], "response": [_check_origin, _read]}
    # Only what can be unpacked bit by bit is asked for.
    return make(timeout=seconds, event_hooks=hooks, headers={"Accept-Encoding": "gzip, deflate"})


def _is_file(request: Any) -> bool:
    return str(request.url.path).endswith("/content")


def _check_origin(response: Any) -> None:
    """Refuse to be sent on to another server, which would get the prompts, or by a redirect that drops them.

    Raises:
        RedirectError: Names both.
    """
    if not response.has_redirect_location:
        return
    here = response.request.url
    try:
        there = here.join(response.headers["location"])
    except Exception:  # the libraries have each their own
        raise RedirectError(f"{_origin(here)} sends requests on to an address that is none") from None
    upgraded = (there.scheme, there.host, there.port) == ("https", here.host, None) and here.port is None
    if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port) and not upgraded:
        raise RedirectError(
            f"{_origin(here)} sends requests on to {_origin(there)}, another server, which would get the prompts;"
            " if that is meant, give its address by --base-url"
        )
    if response.request.method == "POST" and response.status_code in (301, 302, 303):
        raise RedirectError(  # a client goes on with GET and without the body, which no model answers
            f"{_origin(here)} sends requests on to {_origin(there)}{there.path} (HTTP {response.status_code});"
            " give that address by --base-url"
        )


def _origin(url: Any) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"


def _read(response: Any) -> None:
    """Read the body within its limits, and put it unpacked in its place.

    Raises:
        TooLargeError: It has too many bytes.
        TimeoutError: It takes too long.
        ValueError: It cannot be unpacked.
    """
    most = MOST_FILE_BYTES if _is_file(response.request) else MOST_BYTES
    deadline = response.request.extensions.get(_DEADLINE, float("inf"))
    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise ValueError(f"the body is packed by {packed!r}, which was not asked for")
    unpack = None if packed in ("identity", "") else zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    body = bytearray()
    try:
        for chunk in response.stream:
            if time.monotonic() > deadline:
                raise TimeoutError("the body takes too long")
            # One byte more than may be there tells that there are too many.
            body += unpack.decompress(chunk, most - len(body) + 1) if unpack else chunk
            if len(body) > most:
                raise TooLargeError(f"the body has more than {most:,} bytes")
    except zlib.error as error:
        raise ValueError(f"the body cannot be unpacked: {error}") from error
    finally:
        response.stream.close()
    response.headers.pop("content-encoding", None)
    library = importlib.import_module(type(response).__module__.partition(".")[0])
    response.stream = library.ByteStream(bytes(body))
