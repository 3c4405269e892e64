"""Which transition agrees best with what people and construction say: the measurement behind the default.

    python benchmarks/transition.py --limit 100
    python benchmarks/transition.py --lambada annotated_lambada.jsonl --model path/to/model

Curvature and information are computed once an item and gated by every transition in turn, so all rows are about the
same numbers. Without `--lambada` the items are the benchmark that ships and gold is the evidence by construction; with
it they are passages with human rationales (a JSON line each: `text`, `rationale` as character spans), and the target
is the passage's last word.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import regex
import typer

VARIANTS: dict[str, dict[str, str]] = {
    "gradient, full": {"kind": "gradient", "residual": "full"},
    "gradient, half": {"kind": "gradient", "residual": "half"},
    "gradient, without-self": {"kind": "gradient", "residual": "without-self"},
    "gradient, relevance": {"kind": "gradient", "residual": "relevance"},
    "value": {"kind": "value"},
    "uniform (ungated)": {"kind": "uniform"},
}


def lambada(path: Path) -> list[tuple[str, str, list[tuple[int, int]], list[bool]]]:
    """Prompt, target, words and gold of every passage."""
    items = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        text = row["text"].rstrip()
        cut = max(match.start() for match in regex.finditer(r"\s\S", text))
        words = [match.span() for match in regex.finditer(r"\w+(?:['’]\w+)*", text[:cut])]
        gold = [any(start < b and end > a for a, b in row["rationale"]) for start, end in words]
        if any(gold) and not all(gold):
            items.append((text[:cut], text[cut:], words, gold))
    return items


def shipped() -> list[tuple[str, str, list[tuple[int, int]], list[bool]]]:
    """Prompt, target, words and gold of every paragraph of the prebuilt benchmark."""
    from annotate.benchmark import prebuilt
    from evaluate.prompt import prompt_of, target_of

    return [
        (prompt_of(p), target_of(p), list(p.words), [i in set(p.evidence or ()) for i in range(len(p.words))])
        for p in prebuilt().paragraphs()
    ]


def main(
    lambada_path: Annotated[
        Path | None, typer.Option("--lambada", help="Passages with human rationales.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub name. Default: the embedded reader.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many items.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of probes and bootstrap.")] = 0,
) -> None:
    """Print the mean AUPRC of HEAT under each transition, with its 95 % interval, as Markdown."""
    import heat
    from evaluate.intervals import mean_interval
    from evaluate.metrics.alignment import auprc
    from evaluate.projection import projection
    from heat.batch import collate
    from heat.components import curvature, information, transition
    from heat.errors import PromptTooLongError

    lm = heat.load(model)
    items = shipped() if lambada_path is None else lambada(lambada_path)
    found: dict[str, list[float]] = defaultdict(list)
    texts: list[str] = []
    too_long = 0
    for prompt, target, words, gold in items[:limit]:
        encoded = heat.encode(lm, prompt, target, max_targets=1)
        if lm.context_length is not None and len(encoded.token_ids) > lm.context_length:
            too_long += 1
            continue
        try:
            gradient = heat.attribute(lm, encoded, None, "gradient-norm").scores
        except PromptTooLongError:
            too_long += 1
            continue
        texts.append(prompt)
        batch = collate([encoded], lm.device)
        shares = projection(encoded.text, words, encoded.offsets or ())
        mask = np.array(gold)

        def score(name: str, scores: Any, shares: Any = shares, mask: Any = mask) -> None:
            on_words = shares.T @ scores[0].double().cpu().numpy()
            found[name].append(auprc(on_words, mask, np.zeros_like(mask)))

        size, loss = curvature(lm.model, batch, seed=seed), information(lm.model, batch)
        mixed = 0.5 * size / size.sum() + 0.5 * loss / loss.sum()
        for name, options in VARIANTS.items():
            gate = transition(lm.model, batch, **options)  # type: ignore[arg-type]
            score(f"HEAT, {name}", gate * mixed)
            score(f"HEAT, square root of {name}", gate.sqrt() * mixed)
            if name != "uniform (ungated)":
                score(f"transition alone, {name}", gate)
        score("curvature alone", size)
        score("information alone", loss)
        score("gradient norm", gradient)
        found["chance"].append(float(mask.mean()))
    print(f"{len(texts)} items, {too_long} longer than the model's context left out; model {lm.name}\n")
    print("| scores | AUPRC | 95 % interval |\n|---|---|---|")
    for name, values in sorted(found.items(), key=lambda pair: -float(np.mean(pair[1]))):
        interval = mean_interval(values, texts, seed=seed)
        print(f"| {name} | {interval.mean:.3f} | {interval.low:.3f} to {interval.high:.3f} |")


if __name__ == "__main__":
    typer.run(main)
