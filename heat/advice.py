"""What `heat explain` says beside an attribution: how target and foil were read, and where the scores do not add up."""

from heat.attribution import Attribution
from heat.chat import Messages
from heat.completeness import completeness
from heat.encoding import Encoded, encode
from heat.method import Method
from heat.model import LanguageModel
from heat.offsets import decode
from heat.show.words import visible
from heat.units import split_words

# Characters that a word follows without a space.
_OPENING = "([{<\"'“‘«„¿¡-–—/\\_@#$"


def of_text(
    lm: LanguageModel, prompt: str | Messages, target: str | None, foil: str | None, encoded: Encoded
) -> list[str]:
    """How the target and the foil were read, where it may be otherwise than meant.

    Args:
        lm: Model and tokenizer.
        prompt: As it was given.
        target: As it was given; None for the model's own.
        foil: As it was given, or None.
        encoded: Prompt, target and foil as tokens.

    Returns:
        Sentences; none where all is as it should be.
    """
    lines = []
    if isinstance(prompt, str):
        for option, following in (("target", target), ("foil", foil)):
            if following is not None and _lacks_a_space(prompt, following):
                lines.append(
                    f"the {option} follows the prompt without a space; for a word of its own: "
                    f"--{option} {' ' + visible(following)!r}"
                )
    if foil is not None and encoded.foil_ids is not None and lm.tokenizer is not None:
        taken = decode(lm.tokenizer, list(encoded.foil_ids))
        n_foil = encode(lm, prompt, foil).n_targets
        if n_foil > encoded.n_targets:
            lines.append(
                f"the foil has {n_foil} tokens and the target {encoded.n_targets}; the target is explained against "
                f"the foil's beginning, {visible(taken)!r}"
            )
    return lines


def of_completeness(
    lm: LanguageModel, encoded: Encoded, method: Method, attribution: Attribution
) -> list[str]:
    """A sentence where scores that promise to add up miss the difference by much, else none.

    Args:
        lm: The model.
        encoded: What was explained.
        method: By which method.
        attribution: Its scores.
    """
    targets = completeness(lm, encoded, method, attribution)
    missed = [target for target in targets if target.missed]
    if not missed:
        return []
    worst = max(missed, key=lambda target: abs(target.gap))
    steps = "n_steps" if "n_steps" in method.config() else "n_samples"
    return [
        f"the scores of {method.name} sum to {worst.total:.4g} where g(prompt) - g(baseline) is "
        f"{worst.difference:.4g}, so they do not add up; raise --set {steps}, or use another baseline or method"
    ]


def _lacks_a_space(prompt: str, following: str) -> bool:
    """Whether a word follows the prompt's last character directly, in a script that puts spaces between words."""
    begins_a_word = split_words("a" + following[:1]) == [(0, 2)]
    return begins_a_word and not prompt[-1].isspace() and prompt[-1] not in _OPENING
