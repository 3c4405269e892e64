"""What `heat serve` does: load the model, open the history, serve the page, say where it is."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import webbrowser
from collections.abc import Callable
from pathlib import Path

from heat.errors import ConfigError, MissingExtraError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


def serve(
    model: str | None = None,
    *,
    dtype: str | None = None,
    device: str | None = None,
    history: Path = Path("heat-history"),
    port: int = 0,
    token: str = "",
    browser: bool = True,
    tell: Callable[[str], object] = print,
) -> None:
    """Serve the live page until Ctrl-C.

    Args:
        model: Model folder, GGUF file or hub name; None for the embedded reader.
        dtype: Dtype of the weights; None for the checkpoint's own.
        device: Where to put the model; None for the CPU.
        history: Folder that keeps what is asked and found, made if missing.
        port: Port on the loopback; 0 for any free one.
        token: The secret in the address; drawn when empty. Open pages go on when port and token are those
            they were opened with.
        browser: Whether to open the page in the browser.
        tell: Gets the lines for the terminal.

    Raises:
        MissingExtraError: The extra `serve` is not installed.
        HeatError: The model cannot be loaded, the port is taken, another server writes to the history, or the token
            cannot be used.
    """
    try:
        from heat.serve import server
        from heat.serve.guard import HOST
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"heat serve needs {error.name}: pip install 'heat-alignment[serve]'"
            " (in a checkout: pip install -e '.[serve]')"
        ) from error
    secret = token or secrets.token_urlsafe(24)
    if not _TOKEN.fullmatch(secret):
        raise ConfigError("--token must have 16 to 200 letters, digits, - or _")
    with server.listen(port) as listener:
        own_port = listener.getsockname()[1]
        from heat.model import load
        from heat.serve.history import History
        from heat.serve.session import Session

        with History(history) as opened:
            tell(f"loading {model or 'the embedded reader'}")
            session = Session(
                load(model, dtype=dtype, device=device),
                opened,
                model=tuple(_named(model, dtype, device)),
                restart=_again(_named(model, dtype, device), history, own_port, secret),
            )
            address = f"http://{HOST}:{own_port}/{secret}/"
            tell(f"live page: {address}")
            tell(f"Ctrl-C stops it; what was found is in {history}")
            if browser:
                webbrowser.open(address)
            session.worker.start()
            try:
                with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C before the server listens for it
                    server.serve(server.create_app(session, secret, own_port), listener)
            finally:
                session.worker.stop()
    tell(f"stopped; the history is in {history}")


def _named(model: str | None, dtype: str | None, device: str | None) -> list[str]:
    """The options that name the model."""
    given = (("--model", model), ("--dtype", dtype), ("--device", device))
    return [word for name, value in given if value for word in (name, value)]


def _again(model: list[str], history: Path, port: int, token: str) -> str:
    """The command that serves open pages again."""
    words = ["heat", "serve", *model]
    words += ["--history", str(history), "--port", str(port), "--token", token, "--no-browser"]
    return shlex.join(words)
