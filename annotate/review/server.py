"""The local server of the review page: loopback only, one secret address, a fixed table of files."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from annotate.console import describe
from annotate.errors import LabelError, StaleError
from annotate.review.session import Pair, Session
from annotate.review.wire import SessionError, WireError, read_change

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
MAX_BODY = 256 * 1024
"""Bytes of the longest message taken; an action on a paragraph of thousands of words fits."""
MODULES = (
    "commands.js",
    "decisions.js",
    "dom.js",
    "keys.js",
    "messages.js",
    "navigation.js",
    "outbox.js",
    "queue.js",
    "review.js",
    "server.js",
    "sheet.js",
    "state.js",
    "vocabulary.js",
    "watch.js",
    "words.js",
)
"""Scripts of the page, one idea each; ``review.js`` is the one that the page names."""
STATIC = {
    "": ("review.html", "text/html; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{name: (name, "text/javascript; charset=utf-8") for name in MODULES},
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def refusal(status: int, sentence: str) -> JSONResponse:
    """An answer that says in one sentence why not."""
    return JSONResponse({"error": sentence}, status)


class Guard:
    """Lets a request through only if it comes from the page itself.

    The ``Host`` must be ours, or another site's name that was pointed at this machine (DNS rebinding) would
    do; the ``Origin``, where there is one, must be ours, and an action must have one; the first part of the
    path must be the token.

    Args:
        app: What is guarded; sees the path as it was sent.
        token: The secret in the address.
        port: Port of the server.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        refused = self._refused(Request(scope))
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, request: Request) -> JSONResponse | None:
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return refusal(403, "this server answers to its own address only")
        token = request.url.path.split("/")[1]
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return refusal(403, "the address lacks the token: open the one that annotate review printed")
        origin = request.headers.get("origin")
        if origin is None and request.method in ("GET", "HEAD"):
            return None
        if origin != f"http://{host}":
            return refusal(403, "the request does not come from the review page")
        return None


def create_app(session: Session, token: str, port: int) -> ASGIApp:
    """The application.

    Args:
        session: What it answers from.
        token: The secret in the address.
        port: The port it is served on.
    """

    async def static(request: Request) -> Response:
        name = request.path_params.get("name", "")
        if name not in STATIC:
            raise HTTPException(404)
        file, kind = STATIC[name]
        return Response(files("annotate.review").joinpath("static", file).read_bytes(), media_type=kind)

    async def describe_session(request: Request) -> Response:
        return JSONResponse(session.describe())

    async def alive(request: Request) -> Response:
        return JSONResponse(session.alive())

    async def queue(request: Request) -> Response:
        return JSONResponse(session.queue(_pair(request)))

    async def sheet(request: Request) -> Response:
        return JSONResponse(session.sheet(_paragraph(request), _pair(request)))

    async def change(request: Request) -> Response:
        return JSONResponse(session.change(read_change(await _body(request))))

    root = f"/{token}"
    routes = [
        Route(f"{root}/", static),
        Route(f"{root}/api/session", describe_session),
        Route(f"{root}/api/alive", alive),
        Route(f"{root}/api/queue", queue),
        Route(f"{root}/api/paragraphs/{{paragraph}}", sheet),
        Route(f"{root}/api/reviews", change, methods=["POST"]),
        Route(f"{root}/{{name}}", static),
    ]
    app = Starlette(routes=routes, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False
    return Guard(app, token, port)


def _paragraph(request: Request) -> int:
    try:
        return int(request.path_params["paragraph"])
    except ValueError as error:
        raise WireError("a paragraph is named by its position, as in paragraphs/0") from error


def _pair(request: Request) -> Pair | None:
    text = request.query_params.get("pair")
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        raise WireError("pair must be positions of annotators, as in pair=0,1") from error


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    return body


_SENTENCES = {
    404: "there is nothing at this address",
    405: "this address does not take that method",
    413: f"the message is longer than {MAX_BODY // 1024} KiB",
    415: "the message must be application/json",
}


async def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer = refusal(status, _SENTENCES.get(status, "the request cannot be served"))
    if isinstance(error, HTTPException):
        answer.headers.update(error.headers or {})
    if status == 413:
        answer.headers["Connection"] = "close"
    return answer


async def _on_wire(request: Request, error: Exception) -> Response:
    return refusal(400, str(error))


async def _on_session(request: Request, error: Exception) -> Response:
    return refusal(412, str(error))


async def _on_stale(request: Request, error: Exception) -> Response:
    return refusal(409, str(error))


async def _on_disk(request: Request, error: Exception) -> Response:
    return refusal(507, f"not saved: {describe(error)}")


_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _on_http,
    SessionError: _on_session,
    WireError: _on_wire,
    StaleError: _on_stale,
    OSError: _on_disk,
}


def listen(port: int) -> socket.socket:
    """Open the loopback port.

    Args:
        port: The port; 0 for any free one.

    Raises:
        LabelError: It cannot be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise LabelError(
            f"port {port} of {HOST} cannot be had ({describe(error)}); use another --port, or 0 for any"
        ) from error
    return listener


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until Ctrl-C or a termination signal.

    Args:
        app: The application.
        listener: The open port; closed at the end.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        ws="none",
    )
    with contextlib.suppress(KeyboardInterrupt):  # raised again by uvicorn after it stopped
        uvicorn.Server(config).run(sockets=[listener])
