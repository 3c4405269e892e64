"""Models behind an endpoint: the wire to a server of log-probabilities, through the annotators' client and ledger."""

from typing import Literal

ServerKind = Literal["openai", "vllm", "llama.cpp"]
