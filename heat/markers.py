"""Where a text holds the markers of a chat template, which stand for one thing however many signs they have."""

from collections.abc import Sequence

import regex

Span = tuple[int, int]

# With the role that a marker opens: `<|im_start|>user` (ChatML), `<start_of_turn>user` (Gemma),
# `<|start_header_id|>user<|end_header_id|>` (Llama 3). Alone: `<|end|>`, `<｜User｜>` (DeepSeek), `[INST]`, `<s>`.
_MARKER = regex.compile(
    r"<\|(?:start_header_id|header_start)\|>[^<>\n]{1,40}<\|(?:end_header_id|header_end)\|>"
    r"|(?:<\|im_start\|>|<start_of_turn>)\w{1,40}(?=\n)"
    r"|<\|[^\s<>|]{1,64}\|>|<｜[^\s<>｜]{1,64}｜>|<(?:start|end)_of_turn>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
    r"|</?s>|<(?:bos|eos|pad|unk)>"
)


def markers(text: str) -> list[Span]:
    """Where markers lie.

    Args:
        text: A prompt as the model reads it.

    Returns:
        `[start, end)` of each in code points, in order.
    """
    return [match.span() for match in _MARKER.finditer(text)]


def with_whole_markers(text: str, words: Sequence[Span]) -> list[Span]:
    """Words of which each marker is one.

    Args:
        text: The text.
        words: `[start, end)` of its words, in order.

    Returns:
        The same, without those inside of markers and with the markers in their place.
    """
    spans = markers(text)
    inside = {index for start, end in spans for index in range(start, end)}
    return sorted([*(word for word in words if word[0] not in inside and word[1] - 1 not in inside), *spans])
