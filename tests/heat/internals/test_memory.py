import pytest
import torch

from heat.errors import OutOfMemoryError
from heat.internals.memory import in_parts


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory"), MemoryError()],
)
def test_parts_are_halved_and_nothing_is_done_twice(error: Exception) -> None:
    done: list[int] = []

    def work(some: torch.Tensor) -> int:
        if len(some) > 3:
            raise error
        done.extend(some.tolist())
        return len(some)

    assert sum(in_parts(torch.arange(11), 8, work)) == 11
    assert done == list(range(11))


def test_a_single_job_that_does_not_fit_says_what_to_do() -> None:
    def work(some: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError, match="heat-windowed"):
        list(in_parts(torch.arange(4), 4, work))


def test_other_errors_pass() -> None:
    def work(some: torch.Tensor) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(in_parts(torch.arange(4), 4, work))
