"""The sample world as data: nouns by category, relations, surface forms, narrative patterns."""

from __future__ import annotations

import tomllib
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from annotate.files import shipped

Patterns = Literal["train", "held-out", "all"]
Split = Literal["train", "test"]


@dataclass(frozen=True)
class Relation:
    """A verb with the categories of its subject and object.

    Attributes:
        index: Its place in the list; decides which surface forms of it are held out.
        base: Base form ("absorb").
        third: Third person ("absorbs").
        participle: Participle ("absorbed").
    """

    index: int
    subject: str
    object: str
    base: str
    third: str
    participle: str


@dataclass(frozen=True)
class Form:
    """A surface form with ``{slots}``; ``index`` counts within its kind."""

    index: int
    name: str
    text: str


@dataclass(frozen=True)
class World:
    """Everything the generator draws from.

    Attributes:
        categories: The nouns facts speak of, by category; a noun is in one category only.
        story_nouns: All nouns, those only stories speak of among them.
        relations: The science relations.
        facts: Surface forms of a fact.
        questions: Surface forms of a question, by what they ask for (``"object"`` or ``"subject"``).
        adjuncts: Adverbial phrases.
        observers: Who reports a fact.
        fillers: What fills the slots of a narrative pattern.
        narratives: Narrative patterns, a sentence each.
    """

    categories: dict[str, tuple[str, ...]]
    story_nouns: tuple[str, ...]
    relations: tuple[Relation, ...]
    facts: tuple[Form, ...]
    questions: dict[str, tuple[Form, ...]]
    adjuncts: tuple[str, ...]
    observers: tuple[str, ...]
    fillers: dict[str, tuple[str, ...]]
    narratives: tuple[Form, ...]

    def fact_forms(self, relation: Relation, patterns: Patterns) -> list[Form]:
        """The surface forms of a fact in which ``relation`` may appear: one in five of them is held out."""
        return [f for f in self.facts if _allowed(f.index % 5 == relation.index % 5, patterns)]

    def question_forms(self, relation: Relation, asks: str, patterns: Patterns) -> list[Form]:
        """The question forms in which ``relation`` may be asked: one in five of them is held out."""
        held_out = (2 * relation.index + 1) % 5
        return [f for f in self.questions[asks] if _allowed(f.index % 5 == held_out, patterns)]

    def narrative_forms(self, patterns: Patterns) -> list[Form]:
        """The narrative patterns: the last fifth is held out."""
        first = len(self.narratives) - len(self.narratives) // 5
        return [f for f in self.narratives if _allowed(f.index >= first, patterns)]


def _allowed(held_out: bool, patterns: Patterns) -> bool:
    return patterns == "all" or held_out == (patterns == "held-out")


def pair_split(relation: Relation, subject: str, object_: str) -> Split:
    """Which split may speak of this pair: a fifth of all pairs, chosen by checksum, is never seen in training."""
    key = f"{relation.base}|{subject}|{object_}".encode()
    return "test" if zlib.crc32(key) % 5 == 0 else "train"


@cache
def load_world() -> World:
    """Read the world that ships with the project.

    Returns:
        The world; the same object each time, since it is frozen.

    Raises:
        AnnotateError: The installation lacks ``data/world``.
    """
    folder = shipped("world")
    science = tomllib.loads((folder / "science.toml").read_text(encoding="utf-8"))
    narrative = tomllib.loads((folder / "narrative.toml").read_text(encoding="utf-8"))
    relations = tuple(
        Relation(index, subject, object_, science["bases"].get(name, name), third, participle)
        for index, (name, (subject, object_, third, participle)) in enumerate(science["relations"].items())
    )
    fillers = {
        slot: tuple(words.split())
        for table in ("people", "places", "things")
        for slot, words in narrative[table].items()
    }
    nouns = {name: tuple(words.split()) for name, words in science["categories"].items()}
    return World(
        categories={name: words[: science["nouns_in_facts"]] for name, words in nouns.items()},
        story_nouns=tuple(noun for words in nouns.values() for noun in words),
        relations=relations,
        facts=_forms(science["facts"]),
        questions={
            asks: _forms([q for q in science["questions"] if q["asks"] == asks])
            for asks in ("object", "subject")
        },
        adjuncts=tuple(science["phrases"]["adjuncts"]),
        observers=tuple(science["phrases"]["observers"]),
        fillers=fillers,
        narratives=_forms(narrative["patterns"]),
    )


def _forms(rows: list[dict[str, str]]) -> tuple[Form, ...]:
    return tuple(Form(i, row.get("name", f"narrative-{i}"), row["text"]) for i, row in enumerate(rows))
