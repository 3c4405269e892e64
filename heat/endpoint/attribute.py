"""Attribution through a server: the methods that need the target's log-probabilities alone."""

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from heat.attribution import Attribution
from heat.deletion import ByDeletion, Deletions, TopLogProbs
from heat.encoding import masking_units
from heat.endpoint.reading import Asked, Reading, Server
from heat.endpoint.text import EndpointText, Placed, check_ids, placed
from heat.errors import ConfigError, ModelChangedError, OtherTokensError
from heat.method import Method
from heat.registry import methods
from heat.sources import Sources, sources_in

# Deletions that are asked for together: more than any server answers at once.
_TOGETHER = 4096
# A log-probability of a float32 that rounds to certainty stands for this much.
_CERTAIN = math.log1p(-(2.0**-24))


def endpoint_methods() -> list[str]:
    """The registered methods that work through a server, sorted."""
    return [name for name, method in methods().items() if issubclass(method, ByDeletion)]


def through_endpoint(method: Method) -> Method:
    """A method in the form that a server can serve.

    Raises:
        ConfigError: It needs the model itself, or has an option that a server cannot serve.
    """
    if not isinstance(method, ByDeletion):
        raise ConfigError(
            f"method '{method.name}' needs more of the model ({', '.join(method.needs) or 'its token ids'}) than an "
            f"endpoint gives; through one there are: {', '.join(endpoint_methods())}"
        )
    return method.deleting()


def attribute(server: Server, text: EndpointText, method: Method, *, seed: int = 0) -> Attribution:
    """Score each token of a prompt through a server.

    Args:
        server: Who is asked.
        text: The prompt and its target (`heat.endpoint.text.encode`).
        method: One of `endpoint_methods`; it is taken in the form that deletes.
        seed: Seed of whatever is drawn.

    Returns:
        The attribution; `dtype` is "endpoint", `revision` the model as the server names it and where it was asked, and
        `forward_equivalents` counts the texts that were asked.

    Raises:
        ConfigError: The method needs the model itself.
        UnitError: The prompt has no such units.
        LogProbsError: The server's answer is not about what was asked.
    """
    chosen = through_endpoint(method)
    assert isinstance(chosen, ByDeletion)
    began = time.perf_counter()
    encoded, asked = text.encoded, _Asked(server, text)
    units = None if chosen.masks == "token" else masking_units(encoded, chosen.masks)
    scores = torch.zeros(encoded.n_targets, len(encoded.token_ids))
    log_probs = torch.zeros(encoded.n_targets)
    for target in range(encoded.n_targets):
        one = EndpointDeletions(asked, target, units)
        scores[target, : one.n_tokens] = chosen.by_deletion(one, seed=seed).float()
        log_probs[target] = asked.target(torch.ones(1, one.n_tokens, dtype=torch.bool), target)[0]
    return Attribution(
        token_ids=encoded.token_ids,
        tokens=text.names,
        offsets=encoded.offsets,
        text=encoded.text,
        target_span=(encoded.n_prompt, len(encoded.token_ids)),
        foil_ids=encoded.foil_ids,
        scores=scores,
        log_probs=log_probs,
        method=chosen.name,
        config=chosen.config(),
        model=server.model,
        revision=f"{asked.answered}@{server.host}",
        dtype="endpoint",
        seed=seed,
        forward_equivalents=float(asked.n_texts),
        seconds=time.perf_counter() - began,
    )


class EndpointDeletions(Deletions):
    """Deletions asked of a server.

    Where it takes ids, ids are deleted as in `heat.deletion.LocalDeletions`. Where it takes text alone, a token's
    characters are, and what is left is tokenised anew.

    Args:
        asked: The text's requests.
        target: Which of the targets.
        units: The unit that each token of the text is masked with, -1 for none; None where tokens are masked alone.
    """

    def __init__(self, asked: "_Asked", target: int, units: Sequence[int] | None) -> None:
        encoded = asked.text.encoded
        end = encoded.n_prompt + target
        super().__init__(
            encoded.token_ids[:end],
            encoded.token_ids[end],
            None if encoded.foil_ids is None else encoded.foil_ids[target],
            asked.text.n_fixed,
            None if units is None else units[:end],
            _TOGETHER,
        )
        self._asked, self._target = asked, target

    def sources(self, kind: Sources) -> list[int]:
        """See `Deletions`."""
        text = self._asked.text
        offsets = (text.encoded.offsets or ())[self.n_fixed : self.n_tokens]
        end = max((end for _, end in offsets), default=0)
        return [-1] * self.n_fixed + sources_in(text.encoded.text[:end], offsets, kind)

    def _g(self, left: Tensor) -> Tensor:
        g = self._asked.target(left, self._target)
        return g if self.foil_id is None else g - self._asked.foil(left, self._target)

    def _log_odds(self, left: Tensor) -> Tensor:
        log_p = self._asked.target(left, self._target).clamp_max(_CERTAIN)
        return log_p - torch.log(-torch.expm1(log_p))

    def _top(self, left: Tensor, k: int) -> list[TopLogProbs]:
        return self._asked.top(left, self._target, k)


