"""What the fake API answers: words of the text in the request, chosen by the request, so always the same.

``chosen_words`` says which: a test compares labels with it. The formats are told apart by the request itself.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from annotate.words import split_words

SHARE = 0.15


def asked_text(body: dict[str, Any]) -> str:
    """The text that is to be marked: between <<< and >>> in the last message that has these."""
    users = [message["content"] for message in body["messages"] if message["role"] == "user"]
    shown = [content for content in users if "\n>>>" in content]
    return shown[-1].partition("<<<\n")[2].partition("\n>>>")[0] if shown else ""


def chosen_words(text: str, seed: str = "") -> list[int]:
    """The words of ``text`` that the fake marks, as indices."""
    rng = random.Random(f"{seed}|{text}")
    spans = split_words(text)
    return [i for i, (a, b) in enumerate(spans) if text[a:b].isalnum() and rng.random() < SHARE]


def answer_request(body: dict[str, Any]) -> str:
    """The content of the answer to a chat request.

    ``body["fake"]`` asks for faults of the answer: "wrong" for quotes that are not in the text, "duplicate" for
    every mark twice.
    """
    text = asked_text(body)
    words = chosen_words(text, str(body.get("model", "")))
    last = body["messages"][-1]["content"] if body.get("messages") else ""
    schema = json.dumps(body.get("response_format", {}))
    fault = body.get("fake", "")
    if "do not stand in the text" in last and fault != "wrong":  # asked again: takes them back, all of them
        count = sum(line.startswith('"') for line in last.splitlines())
        return json.dumps({"spans": [{"quote": "", "occurrence": 1, "before": ""}] * count})
    if '"paragraph"' in schema:
        return json.dumps({"paragraph": reworded(text, body["messages"], fault)}, ensure_ascii=False)
    if '"i"' in schema:
        marks = [{"i": i, "word": text[slice(*split_words(text)[i])]} for i in words]
        return json.dumps({"words": marks * 2 if fault == "duplicate" else marks}, ensure_ascii=False)
    tag = re.search(r"Tags to use: (<\w+>) and (</\w+>)", last)
    if tag:
        return _tagged(text, words, tag[1], tag[2])
    marks = [_quote(text, i) for i in words]
    if fault == "wrong":
        marks = [{"quote": "zyzzyva quux", "occurrence": 1, "before": ""}, *marks]
    return json.dumps({"spans": marks * 2 if fault == "duplicate" else marks}, ensure_ascii=False)


def reworded(text: str, messages: list[dict[str, str]], fault: str = "") -> str:
    """``text`` with "As they say, " before every line but its unchanged end; "wrong" changes that as well."""
    ends = re.findall(r"Stays exactly as it is: (.+)", "\n".join(each["content"] for each in messages))
    end = ends[-1]
    told = text.removesuffix(end)
    lines = [f"As they say, {line[0].lower()}{line[1:]}" for line in told.strip().split("\n")]
    gap = told[len(told.rstrip()) :]
    return "\n".join(lines) + gap + (end.upper() if fault == "wrong" else end)


def _quote(text: str, index: int) -> dict[str, Any]:
    spans = split_words(text)
    start, end = spans[index]
    word = text[start:end]
    before = text[spans[max(0, index - 4)][0] : start].strip()
    occurrence = 1 + sum(text[a:b] == word for a, b in spans[:index])
    return {"quote": word, "occurrence": occurrence, "before": before}


def _tagged(text: str, words: list[int], opening: str, closing: str) -> str:
    spans = split_words(text)
    pieces, last = [], 0
    for index in words:
        start, end = spans[index]
        pieces += [text[last:start], opening, text[start:end], closing]
        last = end
    return "".join([*pieces, text[last:]])
