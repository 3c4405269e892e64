"""One attribution as one self-contained HTML page: no script, nothing loaded, every text escaped."""

import base64
import hashlib
import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import exp

from heat.answers import Answer
from heat.attribution import Attribution
from heat.comparison import Comparison, compare
from heat.projection import Aggregation
from heat.show.answer import facts
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
from heat.show.methods import figure
from heat.show.words import SCORE, Piece, Reading, one_line, read, read_several, visible, visible_lines
from heat.units import Unit

# More target tokens than this get no choice of their own: the page would be mostly numbers.
MAX_CHOICES = 50
# Words in each table.
ROWS = 25
# Tokens of one word.
_SHOWN_TOKENS = 40
# Words beside a token of the answer, and words on which methods disagree.
_BESIDE = 4
_DISAGREEMENTS = 10
_RULES = {
    "mean": "the mean over its tokens",
    "sum": "the sum over its tokens",
    "max": "the largest of its tokens",
}

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
    heading: str
    faint: bool


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


def page(
    attribution: Attribution | Sequence[Attribution],
    command: str | None = None,
    *,
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
    answer: Answer | None = None,
    group: bool = False,
) -> str:
    """The attribution as HTML; several methods under each other, word by word.

    It holds the coloured words with a choice of what to show (score or component) and about which token of the
    answer, both by radio buttons and CSS alone, the numbers on hovering, a table, and how to make it again. The
    policy in its head forbids everything but its own style sheet.

    Args:
        attribution: What to show; several are rows of the same words, with their rank correlation.
        command: The command line that made it, to be shown; None for none.
        unit: What the prompt is divided into.
        aggregation: How a unit's number is made of its tokens'.
        answer: The whole answer that is explained: each of its tokens is listed with what it depends on.
        group: Whether the tokens of the answer are one target, without a choice between them.

    Returns:
        The whole page; the same for the same arguments and versions.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    attributions = [attribution] if isinstance(attribution, Attribution) else list(attribution)
    several = len(attributions) > 1
    compared = compare(attributions, unit, aggregation) if several else None
    reading = (
        read_several(attributions, compared.names, unit, aggregation)
        if compared
        else read(attributions[0], unit, aggregation)
    )
    views = [
        _View(
            visible(name), "" if several else _MEANINGS.get(name, "a part of the score"), reading.signed(name)
        )
        for name in reading.views
    ]
    explained = attributions[0].explained
    chosen = list(range(len(reading.answer)) if explained is None else explained)
    tokens: list[int | None] = [None]
    if 1 < len(chosen) <= MAX_CHOICES and not group:
        tokens += chosen
    style = _style_sheet(reading, tokens, several=several)
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
        outsides=_outsides(attributions, compared, unit, aggregation) if compared else [],
        n_prompt=len(reading.prompt),
        too_many=MAX_CHOICES if len(chosen) > MAX_CHOICES and not group else None,
        words=list(_words(reading, explained, answer)),
        views=views,
        choices=[_choice(reading, token) for token in tokens],
        rows=ROWS,
        made={name: visible_lines(text) for name, text in _made(attributions, command).items()},
        model=visible(attributions[0].model),
        method=", ".join(visible(one.method) for one in attributions),
        several=several,
        correlation=_correlation(compared) if compared else [],
        disagreements=_disagreements(compared) if compared else [],
        answer_facts=facts(answer) if answer else [],
        answer_tokens=_answer_tokens(answer, reading) if answer else [],
        unit=reading.unit,
        rule=_RULES[aggregation] if reading.unit != "token" else "",
    )


def _words(reading: Reading, explained: Sequence[int] | None, answer: Answer | None) -> Iterator[_Word]:
    numbers = {name: reading.numbers(name) for name in reading.views}
    n_prompt = len(reading.prompt)
    for index, piece in enumerate(reading.pieces):
        target = index - n_prompt
        faint = target >= 0 and explained is not None and target not in explained
        lines = [visible(piece.text)]
        if faint:
            lines.append("does not depend on the text")
        else:
            lines += [f"{visible(name)} {row[index]:.4g}" for name, row in numbers.items()]
        if target >= 0 and answer is not None:
            lines.append(f"divergence {answer.tokens[target].divergence:.3g} nats")
        lines.append(f"tokens: {_tokens(piece)}")
        text = visible_lines(piece.text)
        yield _Word(
            visible_lines(piece.before), text, "\n".join(lines), target >= 0, visible(piece.heading), faint
        )


def _outsides(
    attributions: Sequence[Attribution], compared: Comparison, unit: Unit, aggregation: Aggregation
) -> list[tuple[str, float]]:
    """Methods with the share of their scores that lies on tokens of no unit, where it is worth a word."""
    shares = [read(one, unit, aggregation).outside for one in attributions]
    return [
        (visible(name), share) for name, share in zip(compared.names, shares, strict=True) if share >= 0.01
    ]


def _correlation(compared: Comparison) -> list[tuple[str, ...]]:
    """A row for each method: its name, and Spearman's correlation with each."""
    return [
        (visible(name), *(figure(value) for value in row))
        for name, row in zip(compared.names, compared.correlation, strict=True)
    ]


def _disagreements(compared: Comparison) -> list[tuple[str, ...]]:
    """Place, text and ranks of the units that the methods rank most differently."""
    return [
        (str(one.index + 1), one_line(one.text), *(f"{rank:g}" for rank in one.ranks))
        for one in compared.disagreements[:_DISAGREEMENTS]
    ]


def _answer_tokens(answer: Answer, reading: Reading) -> list[tuple[bool, tuple[str, ...]]]:
    """Whether a token is explained, and number, text, probabilities, divergence and strongest words."""
    explained = set(answer.encoded.wanted)
    found: list[tuple[bool, tuple[str, ...]]] = []
    for index, token in enumerate(answer.tokens):
        words = ""
        if index in explained:
            words = "  ".join(one_line(reading.prompt[i].text, 32) for i in reading.strongest(_BESIDE, index))
        numbers = (
            f"{exp(token.log_prob):.3g}",
            f"{exp(token.log_prob_without):.2g}",
            f"{token.divergence:.3g}",
        )
        text = one_line(token.text, 40) or repr(token.text)[1:-1]
        found.append((index in explained, (str(index + 1), text, *numbers, words)))
    return found


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


def _style_sheet(reading: Reading, tokens: list[int | None], *, several: bool) -> dict[str, object]:
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
        "several": several,
        # Where each choice's token stands in the answer, counted from 1.
        "places": [0 if token is None else token + 1 for token in tokens],
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


def _made(attributions: Sequence[Attribution], command: str | None) -> dict[str, str]:
    first, several = attributions[0], len(attributions) > 1
    made = {"command": command or "called from Python"}
    for one in attributions:
        name = f"{one.method}, " if several else ""
        made |= {} if several else {"method": one.method}
        made[f"{name}options"] = json.dumps(dict(one.config), ensure_ascii=False)
        made[f"{name}work"] = f"{one.forward_equivalents:g} forward passes (a backward pass counts 1)"
        if several and one.seconds is None:
            made[f"{name}work"] = "none of its own: put together from another's parts"
    return made | {
        "model": f"{first.model}, revision {first.revision}, {first.dtype}",
        "seed": str(first.seed),
        "versions": ", ".join(_versions()),
    }


def _versions() -> Iterator[str]:
    yield f"python {platform.python_version()}"
    for package in ("heat-alignment", "torch", "transformers"):
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
