"""What every probe shares: changed copies of the examples, attributed by the same runner and set beside them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotate.files import canonical_hash
from evaluate.engine import Engine, LocalEngine
from evaluate.pipeline.measure import Measure
from evaluate.pipeline.records import Copies
from evaluate.pipeline.runner import Progress, attributions, no_progress, prepare
from evaluate.pipeline.store import Item, ScoreStatus, Scratch, Settings, Store, item_key
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel
    from heat.errors import HeatError

Values = NDArray[np.float64]

# Raise it when the same input comes to give other figures.
VERSION = 1


@dataclass(frozen=True)
class Copy:
    """One way of changing examples, and the changed ones.

    Attributes:
        name: What was changed.
        view: Makes of the caller's model the one that the copies are put to; ``None`` for itself.
        settings: What their attributions have in common; another revision or seed than the clean ones'.
        examples: Id of an example to its copy; an example without one is not in it.
        pairs: Id to pairs of words, the example's and the copy's; empty where the words are the same.
    """

    name: str
    view: Callable[[LanguageModel], LanguageModel] | None
    settings: Settings
    examples: Mapping[str, Example]
    pairs: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)


class CopyMeasure(Measure):
    """Scores an attribution by those of changed copies of its example.

    Attributes:
        only_surviving: Whether only copies count on which the model still says the same first token.
    """

    only_surviving = False

    def __init__(self) -> None:
        self._copies: tuple[Copy, ...] = ()
        self._counts: tuple[Copies, ...] = ()
        self._found: dict[tuple[str, str], Attribution | HeatError] = {}
        self._views: dict[str, LanguageModel] = {}
        self._viewed: LanguageModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process's model."""
        return self.__dict__ | {"_found": {}, "_views": {}, "_viewed": None}

    def _view(self, lm: LanguageModel, copy: Copy) -> LanguageModel:
        """The model that a copy is put to, made once for each model."""
        if copy.view is None:
            return lm
        if self._viewed is not lm:
            self._views, self._viewed = {}, lm
        if copy.name not in self._views:
            self._views[copy.name] = copy.view(lm)
        return self._views[copy.name]

    @abstractmethod
    def make(self, lm: LanguageModel, examples: Sequence[Example], settings: Settings) -> list[Copy]:
        """Every copy of every example, whether or not the model can take it."""

    @abstractmethod
    def compare(
        self,
        lm: LanguageModel,
        example: Example,
        attribution: Attribution,
        copies: Mapping[str, Attribution],
    ) -> dict[str, float]:
        """Every metric; ``nan`` where it is not defined.

        Args:
            lm: The model.
            example: The example.
            attribution: Its own, with scores that are not all equal.
            copies: Name of a copy to its attribution.
        """

    def survives(self, clean: Item, changed: Item) -> bool:
        """Whether the model still says the same first token."""
        return clean.answered == changed.answered

    def begin(
        self,
        store: Store,
        engine: Engine,
        examples: Sequence[Example],
        settings: Settings,
        on_progress: Progress,
    ) -> None:
        """Make the copies, and ask the model what it says to each."""
        kept, counts = [], []
        lm = engine.lm
        made = self.make(lm, examples, settings)
        on_progress("copies", 0, len(made))
        for done, copy in enumerate(made, 1):
            asked = [each for each in examples if each.id in copy.examples]
            changed = [copy.examples[each.id] for each in asked]
            items = prepare(store, LocalEngine(self._view(lm, copy)), changed, copy.settings, no_progress)
            taken = {
                each.id: self.survives(store.items[item_key(each, settings)], item)
                for each, item in zip(asked, items, strict=True)
                if item.status == "ok"
            }
            usable = {name for name, survives in taken.items() if survives or not self.only_surviving}
            kept.append(
                Copy(
                    copy.name,
                    copy.view,
                    copy.settings,
                    {name: each for name, each in copy.examples.items() if name in usable},
                    copy.pairs,
                )
            )
            shares = [
                len(copy.pairs[each.id]) / len(each.words) if each.id in copy.pairs else 1.0
                for each in asked
                if each.id in taken
            ]
            counts.append(
                Copies(
                    name=copy.name,
                    made=len(taken),
                    survived=sum(taken.values()),
                    coverage=float(np.mean(shares)) if shares else 0.0,
                )
            )
            on_progress("copies", done, len(made))
        self._copies, self._counts = tuple(kept), tuple(counts)

    def attribute_copies(
        self, store: Scratch, lm: LanguageModel, examples: Sequence[Example], method: str
    ) -> int:
        """Attribute the copies of a chunk, kind by kind, each in the batches of the runner."""
        computed = 0
        self._found = {}
        for copy in self._copies:
            own = [each.id for each in examples if each.id in copy.examples]
            if not own:
                continue
            found, new = attributions(
                store, self._view(lm, copy), [copy.examples[name] for name in own], method, copy.settings
            )
            computed += new
            self._found.update(zip(((name, copy.name) for name in own), found, strict=True))
        return computed

    def n_copies(self, example: Example) -> int:
        """With how many copies an example is compared."""
        return sum(example.id in copy.examples for copy in self._copies)

    def copies(self) -> tuple[Copies, ...]:
        """How many copies there are, and on how many the prediction survives."""
        return self._counts

    def obstacle(self, example: Example) -> tuple[str, str] | None:
        """An example without any copy says nothing."""
        if self.n_copies(example):
            return None
        what = "changed copy that the prediction survives" if self.only_surviving else "changed copy"
        return f"no {what}", f"for instance {example.id}: it has no {what}"

    def depends(self, example: Example) -> dict[str, Any]:
        """The copies; their own model and seed among them."""
        own = [copy for copy in self._copies if example.id in copy.examples]
        return {
            "copies": canonical_hash(
                [
                    (
                        copy.name,
                        copy.settings.model_dump(exclude={"model"}),
                        copy.examples[example.id].model_dump(exclude={"id"}),
                        copy.pairs.get(example.id),
                    )
                    for copy in own
                ]
            ),
            "words": example.words,
            "gold": example.gold,
            "distractor": example.distractor,
            "metrics": [metric.name for metric in self.metrics],
            "version": VERSION,
        }

    def score(
        self, lm: LanguageModel, example: Example, attribution: Attribution | None
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Every metric; scores that are equal throughout are never stable, they say nothing."""
        from heat.errors import NonFiniteError

        found = {
            copy.name: self._found[example.id, copy.name]
            for copy in self._copies
            if example.id in copy.examples
        }
        if attribution is None or any(isinstance(each, NonFiniteError) for each in found.values()):
            return {metric.name: metric.worst for metric in self.metrics}, "not_finite"
        if all(np.ptp(row) == 0 for row in token_scores(attribution)):
            return {metric.name: float("nan") for metric in self.metrics}, "constant"
        copies = {name: each for name, each in found.items() if not isinstance(each, Exception)}
        return self.compare(lm, example, attribution, copies), "ok"


def token_scores(attribution: Attribution) -> list[Values]:
    """Scores of the context's tokens, one array a target.

    Tokens that stand for no character (beginning of text) are left out: they take a large share of the mass in many
    methods, and their steadiness would stand for that of all others.
    """
    start = attribution.target_span[0]
    offsets = attribution.offsets
    rows = []
    for row in range(len(attribution.scores)):
        scores = attribution.scores[row, : start + row].double().numpy()
        if offsets is not None:
            visible = np.array([end > begin for begin, end in offsets[: start + row]])
            scores = scores[visible]
        rows.append(scores)
    return rows


def mean_defined(values: Sequence[float]) -> float:
    """Mean of the values that are not ``nan``; ``nan`` where none is."""
    array = np.asarray(values, dtype=np.float64)
    return float(np.nanmean(array)) if len(array) and not np.isnan(array).all() else float("nan")
