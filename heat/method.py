"""What every attribution method is: options, what it needs and costs, and scores for a batch."""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.component import Component
from heat.components.graph import read_together
from heat.errors import ConfigError
from heat.internals.forward import target_log_probs, token_vectors
from heat.internals.state import frozen
from heat.model import LanguageModel
from heat.units import Unit

# Of anything that is counted (probes, steps, tokens of a window): a run with more would not end.
_MOST = 1 << 20


@dataclass(frozen=True, eq=False)
class Scores:
    """What a method says about a batch.

    Attributes:
        scores: [R, T], one row for each target; columns outside its context are ignored.
        components: Named parts of the scores, each [R, T].
        log_probs: log p(target), [R], where the method's own passes gave it (`Method.gives_log_probs`).
    """

    scores: Tensor
    components: Mapping[str, Tensor] = field(default_factory=dict)
    log_probs: Tensor | None = None


@dataclass(frozen=True)
class Method(ABC):
    """An attribution method.

    A subclass is a frozen dataclass; its fields are the method's options, checked against their types (a
    number may come as text, from a command line).

    Attributes:
        name: Registered name, set by `register`.
        summary: One line on what it does.
        source: Paper and equation.
        needs: What it takes from the model: "forward", "gradients", "second-derivatives", "attention", "hidden-states",
            "tokenizer".
        kind: HEAT or an approximation of it, a part of it alone, another method, or a control that looks at nothing.
        signed: Whether a score below zero means something.
        completeness: Whether the scores promise to add up to g(E) - g(baseline).
        extra: The optional extra it needs; empty for none.
        float16: Whether it takes derivatives that float16's range can hold, so that such a model is not refused.
        only_named: Why it runs only where it is named; empty where it may always.
        splits_prompt: Whether the prompt may be longer than the model's context.
        neutral: Options that came later, with the value at which they change nothing: left out of `config` there, so
            that earlier results keep their keys.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    kind: ClassVar[Literal["heat", "ablation", "baseline", "control"]] = "baseline"
    signed: ClassVar[bool] = False
    completeness: ClassVar[bool] = False
    extra: ClassVar[str] = ""
    float16: ClassVar[bool] = False
    only_named: ClassVar[str] = ""
    splits_prompt: ClassVar[bool] = False
    neutral: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for option in fields(self):
            value = getattr(self, option.name)
            try:
                checked = TypeAdapter(hints[option.name]).validate_python(value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"].lower()
                shown = reprlib.repr(value)
                raise ConfigError(
                    f"method '{self.name}', option '{option.name}' = {shown}: {reason}"
                ) from error
            if isinstance(checked, int) and abs(checked) > _MOST:
                raise ConfigError(
                    f"method '{self.name}', option '{option.name}' = {reprlib.repr(checked)}: at most {_MOST:,} are "
                    "in reach"
                )
            object.__setattr__(self, option.name, checked)

    @abstractmethod
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token of every target.

        A target's scores depend on its own text, the options and the seed, never on the rest of the batch.

        Args:
            lm: The model; left as it was.
            batch: B sequences with R targets.
            seed: Seed of whatever is drawn.
            batch_tokens: Tokens that one pass may hold.

        Returns:
            Scores [R, T].
        """

    @abstractmethod
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Work for one text by part, in forward passes over it.

        A backward pass counts 1, as the weights take no gradient.

        Args:
            n_tokens: Length of the context.
            n_targets: Number of targets.

        Returns:
            Name of the part to forward-equivalents.
        """

    def costs_in(self, n_tokens: int, n_targets: int, n_layers: int) -> dict[str, float]:
        """The same as `costs`, for a model whose depth is known; less where a method goes through some blocks only.

        Args:
            n_tokens: Length of the context.
            n_targets: Number of targets.
            n_layers: Number of the model's blocks.

        Returns:
            Name of the part to forward-equivalents.
        """
        return self.costs(n_tokens, n_targets)

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Work for one text in all, in forward passes over it.

        Args:
            n_tokens: Length of the context.
            n_targets: Number of targets.

        Returns:
            Forward-equivalents.
        """
        return sum(self.costs(n_tokens, n_targets).values())

    @property
    def masks(self) -> Unit:
        """What the method masks at once; `token` also where it masks nothing."""
        return "token"

    def with_units(
        self, costs: Mapping[str, float], n_tokens: int, n_targets: int, n_units: int
    ) -> dict[str, float]:
        """Costs of a text whose units are masked at once; an estimate, as units differ in length.

        Args:
            costs: What masking its tokens one by one costs.
            n_tokens: Length of the context.
            n_targets: Number of targets.
            n_units: How many units there are.

        Returns:
            Name of the part to forward-equivalents.
        """
        return dict(costs)

    @staticmethod
    def fewer(costs: Mapping[str, float], part: str, whole: float, share: float) -> dict[str, float]:
        """Costs with a part, but for the passes over the whole text in it, cut down to a share."""
        return {
            name: whole + (cost - whole) * share if name == part else cost for name, cost in costs.items()
        }

    @property
    def gives_log_probs(self) -> bool:
        """Whether `score` gives the targets' log-probabilities, so that no pass is needed for them."""
        return False

    def passes(self, n_tokens: int, n_targets: int) -> float:
        """Work for one text's attribution: `cost`, and the pass that log p(target) is read off.

        Args:
            n_tokens: Length of the context.
            n_targets: Number of targets.

        Returns:
            Forward-equivalents.
        """
        return self.cost(n_tokens, n_targets) + (0.0 if self.gives_log_probs else 1.0)

    def log_probs(self, lm: LanguageModel, batch: Batch) -> Tensor:
        """Give log p(target | all before it), [R]."""
        with frozen(lm.model), torch.no_grad():
            return target_log_probs(lm.model, batch, token_vectors(lm.model, batch))

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the packages it needs are there."""
        return True

    @classmethod
    def obstacle(cls, lm: LanguageModel) -> str:
        """Why it cannot explain a model, in a sentence without its end; empty where it can."""
        return ""

    def config(self) -> dict[str, Any]:
        """The options as a plain dict, without those at a value that changes nothing (`neutral`)."""
        neutral: dict[str, Any] = {}
        for base in type(self).__mro__:
            neutral |= vars(base).get("neutral", {})
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in neutral or neutral[name] != value
        }


@dataclass(frozen=True)
class MadeOfParts(Method):
    """A method whose scores are put together from components, which another method may have in common with it."""

    @abstractmethod
    def components(self) -> dict[str, Component]:
        """The components by name."""

    @abstractmethod
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """Put parts together; takes no pass through a model.

        Args:
            parts: Each [R, T], by the names of the components.
            batch: What they are about.

        Returns:
            Scores [R, T], with the parts as components.
        """

    def parts(self, n_tokens: int) -> dict[str, dict[str, Any]]:
        """What the scores are made of.

        Args:
            n_tokens: Length of the context, no more than the model takes.

        Returns:
            Name of a part to the options it depends on. Methods that say the same of a part compute the same
            numbers for it (with the same seed).
        """
        return {name: component.key() for name, component in self.components().items()}

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        components = self.components()
        readable = {name: component.graph_part() for name, component in components.items()}
        shared = {name: part for name, part in readable.items() if part is not None}
        parts: dict[str, Tensor] = {}
        log_probs = None
        if shared:
            reading = read_together(shared, lm.model, batch, seed=seed, batch_tokens=batch_tokens)
            parts, log_probs = reading.parts, reading.log_probs
        scores = self.combined(
            {
                name: parts[name]
                if name in parts
                else component.compute(lm.model, batch, seed=seed, batch_tokens=batch_tokens)
                for name, component in components.items()
            },
            batch,
        )
        return replace(scores, log_probs=log_probs) if self.gives_log_probs else scores

    @property
    @override
    def gives_log_probs(self) -> bool:
        return all(component.graph_part() is not None for component in self.components().values())

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return self._costs(n_tokens, n_targets, None)

    @override
    def costs_in(self, n_tokens: int, n_targets: int, n_layers: int) -> dict[str, float]:
        return self._costs(n_tokens, n_targets, n_layers)

    def _costs(self, n_tokens: int, n_targets: int, n_layers: int | None) -> dict[str, float]:
        """Of each component; what is read off one graph pays for one forward pass, and for one gradient of g."""
        costs: dict[str, float] = {}
        graph = gradient = False
        for name, component in self.components().items():
            cost, part = component.cost(n_tokens, n_targets, n_layers), component.graph_part()
            if part is not None:
                cost -= 1.0 if graph else 0.0
                cost -= n_targets if graph and gradient and part.of_gradient else 0.0
                graph, gradient = True, gradient or part.of_gradient
            costs[name] = cost
        return costs
