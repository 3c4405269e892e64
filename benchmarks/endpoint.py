"""Methods through a server beside the same methods on the same weights in this process.

    python benchmarks/endpoint.py --endpoint http://127.0.0.1:8080/v1 --server llama.cpp --local model.gguf

For every method that works through an endpoint: how many texts were asked, the largest score, the largest difference
of a score, and the rank correlation (Spearman) over the prompt's tokens. Where the server takes ids, ours are those of
`heat.attribute` on the file itself. Where it takes text alone, texts are put to the local model as to a server, so that
both tokenise anew and draw alike. Ends with an error where a difference exceeds `--allowed` of the largest score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluate.endpoint import ServerKind

if TYPE_CHECKING:
    from heat import LanguageModel
    from heat.endpoint.reading import Asked, Reading

PROMPT = (
    "The fern absorbs the copper. The moss absorbs the iron. The reed absorbs the zinc. "
    "What does the moss absorb? The moss absorbs the"
)
FEWER: dict[str, dict[str, Any]] = {
    "context-cite": {"n_ablations": 32},
    "kernel-shap": {"n_samples": 64},
    "lime": {"n_samples": 64},
    "owen": {"budget": 64},
    "shapley-sampling": {"n_samples": 1},
}


@dataclass
class Here:
    """The local model as a server that takes text; see `heat.endpoint.reading.Server`."""

    lm: LanguageModel
    model: str = "local"
    host: str = "here"
    takes_ids: bool = False
    reads_all: bool = True

    def tokens(self, text: str) -> Reading:
        """The tokens of a text, with their log-probabilities."""
        return self._read(text, 1)

    def read(self, asked: Sequence[Asked], top_k: int = 1) -> list[Reading]:
        """What the model says of texts."""
        return [self._read(str(one.text), top_k) for one in asked]

    def say(self, text: str, n_tokens: int) -> str:
        """Not asked here, as a target is given."""
        raise NotImplementedError

    def _read(self, text: str, top_k: int) -> Reading:
        import torch

        from heat.endpoint.reading import Reading
        from heat.offsets import tokenize

        tokens = tokenize(self.lm.tokenizer, text)  # type: ignore[arg-type]
        names = tuple(text[start:end] for start, end in tokens.offsets)
        with torch.no_grad():
            logits = self.lm.model(input_ids=torch.tensor([tokens.token_ids])).logits[0]
        values = logits.double().log_softmax(-1)
        decode = self.lm.tokenizer.decode  # type: ignore[union-attr]
        log_probs: list[float | None] = [None]
        top: list[dict[int | str, float]] = [{}]
        for at, (token, name) in enumerate(zip(tokens.token_ids[1:], names[1:], strict=True)):
            best = values[at].topk(top_k)
            top.append(
                {str(decode([i])): float(v) for i, v in zip(best.indices.tolist(), best.values, strict=True)}
            )
            top[-1][name] = float(values[at, token])
            log_probs.append(float(values[at, token]))
        return Reading(names, tuple(log_probs), tuple(top), model=self.model)


def main(
    endpoint: Annotated[str, typer.Option(help="Address of the server, up to and with /v1.")],
    local: Annotated[Path, typer.Option(help="The model it serves: a GGUF file or a folder.")],
    server: Annotated[ServerKind, typer.Option(help="Which kind of server it is.")] = "openai",
    model: Annotated[str, typer.Option(help="The model's name there.")] = "model",
    target: Annotated[str, typer.Option(help="What is explained.")] = " iron",
    foil: Annotated[str | None, typer.Option(help="What might have been said instead.")] = None,
    ledger: Annotated[Path, typer.Option(help="Where answers are kept.")] = Path("endpoint-ledger.jsonl"),
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests in flight.")] = 2,
    allowed: Annotated[
        float, typer.Option(help="Largest difference, as a share of the largest score.")
    ] = 0.2,
) -> None:
    """Set scores through a server beside scores of the same weights here."""
    import torch
    from scipy.stats import spearmanr

    import heat
    from annotate.online.limits import Limits
    from annotate.online.transport import Endpoint
    from evaluate.endpoint.server import EndpointServer
    from heat.endpoint.attribute import attribute, endpoint_methods, through_endpoint
    from heat.endpoint.text import encode
    from heat.registry import build

    lm = heat.load(local)
    torch.set_num_threads(1)
    print("| method | texts | largest score | largest difference | rank correlation |\n|---|---|---|---|---|")
    worst = 0.0
    with EndpointServer(model, Endpoint(endpoint), server, ledger, Limits(concurrency)) as asked:
        text = encode(asked, PROMPT, target, foil=foil)
        here = Here(lm)
        for name in endpoint_methods():
            method = through_endpoint(build(name, FEWER.get(name, {})))
            found = attribute(asked, text, method)
            if asked.takes_ids:
                ours = heat.attribute(lm, PROMPT, target, method, foil=foil)
            else:
                ours = attribute(here, encode(here, PROMPT, target, foil=foil), method)
            n_prompt = found.target_span[0]
            one, other = found.scores[0, :n_prompt], ours.scores[0, :n_prompt]
            largest, difference = float(other.abs().max()), float((one - other).abs().max())
            rank = float(spearmanr(one, other).statistic)
            worst = max(worst, difference / largest)
            print(
                f"| `{name}` | {found.forward_equivalents:.0f} | {largest:.3g} | {difference:.2g} | {rank:.4f} |",
                flush=True,
            )
        print(f"\nlog p(target): {float(found.log_probs[0]):.4f} there, {float(ours.log_probs[0]):.4f} here")
    if worst > allowed:
        raise SystemExit(f"a difference is {worst:.2f} of the largest score, and {allowed} are allowed")


if __name__ == "__main__":
    typer.run(main)