class _Asked:
    """What was asked about one text; nothing is asked twice.

    All that stands behind a target goes with a request where one tells of every token: it serves all targets then.

    Attributes:
        text: The text.
        answered: The model, as the server names it.
    """

    def __init__(self, server: Server, text: EndpointText) -> None:
        self.text = text
        self.answered: str | None = None
        self._server = server
        self._known: dict[Asked, tuple[int, Reading]] = {}
        self._pieces = [text.encoded.text[start:end] for start, end in text.encoded.offsets or ()]

    @property
    def n_texts(self) -> int:
        """How many different texts were asked."""
        return len(self._known)

    def target(self, left: Tensor, target: int) -> Tensor:
        """Log p of a target behind what is left of its context, float64 [J]."""
        return self._log_probs(left, *self._following(target))

    def foil(self, left: Tensor, target: int) -> Tensor:
        """The same of the target's foil."""
        foil_ids = self.text.encoded.foil_ids or ()
        return self._log_probs(left, (foil_ids[target],), (self.text.foils[target],))

    def top(self, left: Tensor, target: int, k: int) -> list[TopLogProbs]:
        """The most probable tokens in a target's place."""
        return [
            self._top_at(asked, reading) for asked, reading in self._read(left, *self._following(target), k)
        ]

    def _following(self, target: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """A target and what stands behind it, as ids and as texts."""
        first = self.text.encoded.n_prompt + target
        end = len(self._pieces) if self._server.reads_all else first + 1
        return self.text.encoded.token_ids[first:end], tuple(self._pieces[first:end])

    def _log_probs(self, left: Tensor, ids: Sequence[int], pieces: Sequence[str]) -> Tensor:
        values = [
            self._of_stretch(asked.text, asked.at, asked.at + len(pieces[0]), placed(asked.text, reading))
            if isinstance(asked.text, str)
            else _number(reading.log_probs[asked.at])
            for asked, reading in self._read(left, ids, pieces, 1)
        ]
        return torch.tensor(values, dtype=torch.float64)

    def _top_at(self, asked: Asked, reading: Reading) -> TopLogProbs:
        if not isinstance(asked.text, str):
            return reading.top[asked.at]
        whole = placed(asked.text, reading)
        stretch = _stretch_at(whole, asked.at)
        if stretch is None:
            before, behind = asked.text[: asked.at], asked.text[asked.at :]
            raise OtherTokensError(
                f"the server makes one token across the end of {before[-20:]!r} where {behind[:20]!r} follows, and "
                "tells no distribution there; use another target, or a server that takes token ids"
            )
        return reading.top[whole.first[stretch]]

    def _of_stretch(self, text: str, start: int, end: int, whole: Placed) -> float:
        """Log-probability of the characters from start to end, however many tokens they have now."""
        first, last = _stretch_at(whole, start), _stretch_at(whole, end)
        if first is not None and last is not None:
            return sum(_number(one) for one in whole.log_probs[first:last])
        # A token lies across the target's edge: of the texts that end behind it and before it the whole is compared.
        with_it, without = self._ask([Asked(text[:end], start), Asked(text[:start], start)], 1)
        values, fewer = placed(text[:end], with_it), placed(text[:start], without)
        if values.log_probs[0] is None and values.spans[0] != fewer.spans[0]:
            raise OtherTokensError(
                f"the server makes one token of {text[:end]!r}, so it says nothing of its end; use another target, or "
                "a server that takes token ids"
            )
        totals = [sum(one for one in each.log_probs if one is not None) for each in (values, fewer)]
        return totals[0] - totals[1]

    def _read(
        self, left: Tensor, ids: Sequence[int], pieces: Sequence[str], k: int
    ) -> list[tuple[Asked, Reading]]:
        """What is asked, and what the server says to it."""
        asked = [self._without(row, ids, pieces) for row in left.tolist()]
        return list(zip(asked, self._ask(asked, k), strict=True))

    def _without(self, kept: Sequence[bool], ids: Sequence[int], pieces: Sequence[str]) -> Asked:
        """What is left of a context with what follows it."""
        # `kept` ends with the context, before the target.
        if self._server.takes_ids:
            own = [token for token, stays in zip(self.text.encoded.token_ids, kept, strict=False) if stays]
            return Asked((*own, *ids), len(own))
        before = "".join(piece for piece, stays in zip(self._pieces, kept, strict=False) if stays)
        return Asked(before + "".join(pieces), len(before))

    def _ask(self, asked: Sequence[Asked], k: int) -> list[Reading]:
        new = list(
            {self._key(one): one for one in asked if self._known.get(self._key(one), (0,))[0] < k}.values()
        )
        for one, reading in zip(new, self._server.read(new, top_k=k) if new else [], strict=True):
            self._check_model(reading.model)
            if isinstance(one.text, tuple):
                check_ids(one.text, reading)
            self._known[self._key(one)] = k, reading
        return [self._known[self._key(one)][1] for one in asked]

    def _key(self, asked: Asked) -> Asked:
        """By what an answer is found again: the place does not matter where all of a text is told."""
        return Asked(asked.text, 0) if self._server.reads_all else asked

    def _check_model(self, answered: str) -> None:
        if self.answered is None:
            self.answered = answered
        if answered != self.answered:
            raise ModelChangedError(
                f"'{answered}' answered, and before it '{self.answered}': the server changed its model, and "
                "log-probabilities of two models cannot be compared; ask one model, into a ledger of its own"
            )


def _stretch_at(whole: Placed, place: int) -> int | None:
    """Index of the stretch that begins at a character, or of none behind the last; None where none begins there."""
    for index, (start, end) in enumerate(whole.spans):
        if start == place and end > start:
            return index
    return len(whole.spans) if whole.spans and place == whole.spans[-1][1] else None


def _number(log_prob: float | None) -> float:
    """A log-probability that must be there."""
    if log_prob is None or not math.isfinite(log_prob):
        raise OtherTokensError(
            "the server gives no log-probability for a token in the middle of the text; is it started with "
            "log-probabilities of the prompt?"
        )
    return log_prob
