"""What the probes will cost: every copy of an example is attributed like the example itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from evaluate.planning.run_plan import MethodPlan, plan
from evaluate.robustness.edits import EDITS
from evaluate.robustness.llm import Asking
from evaluate.robustness.options import Options, Probe
from evaluate.robustness.paraphrase import is_llm, paraphraser, paraphrases
from evaluate.tasks.task import Example, Target, Task

if TYPE_CHECKING:
    from heat import LanguageModel


def attributions_per_example(examples: Sequence[Example], probe: Probe, options: Options) -> float:
    """How many attributions one method computes for an example, mean over examples, before any is found stored.

    Rewritings are counted as made; those that the prediction does not survive will not be attributed.
    """
    from evaluate.robustness.view import NoiseKind

    count = 0.0
    if probe != "decoding":
        count += 1  # the examples themselves, shared by all probes on the given target
    if probe in ("noise", "perturbation", "all"):
        count += len(get_args(NoiseKind)) * options.draws
    if probe in ("edits", "perturbation", "all"):
        count += sum(edit(example) is not None for example in examples for edit in EDITS.values()) / len(
            examples
        )
    if probe in ("paraphrase", "all"):
        offline = [name for name in options.paraphrasers if not is_llm(name)]
        asked = [paraphraser(name, Path(), Asking()) for name in offline]
        count += sum(map(len, paraphrases(asked, examples))) / len(examples)
        count += len(options.paraphrasers) - len(offline)  # nobody is asked for a plan
    if probe in ("decoding", "all"):
        count += 1 + len(options.settings)
    return count


def robustness_plan(
    lm: LanguageModel,
    task: Task,
    methods: Sequence[str],
    target: Target | None,
    probe: Probe,
    options: Options,
) -> list[MethodPlan]:
    """`evaluate.planning.run_plan.plan` for all copies; faithfulness in the decoding probe is not in it.

    Raises:
        NothingScoredError: No example fits the model.
    """
    copies = attributions_per_example(task.examples, probe, options)
    rows = plan(lm, task.examples, methods, task.target(target), contrast=task.contrast)
    return [
        replace(
            row,
            forward_equivalents={part: cost * copies for part, cost in row.forward_equivalents.items()},
            seconds=row.seconds * copies,
        )
        for row in rows
    ]
