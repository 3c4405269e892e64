"""A terminal for tables and sentences that hold what others wrote."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from annotate.outside import printable


class Terminal(Console):
    """A console on which a string shows the escapes of control characters instead of obeying them."""

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Render a string, as Rich does with every cell, title and sentence."""
        return super().render_str(printable(text), *args, **options)
