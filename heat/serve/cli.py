"""The command line of `heat serve`: parse, then serve."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from heat.options import ModelOptions


def serve(
    model: ModelOptions = ModelOptions(),
    history: Annotated[
        Path, typer.Option(help="Folder that keeps what is asked and found; made if missing.")
    ] = Path("heat-history"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on the loopback; 0 for any free one.")
    ] = 0,
    token: Annotated[
        str, typer.Option(help="The secret in the address. Default: drawn anew.", show_default=False)
    ] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Serve a live page on this machine: ask, see what it costs, and look at the attributions (extra serve)."""
    from heat.serve.command import serve as served

    served(
        model.model,
        dtype=model.dtype,
        device=model.device,
        history=history,
        port=port,
        token=token,
        browser=browser,
        tell=partial(print, flush=True),
    )
