"""A benchmark is a folder: its paths, what it holds, whether it is whole."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from annotate.errors import BenchmarkError
from annotate.files import file_hash, read_records, shipped
from annotate.outside import read_json
from annotate.schema import SCHEMA_VERSION, Manifest, Paragraph

DEFAULT = Path("curated")
PARAGRAPHS = "paragraphs.jsonl"
CARD = "README.md"


@dataclass(frozen=True)
class Benchmark:
    """The folder of one benchmark.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def paragraphs_path(self) -> Path:
        """The paragraphs, one a line."""
        return self.path / PARAGRAPHS

    @property
    def manifest_path(self) -> Path:
        """How the benchmark was made."""
        return self.path / "manifest.json"

    @property
    def card_path(self) -> Path:
        """The dataset card."""
        return self.path / CARD

    @property
    def ledger(self) -> Path:
        """Every attempt to get a label."""
        return self.path / "ledger.jsonl"

    @property
    def batches(self) -> Path:
        """What was handed to the Batch API and is not collected yet, or was."""
        return self.path / "batches.jsonl"

    @property
    def labels_dir(self) -> Path:
        """The labels, a file per annotator."""
        return self.path / "labels"

    @property
    def reviews(self) -> Path:
        """What a person decided."""
        return self.path / "reviews.jsonl"

    @property
    def gold_path(self) -> Path:
        """The gold words."""
        return self.path / "gold.jsonl"

    def paragraphs(self) -> list[Paragraph]:
        """Read and validate the paragraphs, in file order.

        Raises:
            BenchmarkError: A line does not fit the schema.
        """
        return read_records(self.paragraphs_path, Paragraph)

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            BenchmarkError: It is missing, damaged or of another schema version.
        """
        path = self.manifest_path
        try:
            content = read_json(path.read_bytes(), mend=True)
        except FileNotFoundError as error:
            raise BenchmarkError(
                f"{self.path} holds no benchmark (no {path.name}); make one with"
                f" `annotate build-dataset --out {self.path}`"
            ) from error
        except ValueError as error:
            raise BenchmarkError(f"{path} is damaged: {error}; {self._remedy}") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise BenchmarkError(
                f"{self.path} has schema version {version}, this release reads {SCHEMA_VERSION};"
                " use the release that made it, or build into another folder with --out"
            )
        try:
            return Manifest.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BenchmarkError(f"{path} is damaged: {place}: {first['msg']}; {self._remedy}") from error

    def check(self) -> Manifest:
        """Check that the paragraphs are the ones the manifest tells of.

        Returns:
            The manifest.

        Raises:
            BenchmarkError: They are missing, torn, edited or of another build.
        """
        manifest = self.manifest()
        if not self.paragraphs_path.is_file():
            raise BenchmarkError(f"{self.paragraphs_path} is missing; {self._remedy}")
        if file_hash(self.paragraphs_path) != manifest.files.get(PARAGRAPHS):
            raise BenchmarkError(
                f"{self.paragraphs_path} does not match the checksum in {self.manifest_path.name}:"
                f" it was edited, is torn, or belongs to another build; {self._remedy}"
            )
        return manifest

    def has_labels(self) -> bool:
        """Whether anything was collected about the paragraphs: attempts, labels, reviews or gold."""
        files = (self.ledger, self.batches, self.reviews, self.gold_path)
        return any(file.exists() for file in files) or any(self.labels_dir.glob("*"))

    @property
    def _remedy(self) -> str:
        return "run its `annotate build-dataset` again with --force, or build into another --out"


def open_benchmark(path: Path | None = None) -> Benchmark:
    """Open a benchmark that is whole.

    Args:
        path: Its folder; ``./curated`` if not given.

    Raises:
        BenchmarkError: There is none, or its paragraphs do not match its manifest or this schema version.
    """
    benchmark = Benchmark(DEFAULT if path is None else path)
    if benchmark.path.is_file():
        raise BenchmarkError(
            f"{benchmark.path} is a file, and a benchmark is a folder; make one with `annotate build-dataset`, which "
            "takes the rows of narratives and questions from files"
        )
    if not benchmark.path.is_dir():
        raise BenchmarkError(
            f"there is no benchmark folder {benchmark.path}; make it with"
            f" `annotate build-dataset --out {benchmark.path}`"
        )
    benchmark.check()
    return benchmark


def command_on(words: str, folder: Path) -> str:
    """A command of `annotate` on a benchmark folder, to be copied whole.

    Args:
        words: The command with its options.
        folder: The benchmark.
    """
    named = [] if folder == DEFAULT else ["--benchmark", str(folder)]
    return shlex.join(["annotate", *words.split(), *named])


def prebuilt() -> Benchmark:
    """The labelled benchmark that ships with the project.

    Raises:
        AnnotateError: The installation lacks it.
        BenchmarkError: It is damaged.
    """
    return open_benchmark(shipped("benchmark"))
