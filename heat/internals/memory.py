"""Working in parts that fit: when memory runs out, the part is halved and the work goes on."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from heat.errors import HeatError, OutOfMemoryError

T = TypeVar("T")


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _free() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
