"""A baseline that replaces random tokens and learns from what that does to the target's probability."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase
from typing_extensions import override

from heat.algorithms.draws import generator_of
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.errors import ModelNotFoundError, TokenizerError
from heat.internals.forward import at_targets, log_probs, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.offsets import decode
from heat.registry import register

_MASKED_LM = "masked-lm:"
# Replacements are drawn from the most probable tokens at each place: a whole vocabulary for each would fill
# the memory, and the rest has next to no mass.
CANDIDATES = 256


@register("reagent")
@dataclass(frozen=True)
class ReAGent(Method):
    """Importance learnt from random replacements, until the most important tokens alone bring the target forth.

    For each of `n_probes` probes: s ~ U(0, 1) for every token. Each step replaces a random set R, every token with
    probability `ratio`, takes Δ = p(target | x) - p(target | x̂), and adds logit(δ_i/2 + 1/2) to s_i with δ_i = Δ for i
    in R and -Δ for the others. A probe stops when, with all but its `top_n` tokens of largest s replaced, the target is
    among the model's `top_k`. The score is the mean of softmax(s) over the probes that stopped.

    Where the paper and its code are silent or differ, ours: where no probe stops within `max_steps`, all count; with a
    foil p is that over target and foil, and a probe stops by the target alone; a beginning-of-text token at the start
    is never replaced (it counts among the others). The paper draws replacements from RoBERTa, its code from words of
    the same part of speech; both need what a language model does not bring, so the default draws from the model itself.

    What a step replaces does not depend on s, so several steps of all probes share a pass: the result is that of one
    step at a time.

    Attributes:
        sampler: Where replacements come from. `model`: the model's own next-token distribution behind the text to the
            left, unchanged (the first token, which has no such text, is drawn evenly from the vocabulary); `uniform`:
            the vocabulary; `masked-lm:NAME`: a masked language model by folder or hub name, the token masked, mapped by
            text to tokens of the explained model (a place where none maps keeps its token). `model` and `masked-lm`
            draw from the 256 most probable. A replacement may equal the token.
        ratio: r, share of the tokens replaced in a step (paper 0.3, released runs 0.1).
        top_n: n (inseq 5, released runs 3).
        top_k: k.
        n_probes: Probes.
        max_steps: Steps after which a probe is given up (3,000 in the release; most stop within 30).
    """

    summary = "random replacements until the top tokens alone give the target"
    source = "Zhao & Shan 2024, algorithm 1; default replacements ours"
    needs = ("forward",)

    sampler: Annotated[str, Field(pattern=r"^(model|uniform|masked-lm:.+)$")] = "model"
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.3
    top_n: Annotated[int, Field(ge=1)] = 5
    top_k: Annotated[int, Field(ge=1)] = 3
    n_probes: Annotated[int, Field(ge=1)] = 3
    max_steps: Annotated[int, Field(ge=1)] = 150

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token.

        Raises:
            TokenizerError: `masked-lm` and the explained model share no tokens, or one has no tokenizer.
            ModelNotFoundError: There is no such masked language model.
        """
        scores = torch.zeros(batch.context.shape)
        with frozen(lm.model), torch.no_grad():
            for target, inside in enumerate(batch.context.cpu()):
                one = batch.of_targets(torch.tensor([target], device=batch.rows.device))
                generator = generator_of(batch, target, seed)
                scores[target, inside] = self._learn(lm, one, generator, batch_tokens).float()
        return Scores(scores)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents, an upper bound: no probe stops before `max_steps`."""
        return {"replacements": (2.0 + 2.0 * self.n_probes * self.max_steps) * n_targets}

    def _learn(self, lm: LanguageModel, one: Batch, generator: torch.Generator, batch_tokens: int) -> Tensor:
        """Scores of one target's context, float64 [n]."""
        token_ids = one.token_ids[one.rows[0]][one.context[0]].cpu()
        n_tokens = len(token_ids)
        # Alone and without padding, so that what is drawn from it does not depend on the rest of the batch.
        replacements = self._replacements(lm, token_ids)
        fixed = torch.zeros(n_tokens, dtype=torch.bool)
        fixed[0] = bool(token_ids[0] == lm.bos_token_id)
        probability = float(self._passes(lm, one, token_ids[None], batch_tokens)[0])
        logits = torch.rand(self.n_probes, n_tokens, generator=generator, dtype=torch.float64)
        ended = torch.zeros(self.n_probes, dtype=torch.bool)
        most = max(1, rows_within(batch_tokens, n_tokens) // self.n_probes)
        done, steps = 0, 1
        while done < self.max_steps and not ended.all():
            steps = min(steps, most, self.max_steps - done)
            # Drawn for every probe, ended or not, and step by step, so that how many share a pass changes nothing.
            drawn = torch.stack(
                [torch.rand(3, self.n_probes, n_tokens, generator=generator) for _ in range(steps)]
            )
            replaced = (drawn[:, 0] < self.ratio) & ~fixed
            changed = torch.where(replaced, replacements.drawn(drawn[:, 1]), token_ids)
            running = (~ended).nonzero()[:, 0]
            after = self._passes(lm, one, changed[:, running].flatten(0, 1), batch_tokens)
            drop = probability - after.unflatten(0, (steps, len(running)))
            path = logits[running] + updates(drop, replaced[:, running]).cumsum(0)
            top = torch.zeros_like(path, dtype=torch.bool).scatter(
                2, path.topk(min(self.top_n, n_tokens)).indices, True
            )
            alone = torch.where(top | fixed, token_ids, replacements.drawn(drawn[:, 2])[:, running])
            enough = self._passes(lm, one, alone.flatten(0, 1), batch_tokens, rank=True) < self.top_k
            enough = enough.unflatten(0, (steps, len(running)))
            stop = torch.where(enough.any(0), enough.long().argmax(0), steps - 1)
            logits[running] = path[stop, torch.arange(len(running))]
            ended[running] = enough.any(0)
            done, steps = done + steps, 2 * steps
        chosen = logits[ended] if bool(ended.any()) else logits
        return chosen.softmax(-1).mean(0)

    def _passes(
        self, lm: LanguageModel, one: Batch, texts: Tensor, batch_tokens: int, *, rank: bool = False
    ) -> Tensor:
        """Probability of the target behind each text [J, n], or how many tokens are more probable; float64 [J]."""

        def work(token_ids: Tensor) -> Tensor:
            n_texts = len(token_ids)
            part = Batch(
                token_ids=token_ids.to(lm.device),
                attention_mask=torch.ones_like(token_ids, device=lm.device),
                rows=torch.arange(n_texts, device=lm.device),
                positions=torch.full((n_texts,), token_ids.shape[1] - 1, device=lm.device),
                target_ids=one.target_ids.expand(n_texts),
            )
            values = at_targets(lm.model, part, token_vectors(lm.model, part))
            target_values = values.gather(1, part.target_ids.to(values.device)[:, None])
            if rank:
                return (values > target_values).sum(-1).double().cpu()
            if one.foil_ids is not None:
                foil = values.gather(1, one.foil_ids.expand(n_texts).to(values.device)[:, None])
                return (target_values - foil).double().sigmoid()[:, 0].cpu()
            return target_values.double().exp()[:, 0].cpu()

        return torch.cat(list(in_parts(texts, rows_within(batch_tokens, texts.shape[1]), work)))

    def _replacements(self, lm: LanguageModel, token_ids: Tensor) -> "_Replacements":
        if self.sampler == "model":
            return _from_model(lm, token_ids)
        if self.sampler == "uniform":
            return _even(lm, len(token_ids))
        return _from_masked_lm(lm, token_ids, self.sampler.removeprefix(_MASKED_LM))


def updates(drop: Tensor, replaced: Tensor) -> Tensor:
    """What a step adds to s: logit(δ/2 + 1/2), with δ the drop where a token was replaced and its negative elsewhere.

    Args:
        drop: Δ in [-1, 1], float64 [...].
        replaced: Bool [..., n].

    Returns:
        float64 [..., n]; finite also where Δ is ±1.
    """
    delta = torch.where(replaced, drop[..., None], -drop[..., None])
    return torch.logit(delta / 2 + 0.5, eps=1e-6)


@dataclass(frozen=True, eq=False)
class _Replacements:
    """A distribution over tokens for every place of a text.

    Attributes:
        candidates: int64 [n, c].
        mass: Cumulative probability of the candidates, float64 [n, c], 1 in the end.
        anywhere: Bool [n], places that are drawn evenly from the vocabulary instead.
        vocab_size: Number of tokens.
    """

    candidates: Tensor
    mass: Tensor
    anywhere: Tensor
    vocab_size: int

    def drawn(self, numbers: Tensor) -> Tensor:
        """Tokens for uniform numbers [..., n] in [0, 1), int64 of the same shape."""
        even = (numbers * self.vocab_size).long().clamp_max(self.vocab_size - 1)
        flat = numbers.reshape(-1, numbers.shape[-1]).T.double().contiguous()
        index = torch.searchsorted(self.mass, flat, right=True).clamp_max(self.mass.shape[1] - 1)
        picked = self.candidates.gather(1, index).T.reshape(numbers.shape)
        return torch.where(self.anywhere, even, picked)


def _most_probable(log_probs_at: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable ids at each place and their probabilities among themselves, [n, c] each, on CPU."""
    top = log_probs_at.topk(min(CANDIDATES, log_probs_at.shape[1]))
    return top.indices.cpu(), top.values.double().softmax(-1).cpu()


def _even(lm: LanguageModel, n_tokens: int) -> _Replacements:
    nothing = torch.zeros(n_tokens, 1)
    return _Replacements(
        nothing.long(), 1 + nothing.double(), torch.ones(n_tokens, dtype=torch.bool), lm.vocab_size
    )


def _from_model(lm: LanguageModel, token_ids: Tensor) -> _Replacements:
    """What the model itself says behind the text before each place, from one pass over the unchanged text."""
    n_tokens = len(token_ids)
    if n_tokens == 1:
        return _even(lm, 1)
    places = torch.arange(n_tokens - 1, device=lm.device)
    ids = token_ids[None].to(lm.device)
    embeddings = lm.model.get_input_embeddings()(ids).detach()
    mask = torch.ones_like(ids)
    order = mask.cumsum(-1) - 1
    said = log_probs(lm.model, embeddings, mask, order, torch.zeros_like(places), places)
    candidates, probabilities = _most_probable(said)
    # Nothing stands before the first token; its row is a copy that is never read.
    candidates = torch.cat([candidates[:1], candidates])
    mass = torch.cat([probabilities[:1], probabilities]).cumsum(-1)
    return _Replacements(candidates, mass, torch.arange(n_tokens) == 0, lm.vocab_size)


def _from_masked_lm(lm: LanguageModel, token_ids: Tensor, name: str) -> _Replacements:
    """What a masked language model says of each place when its token is masked, in the explained model's tokens.

    Raises:
        TokenizerError: A tokenizer or a mask token is missing, or no suggestion is a token of the explained model.
    """
    if lm.tokenizer is None:
        raise TokenizerError(
            f"'{lm.name}' has no tokenizer to map the tokens of '{name}' to; use sampler='model' or 'uniform'"
        )
    model, tokenizer = _load_masked_lm(name)
    pieces = [decode(lm.tokenizer, [token]) for token in token_ids.tolist()]
    texts = []
    for place, piece in enumerate(pieces):
        space = " " if piece[:1].isspace() else ""
        before = decode(lm.tokenizer, token_ids[:place].tolist())
        after = decode(lm.tokenizer, token_ids[place + 1 :].tolist())
        texts.append(f"{before}{space}{tokenizer.mask_token}{after}")
    suggestions = []
    # Text by text, so that none is padded.
    for text, piece in zip(texts, pieces, strict=True):
        encoded = tokenizer(text, return_tensors="pt", truncation=True)
        masked = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
        suggested = dict[int, float]()
        if len(masked):
            said = model(**encoded).logits[0, masked[0]].float().log_softmax(-1)
            ids, probabilities = _most_probable(said[None])
            for token, probability in zip(ids[0].tolist(), probabilities[0].tolist(), strict=True):
                substitute = _same_text(lm, piece, decode(tokenizer, [token]))
                if substitute is not None:
                    suggested[substitute] = suggested.get(substitute, 0.0) + probability
        suggestions.append(suggested)
    if not any(suggestions):
        raise TokenizerError(
            f"no suggestion of '{name}' is one token of '{lm.name}'; use sampler='model' or 'uniform'"
        )
    width = max(len(suggested) for suggested in suggestions)
    candidates = token_ids[:, None].repeat(1, width)
    mass = torch.ones(len(token_ids), width, dtype=torch.float64)
    for place, suggested in enumerate(suggestions):
        if suggested:
            weights = torch.tensor(list(suggested.values()), dtype=torch.float64)
            candidates[place, : len(weights)] = torch.tensor(list(suggested))
            mass[place, : len(weights)] = (weights / weights.sum()).cumsum(0)
    return _Replacements(candidates, mass, torch.zeros(len(token_ids), dtype=torch.bool), lm.vocab_size)


def _same_text(lm: LanguageModel, piece: str, suggestion: str) -> int | None:
    """The one token of the explained model for a suggested word, with the white space of the token it replaces."""
    assert lm.tokenizer is not None
    word = suggestion.strip()
    if not word:
        return None
    space = piece[: len(piece) - len(piece.lstrip())]
    ids = lm.tokenizer(space + word, add_special_tokens=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 and decode(lm.tokenizer, ids) == space + word else None


@lru_cache(maxsize=1)
def _load_masked_lm(name: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """A masked language model in evaluation mode and its tokenizer.

    Raises:
        ModelNotFoundError: It cannot be loaded.
        TokenizerError: Its tokenizer has no mask token.
    """
    try:
        model = AutoModelForMaskedLM.from_pretrained(name).eval()
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ModelNotFoundError(
            f"'{name}' is no masked language model that can be loaded ({str(error).strip().splitlines()[0]}); "
            "give a folder or a hub name, or use sampler='model' or 'uniform'"
        ) from error
    if tokenizer.mask_token is None:
        raise TokenizerError(f"the tokenizer of '{name}' has no mask token; is it a masked language model?")
    return model, tokenizer
