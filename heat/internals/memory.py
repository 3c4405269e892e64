"""Working in parts that fit: when memory runs out, the part is halved and the work goes on."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from heat.batch import Batch, rows_within
from heat.errors import HeatError, OutOfMemoryError

T = TypeVar("T")

# The last two are said under a limit of the address space, by a thread's stack and by a file of weights.
_SAYS = ("out of memory", "can't allocate memory", "can't start new thread", "unable to mmap")


def in_parts(jobs: Tensor, size: int, work: Callable[[Tensor], T]) -> Iterator[T]:
    """Do jobs some at a time; after an out-of-memory half as many at a time.

    Args:
        jobs: A job a row.
        size: How many at a time to begin with.
        work: Does some jobs.

    Yields:
        What `work` returned, part by part in order.

    Raises:
        OutOfMemoryError: A single job does not fit.
    """
    done, size = 0, max(1, size)
    while done < len(jobs):
        part = jobs[done : done + size]
        try:
            result = work(part)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, HeatError) or not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise OutOfMemoryError(
                    "memory ran out with a single pass at a time; use a windowed method "
                    "(heat-windowed, heat-lr-win), a shorter prompt, or a smaller dtype"
                ) from error
            size = len(part) // 2
            _free()
            continue
        yield result
        done += len(part)


def by_sequences(batch: Batch, batch_tokens: int, work: Callable[[Batch], Tensor]) -> Tensor:
    """What is computed of some sequences at a time, put together; the targets of one share its passes.

    Args:
        batch: B sequences of T tokens with R targets.
        batch_tokens: Tokens that one pass may hold.
        work: Gives [R', T] for the R' targets of some of the sequences.

    Returns:
        [R, T].
    """
    size = rows_within(batch_tokens, batch.token_ids.shape[1])
    result = torch.zeros(batch.context.shape)
    everything = torch.arange(len(batch.token_ids), device=batch.token_ids.device)

    def part_of(rows: Tensor) -> tuple[Tensor, Tensor]:
        part, targets = batch.of_rows(rows)
        return targets, work(part)

    for targets, values in in_parts(everything, size, part_of):
        result = result.to(values)
        result[targets] = values
    return result


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _SAYS)


def _free() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
