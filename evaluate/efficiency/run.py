"""Measure what attributions cost: all methods by turns on one text of each length."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.files import append_records, canonical_hash, read_records, repair_tail, write_atomic
from evaluate.efficiency.prompts import prompt_of_length
from evaluate.efficiency.result import Cost, Efficiency
from evaluate.pipeline.runner import Progress, default_config, no_progress, settings_of
from evaluate.pipeline.store import KEY_LENGTH, Store
from evaluate.tasks.task import Task
from evaluate.versions import versions

if TYPE_CHECKING:
    from heat import Encoded, LanguageModel

# Raise it when the same run comes to measure something else.
VERSION = 1
ROWS = "efficiency.jsonl"


def efficiency(
    task: Task,
    lm: LanguageModel,
    methods: Sequence[str],
    lengths: Sequence[int],
    *,
    out: Path,
    repeats: int = 3,
    budget: float = 60.0,
    seed: int = 0,
    command: str = "",
    on_progress: Progress = no_progress,
) -> Efficiency:
    """Time every method on texts of several lengths, as ratios to a forward pass over the same text.

    The methods of one length take turns, a forward pass before each, so that a machine that slows down slows both.
    Before the first turn each runs once untimed; its operations and its memory are taken from that run. One text
    is attributed at a time. A length whose rows are in ``out`` already is not measured again, one that was cut off is
    measured whole.

    Args:
        task: Texts, cut or strung together to length.
        lm: The model; its context must hold the longest.
        methods: Registered names.
        lengths: Tokens of the texts, the target's first token included.
        out: Results folder; made where it is missing.
        repeats: Timed runs of each method.
        budget: Seconds a run; a method whose own count of passes predicts more is left out with this as its reason.
        seed: Seed of the texts and the methods.
        command: How this was called.
        on_progress: Progress callback.

    Returns:
        The costs. They are also in ``out``, as ``efficiency.json``, ``.csv`` and ``.md``.

    Raises:
        LengthError: A length exceeds the model's context; nothing is measured before all were checked.
        StoreError: The results folder cannot be used.
    """
    import torch

    from evaluate.efficiency.table import as_markdown

    texts = [prompt_of_length(lm, task.examples, length, seed=seed) for length in dict.fromkeys(lengths)]
    names = list(dict.fromkeys(methods))
    with Store(out) as store:
        path = store.folder / ROWS
        repair_tail(path)
        known = {(row.key, row.method): row for row in read_records(path, Cost)} if path.exists() else {}
        rows = []
        for text in texts:
            key = _key(lm, text, names, repeats, budget, seed)
            if not all((key, name) in known for name in names):
                measured = _measure(lm, text, names, key, repeats, budget, seed, on_progress)
                append_records(path, measured)
                known |= {(row.key, row.method): row for row in measured}
            rows += sorted((known[key, name] for name in names), key=lambda row: row.seconds_per_1000 or 0.0)
    result = Efficiency(
        command=command,
        task=task.name,
        source=task.source,
        model=lm.name,
        revision=lm.revision,
        dtype=str(lm.dtype).removeprefix("torch."),
        device=_device(lm),
        threads=torch.get_num_threads(),
        weight_bytes=sum(weight.numel() * weight.element_size() for weight in lm.model.parameters()),
        seed=seed,
        repeats=repeats,
        budget=budget,
        rows=tuple(sorted(rows, key=lambda row: row.tokens)),
        versions=versions(),
    )
    write_atomic(out / "efficiency.json", result.model_dump_json(indent=2) + "\n")
    write_atomic(out / "efficiency.csv", result.frame.to_csv(index=False))
    write_atomic(out / "efficiency.md", as_markdown(result))
    return result


def _key(
    lm: LanguageModel, text: Encoded, names: Sequence[str], repeats: int, budget: float, seed: int
) -> str:
    import torch

    return canonical_hash(
        {
            "kind": "efficiency",
            "version": VERSION,
            "settings": settings_of(lm, seed=seed).model_dump(exclude={"model"}),
            "ids": text.token_ids,
            "methods": {name: default_config(name) for name in names},
            "repeats": repeats,
            "budget": budget,
            "device": _device(lm),
            "threads": torch.get_num_threads(),
        }
    )[:KEY_LENGTH]


def _device(lm: LanguageModel) -> str:
    import torch

    return torch.cuda.get_device_name(lm.device) if lm.device.type == "cuda" else str(lm.device)


def _measure(
    lm: LanguageModel,
    text: Encoded,
    names: Sequence[str],
    key: str,
    repeats: int,
    budget: float,
    seed: int,
    on_progress: Progress,
) -> list[Cost]:
    """All rows of one length."""
    import heat
    from evaluate.efficiency.memory import added_peak
    from evaluate.efficiency.passes import count_flops
    from heat.batch import collate
    from heat.checks import check
    from heat.errors import HeatError
    from heat.registry import build

    batch = collate([text], lm.device)
    plain = build("random", {})

    def forward() -> object:
        return plain.log_probs(lm, batch)

    def attribute(name: str) -> object:
        return heat.attribute(lm, text, None, name, seed=seed)

    what, total, done = f"{len(text.token_ids)} tokens", len(names) * (1 + repeats), 0
    on_progress(what, done, total)
    unit = count_flops(forward)
    pass_seconds = min(_seconds(forward, lm) for _ in range(3))
    rows: dict[str, Cost] = {}
    for name in names:
        predicted = 1.0 + build(name, {}).cost(text.n_prompt, text.n_targets)
        row = Cost(
            key=key,
            method=name,
            config=default_config(name),
            tokens=len(text.token_ids),
            predicted=predicted,
        )
        if predicted * pass_seconds > budget:
            about = f"about {predicted * pass_seconds:,.0f} s a run, more than the budget of {budget:,.0f} s"
            rows[name] = row.model_copy(update={"skipped": about})
        else:
            flops: list[int] = []

            def counting(name: str = name, flops: list[int] = flops) -> None:
                flops.append(count_flops(lambda: attribute(name)))

            try:
                # Made once a model, and no part of a text's cost.
                check(lm.model, lm.name, build(name, {}).needs)
                peak = added_peak(counting, lm.device)
                rows[name] = row.model_copy(update={"counted": flops[0] / unit, "peak_bytes": peak})
            except HeatError as error:
                rows[name] = row.model_copy(update={"skipped": " ".join(str(error).split())})
        done += 1
        on_progress(what, done, total)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            if not rows[name].skipped:
                passed = _seconds(forward, lm)
                seconds[name].append((_seconds(lambda name=name: attribute(name), lm), passed))  # type: ignore[misc]
            done += 1
            on_progress(what, done, total)
    return [
        rows[name].model_copy(
            update={
                "seconds": tuple(taken for taken, _ in seconds[name]),
                "forward_seconds": tuple(passed for _, passed in seconds[name]),
            }
        )
        for name in names
    ]


def _seconds(work: Callable[[], object], lm: LanguageModel) -> float:
    import torch

    on_gpu = lm.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(lm.device)
    began = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize(lm.device)
    return time.perf_counter() - began
