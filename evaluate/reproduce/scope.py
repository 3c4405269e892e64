"""How much of the poster is run: how many examples, which methods, which lengths."""

from __future__ import annotations

from dataclasses import dataclass

from evaluate.robustness.options import SETTINGS, Options

HEAT_FORMS = ("heat", "heat-low-rank", "heat-layer-sampling", "heat-windowed", "heat-lr-win")
ABLATION = ("transition-only", "hessian-only", "kl-only", "no-gate", "uniform-transition")
GRADIENTS = ("integrated-gradients", "input-x-gradient", "gradient-norm")
FEW = (*HEAT_FORMS, *ABLATION, *GRADIENTS, "attention-rollout", "reagent", "random")
# The benchmarks beside the curated one are for one claim each.
OTHERS = ("heat", "reagent", *GRADIENTS, "attention-rollout", "random")
# Every copy of a text is attributed anew, so few methods are probed: HEAT, the poster's gradients, and attention.
ROBUST = ("heat", *GRADIENTS, "attention-rollout", "random")
# The poster's settings: temperature, top-p, top-k.
_DRAWN = tuple(
    setting for setting in SETTINGS if setting.name in ("temperature-1.5", "top-p-0.9", "top-k-10")
)


@dataclass(frozen=True)
class Scope:
    """One size of the work.

    Attributes:
        methods: Of the curated benchmark; ``all`` for every one.
        limit: Examples of it.
        others_limit: Examples of each other benchmark.
        other_methods: Methods of these.
        robust_methods: Methods whose robustness is probed.
        robust_limit: Examples of the curated benchmark that are disturbed.
        robust_options: How, and how often.
        timed: Methods timed on the short text.
        repeats: Timed runs of each.
        length: Tokens of the short text.
        long: Tokens of the long text, or ``None`` to leave it out.
        timed_long: Methods timed on it.
    """

    methods: tuple[str, ...]
    limit: int
    others_limit: int
    other_methods: tuple[str, ...]
    robust_methods: tuple[str, ...]
    robust_limit: int
    robust_options: Options
    timed: tuple[str, ...]
    repeats: int
    length: int
    long: int | None
    timed_long: tuple[str, ...]


QUICK = Scope(
    methods=FEW,
    limit=6,
    others_limit=1,
    other_methods=OTHERS,
    robust_methods=ROBUST,
    robust_limit=6,
    robust_options=Options(draws=2, settings=_DRAWN),
    timed=(*HEAT_FORMS, *GRADIENTS, "attention-rollout", "reagent", "random"),
    repeats=2,
    length=64,
    long=None,
    timed_long=(),
)
FULL = Scope(
    methods=("all",),
    limit=40,
    others_limit=8,
    other_methods=OTHERS,
    robust_methods=ROBUST,
    robust_limit=20,
    robust_options=Options(),
    timed=("all",),
    repeats=3,
    length=128,
    long=2048,
    timed_long=("heat", "heat-windowed", "heat-lr-win", *GRADIENTS, "attention-rollout", "random"),
)
