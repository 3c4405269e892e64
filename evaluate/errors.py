"""What can go wrong while attributions are scored, each with a sentence for the person at the terminal."""


class EvaluateError(Exception):
    """Root of every error this package raises on purpose; its text is one sentence for a person."""

    exit_code = 1


class ShadowedError(EvaluateError, ImportError):
    """A foreign package answers to the name of one of ours."""


class MetricError(EvaluateError):
    """Scores and gold do not fit each other."""


class NoGoldError(EvaluateError):
    """A benchmark has no gold words of the kind that was asked for."""


class NothingScoredError(EvaluateError):
    """No paragraph was left to score."""


class StoreError(EvaluateError):
    """A results folder is in use, torn, or of another schema version."""


class EngineError(EvaluateError):
    """The workers cannot be had, or cannot load the model."""


class ReportError(EvaluateError):
    """A report cannot be made from what was given."""


class LengthError(EvaluateError):
    """A text of the wanted length cannot be put to the model."""


class PlanError(EvaluateError):
    """What a plan was asked for cannot be read."""


class PromptError(EvaluateError):
    """A prompt template cannot be used, or not with this model or benchmark."""


class NoFoilError(EvaluateError):
    """An example is to be explained against a foil and has none."""
