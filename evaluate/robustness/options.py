"""What is disturbed, how much and how often."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from annotate.schema import Record

Probe = Literal["noise", "edits", "perturbation", "paraphrase", "decoding", "all"]


class DecodingSetting(Record):
    """One way of drawing an answer.

    Attributes:
        name: For tables.
        seed: Of the drawing; methods that draw get it added to theirs.
        temperature: Divides the logits; ``None``: nothing is drawn, the most probable token is taken.
        top_p: Smallest set of tokens with that probability; 1 for all.
        top_k: The N most probable tokens; 0 for all.
        beams: Number of beams.
    """

    name: str
    seed: int = 0
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    beams: Annotated[int, Field(ge=1)] = 1


GREEDY = DecodingSetting(name="greedy")
SETTINGS = (
    DecodingSetting(name="beam-4", beams=4),
    DecodingSetting(name="temperature-0.5", temperature=0.5, seed=1),
    DecodingSetting(name="temperature-1-seed-1", temperature=1.0, seed=1),
    DecodingSetting(name="temperature-1-seed-2", temperature=1.0, seed=2),
    DecodingSetting(name="temperature-1-seed-3", temperature=1.0, seed=3),
    DecodingSetting(name="temperature-1.5", temperature=1.5, seed=1),
    DecodingSetting(name="top-p-0.9", temperature=1.0, top_p=0.9, seed=1),
    DecodingSetting(name="top-k-10", temperature=1.0, top_k=10, seed=1),
)


class Options(Record):
    """Everything that a robustness figure depends on beside the texts, the model and the seed.

    Attributes:
        radius: Size of the noise relative to the root mean square of the embeddings.
        draws: Noisy copies of each kind (Gaussian, uniform).
        paraphrasers: Who rewrites, by name.
        settings: Ways of drawing an answer, each set beside the greedy one.
        answer_tokens: Longest answer that is generated.
    """

    radius: Annotated[float, Field(ge=0)] = 0.1
    draws: Annotated[int, Field(ge=2)] = 3
    paraphrasers: tuple[str, ...] = ("sample", "rules")
    settings: tuple[DecodingSetting, ...] = SETTINGS
    answer_tokens: Annotated[int, Field(ge=1)] = 8
