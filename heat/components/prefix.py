"""What stands before a changed token is computed once: keys and values of a prefix, shared by many suffixes."""

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from heat.internals.forward import token_vectors
from heat.internals.probe import alike, at_end, once, reason, two_texts
from heat.internals.state import frozen

KeysAndValues = list[tuple[Tensor, Tensor]]

# Suffixes that are passed through together begin where the first of them does, so a part of many recomputes tokens it
# need not, and one of few leaves the processor idle: a sixteenth of the length, and no fewer than 1,024 tokens.
_SHARE = 16
_TOKENS = 1024
# Layers of a cache that keep keys and values, and nothing else (a state, an index of what to look at).
_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)


def suffix_rows(length: int, budget: int) -> int:
    """How many suffixes of that length one pass takes.

    Args:
        length: Tokens of the first suffix.
        budget: Tokens that one pass may hold.

    Returns:
        At least one.
    """
    return max(1, min(budget // length, max(length // _SHARE, _TOKENS // length)))


def suffix_parts(tokens: Tensor, end: int, budget: int) -> Iterator[Tensor]:
    """Neighbouring columns whose suffixes go through the model together.

    Args:
        tokens: int64 [J], ascending.
        end: One past the last column of a suffix.
        budget: Tokens that one pass may hold.

    Yields:
        Consecutive parts of `tokens`; the shorter the suffixes, the more of them.
    """
    columns = tokens.tolist()
    done = 0
    while done < len(columns):
        size = suffix_rows(end - columns[done], budget)
        yield tokens[done : done + size]
        done += size


def suffix_cost(n_tokens: int, n_targets: int, budget: int) -> float:
    """Work of one suffix for each token before the last of some targets.

    A suffix ends where the last target is read, so the other targets stand in it too.

    Args:
        n_tokens: Tokens before the first target.
        n_targets: Number of targets.
        budget: Tokens that one pass may hold.

    Returns:
        In passes over the n tokens.
    """
    end = n_tokens + n_targets - 1
    work = done = 0
    while done < end:
        size = min(suffix_rows(end - done, budget), end - done)
        work += size * (end - done)
        done += size
    return work / n_tokens


def empty_cache() -> DynamicCache:
    """A cache that a pass fills with the keys and values of its texts.

    Without the model's config it has no sliding layers: all keys are kept, and the model's mask hides those that are
    out of a layer's window.
    """
    return DynamicCache()


def keys_and_values(cache: DynamicCache) -> KeysAndValues:
    """Every layer's keys and values that a pass has left in a cache, each [B, heads, T, d]."""
    return [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[union-attr,misc]


def prefix_before(whole: KeysAndValues, column: int) -> KeysAndValues:
    """The part of a text's keys and values that stands before a column; empty at its beginning."""
    return [(keys[:, :, :column], values[:, :, :column]) for keys, values in whole] if column else []


def repeated_cache(prefix: KeysAndValues, times: int) -> DynamicCache:
    """A cache for N copies of the prefix's text; the copies are views, and a pass appends to its own."""
    cache = empty_cache()
    for index, (keys, values) in enumerate(prefix):
        cache.update(keys.expand(times, -1, -1, -1), values.expand(times, -1, -1, -1), index)
    return cache


@once
def keeps_prefixes(model: PreTrainedModel) -> bool:
    """Whether the keys and values of a prefix are all that a suffix needs of it."""
    usual = DynamicCache(config=model.config)
    if model._is_stateful or any(type(layer) not in _PLAIN for layer in usual.layers):
        return False
    batch = two_texts(model)
    n_rows, n_tokens = batch.token_ids.shape
    half = n_tokens // 2
    rows = torch.arange(n_rows, device=batch.rows.device)
    with frozen(model), torch.no_grad():
        try:
            vectors = token_vectors(model, batch)
            cache = empty_cache()
            whole = at_end(model, batch, vectors, 0, past_key_values=cache)
            # Of one text for all, and cut from a cache that holds all of it, as suffixes will have it.
            prefix = [(keys[:1], values[:1]) for keys, values in prefix_before(keys_and_values(cache), half)]
            again = at_end(model, batch, vectors, half, past_key_values=repeated_cache(prefix, len(rows)))
        except Exception as error:
            reason(error)
            return False
    return alike(model, again, whole)
