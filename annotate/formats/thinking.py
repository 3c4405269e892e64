"""Thoughts that a model writes before its answer, and how models mark them."""

from __future__ import annotations

import regex

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis)"
BEGINS = rf"<{_NAMES}>|\[think\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis<\|message\|>"
"""Regular expression, whatever the case, of what begins thoughts."""
ENDS = rf"</{_NAMES}>|\[/think\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>"
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
