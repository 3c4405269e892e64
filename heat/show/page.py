"""One attribution as one self-contained HTML page: no script, nothing loaded, every text escaped."""

import base64
import hashlib
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from heat.attribution import Attribution
from heat.show.colours import (
    AGAINST,
    DARK_INK,
    DARK_PAPER,
    DARK_STRENGTH,
    FOR,
    INK,
    PAPER,
    RGB,
    STRENGTH,
    as_hex,
)
from heat.show.words import SCORE, Piece, Reading, read, visible, visible_lines

# More target tokens than this get no choice of their own: the page would be mostly numbers.
MAX_CHOICES = 50
# Words in each table.
ROWS = 25
# Tokens of one word.
_SHOWN_TOKENS = 40

_MEANINGS = {
    SCORE: "what the method says; the other choices are the parts it was made of",
    "transition": "how much of the target's information came from this place through attention",
    "curvature": "how strongly the loss bends along this place's embedding",
    "information": "how much the prediction changes when this place is masked",
}


@dataclass(frozen=True)
class _Word:
    before: str
    text: str
    title: str
    answer: bool


@dataclass(frozen=True)
class _View:
    name: str
    meaning: str
    signed: bool


@dataclass(frozen=True)
class _Choice:
    """The whole answer (token None) or one of its tokens."""

    token: int | None
    label: str
    probability: float
    largest: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]


def page(attribution: Attribution, command: str | None = None) -> str:
    """The attribution as HTML.

    It holds the coloured words with a choice of what to show (score or component) and about which token of the
    answer, both by radio buttons and CSS alone, the numbers on hovering, a table, and how to make it again. The
    policy in its head forbids everything but its own style sheet.

    Args:
        attribution: What to show.
        command: The command line that made it, to be shown; None for none.

    Returns:
        The whole page; the same for the same arguments and versions.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    reading = read(attribution)
    views = [
        _View(visible(name), _MEANINGS.get(name, "a part of the score"), reading.signed(name))
        for name in reading.views
    ]
    tokens: list[int | None] = [None]
    if 1 < len(reading.answer) <= MAX_CHOICES:
        tokens += range(len(reading.answer))
    style = _style_sheet(reading, tokens)
    environment = Environment(
        loader=PackageLoader("heat"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        style_sheet=environment.get_template("page.css").render(style),
        sha256=lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        target=visible_lines(reading.target),
        probability=reading.probability,
        outside=reading.outside,
        n_prompt=len(reading.prompt),
        too_many=MAX_CHOICES if len(reading.answer) > MAX_CHOICES else None,
        words=list(_words(reading)),
        views=views,
        choices=[_choice(reading, token) for token in tokens],
        rows=ROWS,
        made={name: visible_lines(text) for name, text in _made(attribution, command).items()},
        model=visible(attribution.model),
        method=visible(attribution.method),
    )


def _words(reading: Reading) -> Iterator[_Word]:
    numbers = {name: reading.numbers(name) for name in reading.views}
    for index, piece in enumerate(reading.pieces):
        lines = [visible(piece.text)]
        lines += [f"{visible(name)} {row[index]:.4g}" for name, row in numbers.items()]
        lines.append(f"tokens: {_tokens(piece)}")
        text = visible_lines(piece.text)
        yield _Word(visible_lines(piece.before), text, "\n".join(lines), index >= len(reading.prompt))


def _tokens(piece: Piece) -> str:
    shown = " · ".join(piece.tokens[:_SHOWN_TOKENS])
    more = len(piece.tokens) - _SHOWN_TOKENS
    return visible(shown) + (f" and {more} more" if more > 0 else "")


def _choice(reading: Reading, token: int | None) -> _Choice:
    numbers = [reading.numbers(name, token) for name in reading.views]
    table = [
        (
            str(index + 1),
            visible_lines(reading.prompt[index].text),
            *(f"{row[index]:.4g}" for row in numbers),
            _tokens(reading.prompt[index]),
        )
        for index in reading.strongest(ROWS, token)
    ]
    return _Choice(
        token=token,
        label="all of it" if token is None else visible(reading.answer[token].text),
        probability=reading.probability if token is None else reading.probabilities[token],
        largest=tuple(f"{reading.largest(name, token):.4g}" for name in reading.views),
        table=tuple(table),
    )


def _style_sheet(reading: Reading, tokens: list[int | None]) -> dict[str, object]:
    """What the style sheet is made of: numbers and names of our own only, never text of the attribution."""
    combinations = [
        (choice, view, reading.shares(name, token))
        for choice, token in enumerate(tokens)
        for view, name in enumerate(reading.views)
    ]
    rules = []
    for index in range(len(reading.pieces)):
        numbers = [
            f"--c{choice}v{view}:{shares[index]:.2f}"
            for choice, view, shares in combinations
            if abs(shares[index]) >= 0.005
        ]
        if numbers:
            rules.append(f"#w{index}{{{';'.join(numbers)}}}")
    return {
        "rules": rules,
        "choices": range(len(tokens)),
        "views": range(len(reading.views)),
        "for_": _triple(FOR),
        "against": _triple(AGAINST),
        "ink": as_hex(INK),
        "paper": as_hex(PAPER),
        "dark_ink": as_hex(DARK_INK),
        "dark_paper": as_hex(DARK_PAPER),
        "strength": STRENGTH,
        "dark_strength": DARK_STRENGTH,
    }


def _triple(colour: RGB) -> str:
    return " ".join(f"{part:g}" for part in colour)


def _made(attribution: Attribution, command: str | None) -> dict[str, str]:
    return {
        "command": command or "called from Python",
        "method": attribution.method,
        "options": json.dumps(dict(attribution.config), ensure_ascii=False),
        "model": f"{attribution.model}, revision {attribution.revision}, {attribution.dtype}",
        "seed": str(attribution.seed),
        "work": f"{attribution.forward_equivalents:g} forward passes (a backward pass counts 1)",
        "versions": ", ".join(_versions()),
    }


def _versions() -> Iterator[str]:
    yield f"python {platform.python_version()}"
    for package in ("heat-alignment", "torch", "transformers"):
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
