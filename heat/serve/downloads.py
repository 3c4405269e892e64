"""Attributions of the history as one file to take along, with the commands that make it again."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from heat.answers import Answer
from heat.attribution import Attribution
from heat.parts import recombine
from heat.projection import Aggregation
from heat.serve.commands import commands
from heat.serve.wire import DownloadRequest, ExplainRequest, Recombination
from heat.units import Unit

KINDS: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
}
"""What there is to download, and what it is sent as."""


@dataclass(frozen=True)
class Found:
    """What one method of a request found.

    Attributes:
        attribution: As it is stored.
        request: What was asked.
        model: The options of `heat explain` that name the model.
        answer: Which tokens of the answer depend on the text; None where that was not asked.
        parts: How its parts are put together; None as it was computed.
    """

    attribution: Attribution
    request: ExplainRequest
    model: tuple[str, ...]
    answer: Answer | None = None
    parts: Recombination | None = None

    @property
    def shown(self) -> Attribution:
        """The attribution as it is shown.

        Raises:
            HeatError: The parts cannot be put together like this.
        """
        if self.parts is None:
            return self.attribution
        return recombine(self.attribution, self.parts.method, **self.parts.options)


@dataclass(frozen=True)
class _Text:
    """Methods of one text, and the commands that make the same of it."""

    attributions: tuple[Attribution, ...]
    answer: Answer | None
    commands: tuple[str, ...]


def download(kind: str, found: Sequence[Found], wanted: DownloadRequest) -> bytes:
    """Attributions as one file: methods of one text under each other, other texts beside each other.

    Args:
        kind: A key of `KINDS`.
        found: At least one; those of one text one after another.
        wanted: How they are shown.

    Returns:
        The file's content.

    Raises:
        HeatError: Parts cannot be put together like this, or a text has no such units.
    """
    texts = []
    for _, group in groupby(found, key=_text_of):
        members = list(group)
        shown = tuple(one.shown for one in members)
        made = commands(members[0].request, shown, members[0].model, kind, wanted)
        if kind != "json" and wanted.skip_first:
            shown = tuple(one.without_first() for one in shown)
        texts.append(_Text(shown, _answer(members[0]), tuple(made)))
    return {"html": _html, "json": _json, "png": _png}[kind](texts, wanted.unit, wanted.aggregation)


def _answer(found: Found) -> Answer | None:
    """The answer as `heat explain` has it where the command is run."""
    answer, request = found.answer, found.request
    if answer is None or (request.foil is not None and request.foil_at is None):
        return None
    # Where no token depends on the text all were explained, as by a threshold of 0.
    return answer.at_threshold(0.0) if found.attribution.explained is None else answer


def _text_of(found: Found) -> tuple[object, ...]:
    """What methods have in common that stand under each other, and that one command may name together."""
    one = found.attribution
    text = found.request.model_copy(update={"methods": ()})
    return one.token_ids, one.target_span, one.foil_ids, one.explained, text, found.model


def _html(texts: Sequence[_Text], unit: Unit, aggregation: Aggregation) -> bytes:
    from heat.show.page import page

    pages = [
        page(
            text.attributions[0] if len(text.attributions) == 1 else text.attributions,
            "\n".join(text.commands),
            unit=unit,
            aggregation=aggregation,
            answer=text.answer,
        )
        for text in texts
    ]
    return (pages[0] if len(pages) == 1 else _beside(pages)).encode()


_STYLE = (
    ":root{color-scheme:light dark}body{margin:0;display:flex;flex-wrap:wrap}"
    "iframe{flex:1 1 24rem;min-width:0;height:100vh;border:0}"
    "@media(max-width:50rem){iframe{flex-basis:100%;height:90vh;border-bottom:1px solid}}"
)


def _beside(pages: Sequence[str]) -> str:
    """Several pages in one that loads nothing: each in a frame of its own, which its script-free policy holds too."""
    # A frame is held to its own policy and to this one, so this one must know the style sheets of all.
    hashes = {match for text in pages for match in re.findall(r"'sha256-[^']+'", text[:2000])}
    own = f"'sha256-{_sha256(_STYLE)}'"
    policy = f"default-src 'none'; style-src {' '.join([own, *sorted(hashes)])}; base-uri 'none'; form-action 'none'"
    frames = "\n".join(
        f'<iframe title="text {number}" sandbox="" srcdoc="{html.escape(text)}"></iframe>'
        for number, text in enumerate(pages, 1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{len(pages)} texts compared</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{frames}\n</body>\n</html>\n"
    )


def _sha256(text: str) -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(texts: Sequence[_Text], unit: Unit, aggregation: Aggregation) -> bytes:
    from heat.show.document import document

    documents = []
    for text in texts:
        if text.answer is None and len(text.attributions) == 1:
            content = json.loads(text.attributions[0].to_json())
        else:
            content = json.loads(document(text.attributions, unit, aggregation, text.answer))
        documents.append({"command": "\n".join(text.commands), **content})
    whole = documents[0] if len(documents) == 1 else {"texts": documents}
    return json.dumps(whole, ensure_ascii=False).encode()


def _png(texts: Sequence[_Text], unit: Unit, aggregation: Aggregation) -> bytes:
    """The pictures under each other, with the commands in the file's metadata."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from heat.show.picture import picture

    pictures = [
        Image.open(io.BytesIO(picture(text.attributions, unit=unit, aggregation=aggregation))).convert("RGB")
        for text in texts
    ]
    width, height = max(one.width for one in pictures), sum(one.height for one in pictures)
    whole = Image.new("RGB", (width, height), "white")
    reached = 0
    for one in pictures:
        whole.paste(one, (0, reached))
        reached += one.height
    made = PngInfo()
    made.add_itxt("Command", "\n".join(line for text in texts for line in text.commands))
    content = io.BytesIO()
    whole.save(content, format="png", pnginfo=made, dpi=pictures[0].info.get("dpi", (150, 150)))
    return content.getvalue()
