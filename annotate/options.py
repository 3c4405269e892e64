"""Options of the command line: those that several commands share, and bundles of those that go together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from annotate.online import DEFAULT_URL
from annotate.online.limits import DEFAULT_LIMITS, Limits

BenchmarkOption = Annotated[
    Path | None, typer.Option("--benchmark", help="Benchmark folder. Default: ./curated.")
]
AnnotatorsOption = Annotated[
    list[str] | None,
    typer.Option("--annotator", help="Use the labels of this annotator; repeat for several. Default: all."),
]
BaseUrlOption = Annotated[
    str, typer.Option(envvar="OPENAI_BASE_URL", help="Endpoint of openai: annotators, up to and with /v1.")
]
ConcurrencyOption = Annotated[int, typer.Option(min=1, max=256, help="Most attempts in flight.")]
MaxCostOption = Annotated[
    float | None,
    typer.Option(min=0, help="US dollars this run may spend, counting what is in flight at its worst."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


class BatchAction(StrEnum):
    """What to do with the Batch API."""

    SUBMIT = "submit"
    STATUS = "status"
    COLLECT = "collect"


@dataclass(frozen=True)
class OutputOptions:
    """What is printed."""

    json: JsonOption = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")] = False

    @property
    def silent(self) -> bool:
        """Whether nothing but the result is printed."""
        return self.json or self.quiet


@dataclass(frozen=True)
class PassageOptions:
    """Where passages come from."""

    source: Annotated[
        str | None,
        typer.Option(help="sample, hub or local. Default: local if files are given, else sample."),
    ] = None
    narrativeqa: Annotated[
        Path | None,
        typer.Option(help="NarrativeQA in the hub's schema: .parquet, .jsonl, .json or a folder of them."),
    ] = None
    sciq: Annotated[
        Path | None,
        typer.Option(help="SciQ in the hub's schema: .parquet, .jsonl, .json or a folder of them."),
    ] = None

    @property
    def files(self) -> dict[str, Path]:
        """The files that were named, by option."""
        paths = {"--narrativeqa": self.narrativeqa, "--sciq": self.sciq}
        return {option: path for option, path in paths.items() if path is not None}


@dataclass(frozen=True)
class DrawOptions:
    """How many paragraphs are drawn, and from what."""

    size: Annotated[int, typer.Option(min=1, help="Number of paragraphs.")] = 2000
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.")] = 0
    split: Annotated[str, typer.Option(help="Split of the source.")] = "test"


@dataclass(frozen=True)
class LengthOptions:
    """How long a paragraph may be."""

    min_words: Annotated[int, typer.Option(min=1, help="Least words of a paragraph, with punctuation.")] = 40
    max_words: Annotated[int, typer.Option(min=1, help="Most words of a paragraph, with punctuation.")] = 140


@dataclass(frozen=True)
class BuildOptions:
    """What a build accepts."""

    allow_fewer: Annotated[
        bool, typer.Option("--allow-fewer", help="Accept fewer paragraphs than asked, but not none.")
    ] = False
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write over another build and other files; labels are never written over."
        ),
    ] = False


@dataclass(frozen=True)
class QuestionOptions:
    """What annotators are asked about."""

    limit: Annotated[int | None, typer.Option(min=1, help="Label the first N paragraphs only.")] = None
    repeats: Annotated[int, typer.Option(min=1, help="How often to ask about each paragraph.")] = 1
    seed: Annotated[int, typer.Option(min=0, help="Seed of annotators that draw and are given none.")] = 0
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask again what was answered; the ledger keeps both.")
    ] = False


@dataclass(frozen=True)
class EndpointOptions:
    """Where online annotators are asked."""

    base_url: BaseUrlOption = DEFAULT_URL
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until an attempt is given up.")] = (
        DEFAULT_LIMITS.timeout_s
    )


@dataclass(frozen=True)
class LimitOptions:
    """How fast and how long online annotators are asked, and what they may cost."""

    concurrency: ConcurrencyOption = DEFAULT_LIMITS.concurrency
    rpm: Annotated[float | None, typer.Option(min=0.001, help="Most requests a minute.")] = None
    tpm: Annotated[float | None, typer.Option(min=0.001, help="Most tokens a minute.")] = None
    max_attempts: Annotated[int, typer.Option(min=1, help="Attempts until a request is given up.")] = (
        DEFAULT_LIMITS.max_attempts
    )
    max_time: Annotated[float, typer.Option(min=0, help="Seconds until a request is given up.")] = (
        DEFAULT_LIMITS.max_time_s
    )
    max_cost: MaxCostOption = None

    @property
    def limits(self) -> Limits:
        """The limits of a run."""
        return Limits(self.concurrency, self.rpm, self.tpm, self.max_attempts, self.max_time, self.max_cost)


@dataclass(frozen=True)
class WayOptions:
    """In which way annotators are asked, if at all."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be asked and cost; ask nothing, need no key.")
    ] = False
    batch: Annotated[
        BatchAction | None,
        typer.Option(
            help="Use the Batch API, at half the price: submit requests, show their status, collect answers."
        ),
    ] = None


@dataclass(frozen=True)
class TrialOptions:
    """What a pilot compares, on which paragraphs."""

    formats: Annotated[str, typer.Option(help="Formats to compare, with commas.")] = "quotes,indexed,tags"
    paragraphs: Annotated[int, typer.Option("-n", "--paragraphs", min=1, help="How many to ask about.")] = 50
    seed: Annotated[int, typer.Option(min=0, help="Seed that draws the paragraphs.")] = 0
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="Also try this prompt, which decides the format: a .toml file, or passage; repeat for several."
        ),
    ] = None
    people: Annotated[
        bool,
        typer.Option(
            "--people", help="Choose by agreement with the people who labelled the benchmark; ask once."
        ),
    ] = False


@dataclass(frozen=True)
class ViewOptions:
    """What a reviewer sees, and who that is."""

    blind: Annotated[bool, typer.Option("--blind", help="Hide the names and swap the sides by seed.")] = False
    audit: Annotated[
        bool, typer.Option("--audit", help="Show no marks: a person annotates from scratch.")
    ] = False
    show: Annotated[
        str, typer.Option("--filter", help="Listed at first: pending, done, flagged, unresolved or all.")
    ] = "pending"
    reviewer: Annotated[str, typer.Option(help="Your name, noted with every action.")] = "reviewer"
    seed: Annotated[int, typer.Option(min=0, help="Seed of the swap of sides and of an audit's order.")] = 0


@dataclass(frozen=True)
class PageOptions:
    """How the review page is served."""

    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. Default: any free one.")] = 0
    token: Annotated[
        str, typer.Option(help="Secret in the address. Default: drawn anew. Keeps open pages going.")
    ] = ""
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False


ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", help="Write over files that this command did not write, or that were changed since."
    ),
]
