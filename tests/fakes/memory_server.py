"""A tiny model as a server of log-probabilities, without a wire: what it says of a text, by ids or by text."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from heat import LanguageModel
from heat.endpoint.reading import Asked, Reading
from heat.offsets import decode, tokenize


@dataclass
class MemoryServer:
    """See `heat.endpoint.reading.Server`; every question is kept in `asked`."""

    lm: LanguageModel
    takes_ids: bool = False
    reads_all: bool = True
    model: str = "tiny"
    host: str = "memory"
    asked: list[Asked] = field(default_factory=list)

    def tokens(self, text: str) -> Reading:
        tokens = tokenize(self.lm.tokenizer, text)
        names = ["" if end == start else text[start:end] for start, end in tokens.offsets]
        # Bytes of one character are no text by themselves.
        parts = [
            any(other == span and at != place for place, other in enumerate(tokens.offsets))
            for at, span in enumerate(tokens.offsets)
        ]
        names = ["" if part else name for name, part in zip(names, parts, strict=True)]
        ids = tokens.token_ids
        if self.takes_ids:
            return Reading(tuple(names), token_ids=ids)
        log_probs, top = self.log_probs(ids, 1)
        return Reading(tuple(names), log_probs, top, n_tokens=len(ids), model=self.model)

    def read(self, asked: Sequence[Asked], top_k: int = 1) -> list[Reading]:
        return [self.read_one(one, top_k) for one in asked]

    def read_one(self, asked: Asked, top_k: int) -> Reading:
        self.asked.append(asked)
        if isinstance(asked.text, str):
            reading = self.tokens(asked.text)
            ids = tokenize(self.lm.tokenizer, asked.text).token_ids
            log_probs, top = self.log_probs(ids, top_k)
            return Reading(reading.tokens, log_probs, top, n_tokens=len(ids), model=self.model)
        ids = asked.text
        log_probs, top = self.log_probs(ids, top_k)
        return Reading(("",) * len(ids), log_probs, top, ids, len(ids), self.model)

    def say(self, text: str, n_tokens: int) -> str:
        ids = list(tokenize(self.lm.tokenizer, text).token_ids)
        for _ in range(n_tokens):
            ids.append(int(self.logits(ids)[-1].argmax()))
        return decode(self.lm.tokenizer, ids).removeprefix(decode(self.lm.tokenizer, ids[:-n_tokens]))

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.lm.model(input_ids=torch.tensor([list(ids)])).logits[0]

    def log_probs(self, ids: Sequence[int], top_k: int) -> tuple[tuple, tuple]:
        """Of every token behind those before it, and the most probable ones there with the token itself."""
        values = self.logits(ids).double().log_softmax(-1)
        log_probs: list[float | None] = [None]
        top: list[dict[int, float]] = [{}]
        for at, token in enumerate(ids[1:]):
            best = values[at].topk(top_k)
            named = dict(zip(best.indices.tolist(), best.values.tolist(), strict=True))
            top.append(named | {token: float(values[at, token])})
            log_probs.append(float(values[at, token]))
        return tuple(log_probs), tuple(top)
