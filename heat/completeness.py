"""Whether scores that promise to add up do: Σ_i a_i against g(E) - g(baseline) (Sundararajan et al. 2017, prop. 1)."""

from dataclasses import dataclass

import torch

from heat.attribution import Attribution
from heat.batch import collate
from heat.encoding import Encoded
from heat.internals.forward import explained, replacement, token_vectors
from heat.internals.state import frozen
from heat.method import Method
from heat.model import LanguageModel

# A gap of more than this share of the difference, or of one nat where the difference is smaller, is worth a note.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Completeness:
    """How far the scores of one target are from what the baseline takes away.

    Attributes:
        total: Σ_i a_i over the context.
        difference: g(E) - g(baseline), in nats; g is log p(target), less log p(foil) where there is one.
    """

    total: float
    difference: float

    @property
    def gap(self) -> float:
        """The scores' sum less the difference."""
        return self.total - self.difference

    @property
    def missed(self) -> bool:
        """Whether the gap is larger than rounding and too few steps explain."""
        return abs(self.gap) > TOLERANCE * max(1.0, abs(self.difference))


def completeness(
    lm: LanguageModel, encoded: Encoded, method: Method, attribution: Attribution
) -> list[Completeness]:
    """Compare the sum of the scores with the difference they promise to add up to; two passes.

    Args:
        lm: The model; left as it was.
        encoded: The prompt and target that were explained.
        method: A method with `completeness`; its option `baseline` says what stands for missing tokens.
        attribution: What it gave.

    Returns:
        One for each target that is explained; empty for a method that promises nothing, or where some targets have a
        foil and some have none.
    """
    if not method.completeness or (encoded.foil_ids and min(encoded.foil_ids) < 0):
        return []
    rows = collate([encoded], lm.device).one_target_per_row()
    with frozen(lm.model), torch.no_grad():
        embeddings = token_vectors(lm.model, rows)
        blank = replacement(lm.model, rows, embeddings, method.config().get("baseline", "zero"))
        whole = explained(lm.model, rows, embeddings)
        empty = explained(lm.model, rows, blank[:, None].expand_as(embeddings).contiguous())
    differences = (whole.double() - empty.double()).tolist()
    totals = attribution.scores[list(encoded.wanted)].double().sum(-1).tolist()
    return [Completeness(*values) for values in zip(totals, differences, strict=True)]
