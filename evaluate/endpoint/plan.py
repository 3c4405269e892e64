"""How many requests methods make of a server, and what they can cost, before they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotate.online.profiles import cost_usd, profile
from annotate.protocol import Usage
from heat.deletion import ByDeletion
from heat.endpoint.attribute import through_endpoint
from heat.endpoint.text import EndpointText
from heat.method import Method


@dataclass(frozen=True)
class RequestPlan:
    """What a method asks.

    Attributes:
        method: Registered name.
        requests: Texts that are put to the model, at most; what is alike is asked once.
        tokens: Tokens of prompt in them, at most.
        usd: What they cost at most, in US dollars; None where the price is not known.
    """

    method: str
    requests: int
    tokens: int
    usd: float | None


def request_plans(text: EndpointText, methods: Sequence[Method], model: str) -> list[RequestPlan]:
    """What some methods ask about a text.

    Args:
        text: The prompt and its target.
        methods: The methods.
        model: Name of the model, by which its price is found.

    Raises:
        ConfigError: A method needs more than an endpoint gives.
    """
    return [_plan(text, through_endpoint(method), model) for method in methods]


def _plan(text: EndpointText, method: Method, model: str) -> RequestPlan:
    assert isinstance(method, ByDeletion)
    encoded = text.encoded
    sides = 1 if encoded.foil_ids is None else 2
    # The whole text is one more, for the probability of the target.
    requests = sum(
        method.deletions(encoded.n_prompt + target) * sides + 1 for target in range(encoded.n_targets)
    )
    tokens = requests * len(encoded.token_ids)
    usd = cost_usd(Usage(input_tokens=tokens, output_tokens=requests), profile(model))
    return RequestPlan(method.name, requests, tokens, usd)
