"""The local server of the live page: loopback only, one secret address, a fixed table of files."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from heat.console import describe
from heat.errors import ConfigError, HeatError
from heat.serve.downloads import KINDS
from heat.serve.guard import HOST, Guard, refusal
from heat.serve.runs import NoSuchRunError
from heat.serve.wire import WireError, read_download, read_request, read_submission

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from heat.serve.session import Session

MAX_BODY = 1024 * 1024
"""Bytes of the longest message taken; a prompt of a hundred thousand words fits."""
MODULES = (
    "ask.js",
    "board.js",
    "comparison.js",
    "controls.js",
    "dom.js",
    "downloads.js",
    "history.js",
    "layer.js",
    "messages.js",
    "methods.js",
    "numbers.js",
    "panel.js",
    "recombine.js",
    "serve.js",
    "server.js",
    "state.js",
    "words.js",
)
"""Scripts of the page, one idea each; ``serve.js`` is the one that the page names."""
STATIC = {
    "": ("serve.html", "text/html; charset=utf-8"),
    "serve.css": ("serve.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{name: (name, "text/javascript; charset=utf-8") for name in MODULES},
}


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
        return Response(files("heat.serve").joinpath("static", file).read_bytes(), media_type=kind)

    async def about(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.describe))

    async def state(request: Request) -> Response:
        query = request.query_params
        return JSONResponse(session.state(query.get("boot", ""), _number(query.get("since", "-1"))))

    async def plan(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.plan, read_request(await _body(request))))

    async def submit(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.submit, read_submission(await _body(request))))

    async def cancel(request: Request) -> Response:
        await _body(request)
        return JSONResponse(await run_in_threadpool(session.cancel, request.path_params["run"]))

    async def asked(request: Request) -> Response:
        return JSONResponse(session.request(request.path_params["run"]))

    async def text(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.text, request.path_params["run"]))

    async def layer(request: Request) -> Response:
        run, index = request.path_params["run"], _number(request.path_params["index"])
        return JSONResponse(await run_in_threadpool(session.layer, run, index))

    async def download(request: Request) -> Response:
        kind, wanted = request.path_params["kind"], read_download(request.query_params.get("of", ""))
        content = await run_in_threadpool(session.download, kind, wanted)
        # Never shown in this origin: the page of an attribution is a file to take along.
        name = f"heat-{'-'.join(dict.fromkeys(item.run for item in wanted.items))}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=KINDS[kind], headers=headers)

    root = f"/{token}"
    routes = [
        Route(f"{root}/", static),
        Route(f"{root}/api/about", about),
        Route(f"{root}/api/state", state),
        Route(f"{root}/api/plan", plan, methods=["POST"]),
        Route(f"{root}/api/runs", submit, methods=["POST"]),
        Route(f"{root}/api/runs/{{run}}", asked),
        Route(f"{root}/api/runs/{{run}}/cancel", cancel, methods=["POST"]),
        Route(f"{root}/api/runs/{{run}}/text", text),
        Route(f"{root}/api/runs/{{run}}/{{index}}", layer),
        Route(f"{root}/api/download/{{kind}}", download),
        Route(f"{root}/{{name}}", static),
    ]
    app = Starlette(routes=routes, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False
    return Guard(app, token, port)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise WireError("a number was expected in the address") from error


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


async def _on_missing(request: Request, error: Exception) -> Response:
    return refusal(404, describe(error))


async def _on_heat(request: Request, error: Exception) -> Response:
    return refusal(400, describe(error))


async def _on_disk(request: Request, error: Exception) -> Response:
    return refusal(507, f"not saved: {describe(error)}")


_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _on_http,
    NoSuchRunError: _on_missing,
    HeatError: _on_heat,
    OSError: _on_disk,
}


def listen(port: int) -> socket.socket:
    """Open the loopback port.

    Args:
        port: The port; 0 for any free one.

    Raises:
        ConfigError: It cannot be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} of {HOST} cannot be had ({describe(error)}); use another --port, or 0 for any"
        ) from error
    return listener


def make_server(app: ASGIApp) -> uvicorn.Server:
    """The server of an application; it writes no log of who asked for what.

    Args:
        app: The application.
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
    return uvicorn.Server(config)


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until Ctrl-C or a termination signal.

    Args:
        app: The application.
        listener: The open port; closed at the end.
    """
    with contextlib.suppress(KeyboardInterrupt):  # raised again by uvicorn after it stopped
        make_server(app).run(sockets=[listener])
