"""Who may ask the server: the page it gave out, on this machine, with the secret in its address.

`annotate review` has the same guard; the two packages share no code, so a test holds them together.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
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
    do; the ``Origin``, where there is one, must be ours, and a message must have one; the first part of the
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
            return refusal(403, "the address lacks the token: open the one that heat serve printed")
        origin = request.headers.get("origin")
        if origin is None and request.method in ("GET", "HEAD"):
            return None
        if origin != f"http://{host}":
            return refusal(403, "the request does not come from the page of heat serve")
        return None
