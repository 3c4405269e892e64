"""Thoughts that a model writes before its answer, and how models mark them."""

from __future__ import annotations

import regex

_NAMES = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratch_?pad|analysis)"
_TAG = rf"(?:\w+[:_])?{_NAMES}"
BEGINS = (
    rf"<{_TAG}(?:\s[^<>]*)?>|\[{_NAMES}\]|◁think▷|<\|(?:begin|start)_(?:of_)?{_NAMES}\|>"
    r"|<\|channel\|>analysis<\|message\|>|<\|channel>thought\b"
)
"""Regular expression, whatever the case, of what begins thoughts."""
ENDS = (
    rf"</{_TAG}>|\[/{_NAMES}\]|◁/think▷|<\|end_(?:of_)?{_NAMES}\|>"
    r"|<\|channel\|>final<\|message\|>|<channel\|>"
)
"""Regular expression, whatever the case, of what ends thoughts; they may begin in the prompt, out of sight."""

_BEGINNING = regex.compile(rf"\s*(?:{BEGINS})", regex.IGNORECASE)
_END = regex.compile(ENDS, regex.IGNORECASE)


def without_thoughts(content: str, text: str) -> str:
    """An answer without the thoughts before it.

    Args:
        content: The answer.
        text: What it is about: marks of thoughts that stand in it too are left alone.

    Returns:
        What stands behind the last end of thoughts; nothing where they begin and never end.
    """
    if _END.search(text):
        return content
    ends = list(_END.finditer(content))
    if ends:
        return content[ends[-1].end() :]
    return "" if _BEGINNING.match(content) and not _BEGINNING.match(text) else content
