"""Attributions made by hand."""

from collections.abc import Mapping

import torch
from torch import Tensor

from heat.attribution import Attribution


def made(
    text: str,
    spans: list[tuple[int, int]],
    scores: list[list[float]],
    n_targets: int = 1,
    components: Mapping[str, Tensor] | None = None,
    model: str = "made by hand",
) -> Attribution:
    """An attribution of tokens t0, t1, ...; the last spans are the targets'."""
    n = len(spans)
    return Attribution(
        token_ids=tuple(range(n)),
        tokens=tuple(f"t{i}" for i in range(n)),
        offsets=tuple(spans),
        text=text,
        target_span=(n - n_targets, n),
        scores=torch.tensor(scores),
        log_probs=torch.full((n_targets,), 0.5).log(),
        method="random",
        config={},
        model=model,
        revision="1",
        dtype="float32",
        seed=0,
        forward_equivalents=1.0,
        seconds=None,
        components=components or {},
    )
