"""Attributions in the JSON that inseq 0.7 saves and loads (`FeatureAttributionOutput.save`), without inseq itself."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

if TYPE_CHECKING:
    from heat.attribution import Attribution

_OUTPUT = ("inseq.data.attribution", "FeatureAttributionOutput")
# One score a token, as those of inseq's occlusion.
_SEQUENCE = ("inseq.data.attribution", "CoarseFeatureAttributionSequenceOutput")
_TOKEN = ("inseq.utils.typing", "TokenWithId")


def to_inseq(attribution: Attribution) -> str:
    """An attribution as inseq saves its own, to be read by `inseq.FeatureAttributionOutput.load`.

    Args:
        attribution: Of n tokens of prompt and m targets.

    Returns:
        JSON. Scores are `target_attributions` [n + m, m], NaN where a token stands at a target or after it, and for
        targets that were not explained. Parts of the scores are `sequence_scores` of the same shape, and
        p(target | all before it) is the `probability` of `step_scores`. Method, options, model, seed and foils are
        fields of `info`; offsets and messages of a chat have no place in the format.
    """
    first, last = attribution.target_span
    tokens = [
        _instance(_TOKEN, {"token": name, "id": number})
        for name, number in zip(attribution.tokens, attribution.token_ids, strict=True)
    ]
    sequence = {
        "source": tokens[:first],
        "target": tokens,
        "source_attributions": None,
        "target_attributions": _packed(_by_target(attribution, attribution.scores)),
        "step_scores": {"probability": _packed(attribution.log_probs.exp())},
        "sequence_scores": {
            name: _packed(_by_target(attribution, part)) for name, part in attribution.components.items()
        },
        "attr_pos_start": first,
        "attr_pos_end": last,
    }
    info = {
        "attribution_method": attribution.method,
        "attribution_args": dict(attribution.config),
        "attr_pos_start": first,
        "attr_pos_end": last,
        "constrained_decoding": True,
        "exec_time": attribution.seconds,
        "foil_ids": attribution.foil_ids,
        "generated_texts": [attribution.text],
        "input_texts": [attribution.prompt_text],
        "model_name": attribution.model,
        "model_revision": attribution.revision,
        "seed": attribution.seed,
        "step_scores": ["probability"],
    }
    document = {
        "sequence_attributions": [_instance(_SEQUENCE, sequence)],
        "step_attributions": None,
        "info": info,
    }
    return json.dumps(_instance(_OUTPUT, document), sort_keys=True, ensure_ascii=False)


def _by_target(attribution: Attribution, scores: Tensor) -> Tensor:
    """A column a target, NaN where there can be no score, float32 [n + m, m]."""
    first, last = attribution.target_span
    positions = torch.arange(last)[:, None]
    targets = torch.arange(first, last)
    beyond = positions >= targets
    if attribution.explained is not None:
        beyond = beyond | ~torch.isin(targets - first, torch.tensor(attribution.explained))
    return scores.T.masked_fill(beyond, torch.nan)


def _packed(tensor: Tensor) -> str:
    """A tensor as base64 of safetensors."""
    return base64.b64encode(to_safetensors({"attribution": tensor.contiguous()})).decode()


def _instance(kind: tuple[str, str], attributes: dict[str, Any]) -> dict[str, Any]:
    """An object of a class of inseq's, with its fields."""
    return {"__instance_type__": kind, "attributes": attributes}
