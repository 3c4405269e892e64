"""Random numbers of a target: the same in any batch, others for another seed, context or target."""

import pytest
import torch
from fakes.batches import batch_of
from fakes.tiny_models import tiny_lm

import heat
from heat.algorithms.draws import generator_of
from heat.batch import Batch


def drawn(batch: Batch, seed: int) -> list[float]:
    return torch.rand(4, generator=generator_of(batch, 0, seed)).tolist()


def test_draws_depend_on_seed_context_and_target_alone() -> None:
    first = drawn(batch_of([5, 6, 7, 8]), 0)
    assert drawn(batch_of([5, 6, 7, 8]), 0) == first
    assert drawn(batch_of([5, 6, 7, 8], n_padding=3), 0) == first
    others = [
        drawn(batch_of([5, 6, 7, 8]), 1),
        drawn(batch_of([5, 6, 9, 8]), 0),
        drawn(batch_of([5, 6, 7, 9]), 0),
    ]
    assert len({tuple(values) for values in [first, *others]}) == 4


@pytest.mark.parametrize(
    ("method", "options"), [("random", {}), ("reagent", {"max_steps": 8}), ("context-cite", {})]
)
def test_the_seed_of_a_run_reaches_the_draws(method: str, options: dict[str, int]) -> None:
    lm, prompt = tiny_lm("llama"), list(range(10, 30))
    one, again, other = (heat.attribute(lm, prompt, [7], method, seed=seed, **options) for seed in (3, 3, 4))
    assert torch.equal(one.scores, again.scores)
    assert not torch.equal(one.scores, other.scores)
