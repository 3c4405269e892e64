"""What an attribution method found, with all that is needed to judge it and to make it again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from heat.errors import AttributionFileError, ProjectionError, UnitError
from heat.files import write_whole
from heat.markers import markers
from heat.projection import Aggregation, word_scores
from heat.segments import Segment
from heat.units import Unit, UnitScores, on_parts, split, untouched

if TYPE_CHECKING:
    from pandas import DataFrame

    from heat.show.notebook import View

SCHEMA_VERSION = 2
# What values of other kinds raise.
_ODD = (ValueError, KeyError, TypeError)
_FIELDS = (
    "token_ids",
    "tokens",
    "offsets",
    "text",
    "target_span",
    "foil_ids",
    "method",
    "config",
    "model",
    "revision",
    "dtype",
    "seed",
    "forward_equivalents",
    "seconds",
    "schema_version",
)
# Fields that came later: a file without them has their default.
_LATER = ("segments", "explained")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Scores of every token for every target token.

    Attributes:
        token_ids: Prompt of n tokens, then m targets.
        tokens: The tokenizer's names of them.
        offsets: `[start, end)` code points in `text`, (0, 0) for special tokens; None when ids were given.
        text: Prompt and target.
        target_span: First target's index in `token_ids`, and one past the last's.
        foil_ids: The token that each target is contrasted with, or None; -1 for a target that has none.
        scores: float32 [m, n + m]. Row t is about target t, and 0 at that target's own position and after it.
        components: Parts the scores were made of, each float32 [m, n + m]
            (HEAT: transition, curvature, information).
        log_probs: float32 [m], log p(target | all before it).
        method: Registered name.
        config: The method's options.
        model: Model's name.
        revision: Model's revision.
        dtype: Dtype of the model.
        seed: Seed of whatever was drawn.
        forward_equivalents: Work, in forward passes over this text (a backward pass counts 1).
        seconds: Wall time; for a batch, this text's share by length; None where the clock is kept elsewhere.
        segments: Messages of a chat in `text`; empty for other prompts.
        explained: Indices of the targets that were attributed; None for all. The rows of the others are 0.
        schema_version: Version of this layout.
    """

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...] | None
    text: str
    target_span: tuple[int, int]
    scores: Tensor
    log_probs: Tensor
    method: str
    config: Mapping[str, Any]
    model: str
    revision: str
    dtype: str
    seed: int
    forward_equivalents: float
    seconds: float | None
    components: Mapping[str, Tensor] = field(default_factory=dict)
    foil_ids: tuple[int, ...] | None = None
    segments: tuple[Segment, ...] = ()
    explained: tuple[int, ...] | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", dict(self.components))
        object.__setattr__(self, "config", dict(self.config))

    def show(self, top: int = 10) -> "View":
        """The prompt in colours, for a notebook: what it displays, and text where it cannot.

        Args:
            top: How many of the strongest words to list.

        Returns:
            An object with `_repr_html_`, whose `repr` is the same as text.
        """
        from heat.show.notebook import View

        return View(self, top)

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def __repr__(self) -> str:
        first, last = self.target_span
        target = "".join(self.tokens[first:last]) if self.offsets is None else self._target_text()
        probability = float(self.log_probs.double().sum().exp())
        return (
            f"Attribution({self.method} on {self.model}: {first} tokens of prompt, target {target!r} "
            f"with probability {probability:.3g})"
        )

    def to_frame(self, target: int | None = None) -> "DataFrame":
        """The words of the prompt with their scores, in their order, as `show` lists them.

        Args:
            target: Index of the target token; None sums over all of them.

        Returns:
            A row a word: `word`, `score` and a column for each component, float64; a word's number is the mean over
            its tokens. Where the prompt was given as ids, a row a token.
        """
        return self.by("word").to_frame(target)

    def by(self, unit: Unit, aggregation: Aggregation = "mean") -> UnitScores:
        """Scores of the units of the prompt: its words, sentences, messages, ...; see `heat.units`.

        Args:
            unit: `token`, `word`, `sentence`, `line`, `message` (of a chat) or `example` (worked examples of a few-shot
                prompt). Where the prompt was given as ids, each token stands for a word.
            aggregation: How a unit's score is made of its tokens': `mean`, `sum` or `max`.

        Returns:
            The units with a score for each target.

        Raises:
            UnitError: The prompt has no such units.
        """
        n_prompt = self.target_span[0]
        names = self.tokens[:n_prompt]
        values = {
            name: part[:, :n_prompt].numpy() for name, part in {"": self.scores, **self.components}.items()
        }
        if self.offsets is None and unit not in ("token", "word"):
            raise UnitError(
                f"the prompt was given as ids, which have no {unit}s; give it as a string, or use unit 'token'"
            )
        spans: tuple[tuple[int, int], ...] | None = None
        labels = ("",) * n_prompt
        if unit == "token" or self.offsets is None:
            scores = {name: part.astype(np.float64) for name, part in values.items()}
            outside = np.zeros(len(self.scores))
            spans = None if self.offsets is None else self.prompt_offsets
            texts = names if spans is None else _characters(self.text, spans, names)
        else:
            text, offsets = self.prompt_text, self.prompt_offsets
            parts = split(text, unit, self.segments)
            scores = {
                name: on_parts(part, text, parts, offsets, aggregation) for name, part in values.items()
            }
            outside = values[""][:, untouched(text, parts, offsets)].astype(np.float64).sum(1)
            texts = tuple(text[part.start : part.end] for part in parts)
            labels = tuple(part.label for part in parts)
            spans = tuple((part.start, part.end) for part in parts)
        whole = scores.pop("")
        return UnitScores(unit, aggregation, texts, labels, spans, whole, scores, outside)

    @property
    def prompt_text(self) -> str:
        """The text before the target's first character; empty where the prompt was given as ids."""
        if self.offsets is None:
            return ""
        starts = [start for start, end in self.offsets[slice(*self.target_span)] if end > start]
        return self.text[: starts[0]] if starts else self.text

    @property
    def prompt_offsets(self) -> tuple[tuple[int, int], ...]:
        """`[start, end)` of the prompt's tokens in `prompt_text`; none where the prompt was given as ids."""
        length = len(self.prompt_text)
        offsets = () if self.offsets is None else self.offsets[: self.target_span[0]]
        return tuple((min(start, length), min(end, length)) for start, end in offsets)

    def without_first(self) -> "Attribution":
        """A copy in which special tokens, a chat template's markers and the first token of the text have no score.

        Many models collect attention, and with it scores, on whatever comes first, so that all else looks white.

        Returns:
            The copy; scores and components are 0 there.
        """
        n_prompt = self.target_span[0]
        spans = [(0, 1)] * n_prompt if self.offsets is None else self.offsets[:n_prompt]
        own_text = [index for index, (start, end) in enumerate(spans) if end > start]
        marked = [] if self.offsets is None else markers(self.text)
        in_marker = {index for index in own_text for start, end in marked if start <= spans[index][0] < end}
        left_out = sorted(set(range(n_prompt)) - set(own_text[1:]) | in_marker)

        def masked(scores: Tensor) -> Tensor:
            scores = scores.clone()
            scores[:, left_out] = 0
            return scores

        components = {name: masked(part) for name, part in self.components.items()}
        return replace(self, scores=masked(self.scores), components=components)

    def on_words(
        self, words: Sequence[tuple[int, int]], aggregation: Aggregation = "mean", component: str = ""
    ) -> NDArray[np.float64]:
        """Scores of words; see `heat.projection.word_scores`.

        Args:
            words: `[start, end)` code points of each in `text`, without overlap.
            aggregation: How a word's score is made of its tokens'.
            component: Name of the part to take in place of the scores.

        Returns:
            float64 [m, words]. Words of the target have scores too; nothing of a target counts for itself.

        Raises:
            ProjectionError: A word has no token, or the prompt was given as ids, which have no places.
        """
        if self.offsets is None:
            raise ProjectionError("the attribution has no offsets, as its prompt was given as ids")
        values = self.components[component] if component else self.scores
        return word_scores(values.numpy(), self.text, words, self.offsets, aggregation)

    def save(self, path: str | Path) -> None:
        """Write one .safetensors file, whole or not at all; everything but the tensors is JSON in its header.

        Args:
            path: The file; its folder must exist.
        """
        header = json.dumps(self._metadata(), sort_keys=True, ensure_ascii=False)
        write_whole(Path(path), to_safetensors(self._tensors(), metadata={"attribution": header}))

    @classmethod
    def load(cls, path: str | Path) -> "Attribution":
        """Read what `save` wrote.

        Args:
            path: The file.

        Returns:
            The attribution.

        Raises:
            AttributionFileError: The file is no attribution, is damaged, or has another schema version.
            FileNotFoundError: There is no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no saved attribution '{path}'")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = json.loads((file.metadata() or {})["attribution"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, KeyError, ValueError, RecursionError) as error:
            raise AttributionFileError(f"'{path}' is no saved attribution, or is damaged: {error}") from error
        return cls._restore(metadata, tensors, str(path))

    def to_json(self) -> str:
        """The whole attribution as JSON text, with the tensors as nested lists."""
        document = {
            "metadata": self._metadata(),
            "tensors": {k: v.tolist() for k, v in self._tensors().items()},
        }
        return json.dumps(document, sort_keys=True, ensure_ascii=False)

    def to_inseq(self) -> str:
        """JSON that `inseq.FeatureAttributionOutput.load` reads from a file; see `heat.inseq_format.to_inseq`."""
        from heat.inseq_format import to_inseq

        return to_inseq(self)

    @classmethod
    def from_json(cls, text: str) -> "Attribution":
        """Read what `to_json` wrote.

        Args:
            text: JSON.

        Returns:
            The attribution, equal to the last bit.

        Raises:
            AttributionFileError: The text is something else, or has another schema version.
        """
        try:
            document = json.loads(text)
            tensors = {
                name: torch.tensor(rows, dtype=torch.float32) for name, rows in document["tensors"].items()
            }
            metadata = document["metadata"]
        except (*_ODD, AttributeError, RecursionError, RuntimeError, OverflowError) as error:
            raise AttributionFileError(f"the text is no attribution in JSON: {error}") from error
        return cls._restore(metadata, tensors, "the JSON text")

    def _target_text(self) -> str:
        assert self.offsets is not None
        first, last = self.target_span
        spans = [span for span in self.offsets[first:last] if span[1] > span[0]]
        return self.text[spans[0][0] : spans[-1][1]] if spans else ""

    def _metadata(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _FIELDS}
        values |= {"config": dict(self.config)}
        if self.segments:
            values["segments"] = [asdict(segment) for segment in self.segments]
        if self.explained is not None:
            values["explained"] = self.explained
        return values

    def _tensors(self) -> dict[str, Tensor]:
        parts = {f"component.{name}": tensor for name, tensor in self.components.items()}
        tensors = {"scores": self.scores, "log_probs": self.log_probs, **parts}
        return {name: tensor.contiguous() for name, tensor in tensors.items()}

    @classmethod
    def _restore(cls, metadata: dict[str, Any], tensors: dict[str, Tensor], source: str) -> "Attribution":
        if not isinstance(metadata, dict):
            raise AttributionFileError(f"{source} is no attribution: its metadata is no object")
        version = metadata.get("schema_version")
        if version != SCHEMA_VERSION:
            raise AttributionFileError(
                f"{source} has schema version {version}, this program reads {SCHEMA_VERSION}; "
                "compute it again"
            )
        fields = set(metadata) - set(_LATER)
        if fields != set(_FIELDS) or not {"scores", "log_probs"} <= set(tensors):
            strange = sorted(fields ^ set(_FIELDS)) or ["scores or log_probs"]
            raise AttributionFileError(
                f"{source} is no attribution: unexpected or missing {', '.join(strange)}"
            )
        offsets = metadata["offsets"]
        try:
            frozen = {
                "token_ids": tuple(metadata["token_ids"]),
                "tokens": tuple(metadata["tokens"]),
                "offsets": None if offsets is None else tuple((start, end) for start, end in offsets),
                "target_span": tuple(metadata["target_span"]),
                "foil_ids": None if metadata["foil_ids"] is None else tuple(metadata["foil_ids"]),
                "segments": tuple(Segment(**segment) for segment in metadata.get("segments", ())),
                "explained": tuple(metadata["explained"]) if "explained" in metadata else None,
            }
        except _ODD as error:
            raise AttributionFileError(f"{source} is no attribution: {error}") from error
        components = {
            name.removeprefix("component."): tensor
            for name, tensor in sorted(tensors.items())
            if name.startswith("component.")
        }
        return cls(
            **{**metadata, **frozen},
            scores=tensors["scores"],
            log_probs=tensors["log_probs"],
            components=components,
        )


def _characters(text: str, spans: Sequence[tuple[int, int]], names: Sequence[str]) -> tuple[str, ...]:
    """Each token's characters; its name where it has none, or where they are those of the token before it."""
    found = []
    before = (0, 0)
    for span, name in zip(spans, names, strict=True):
        found.append(name if span == before else text[slice(*span)] or name)
        before = span
    return tuple(found)
