"""Everything this package refuses, each with one sentence that says what was wrong and what to do."""


class HeatError(Exception):
    """Root of every error this package raises on purpose."""


class ModelNotFoundError(HeatError):
    """No model lies where the name or folder points."""


class UnsupportedModelError(HeatError):
    """The model is not a decoder-only language model whose inside can be read."""


class TokenizerError(HeatError):
    """There is no tokenizer, or it cannot be loaded."""


class TextError(HeatError):
    """A string is not text that can be encoded."""


class OffsetsError(HeatError):
    """The tokenizer's offsets do not describe the text, and decoding does not give them either."""


class NonFiniteError(HeatError):
    """Weights, probabilities or scores are NaN or infinite."""


class PrecisionError(HeatError):
    """The dtype of the model cannot carry the derivatives that a method needs."""


class EmptyPromptError(HeatError):
    """The prompt holds nothing to attribute to."""


class EmptyTargetError(HeatError):
    """The target has no token."""


class FoilError(HeatError):
    """The foil cannot be contrasted with the target: other length, or the same token."""


class OutOfMemoryError(HeatError):
    """Even a single pass at a time does not fit into memory."""


class PromptTooLongError(HeatError):
    """Prompt and target together exceed the model's context."""


class UnknownTokenError(HeatError):
    """A token id lies outside the model's vocabulary."""


class UnknownMethodError(HeatError):
    """No method of that name is registered."""


class ConfigError(HeatError):
    """A method's option is unknown or has a value it cannot have."""


class MissingExtraError(HeatError):
    """The method needs an optional library that is not installed."""


class AttributionFileError(HeatError):
    """A saved attribution cannot be read: damaged, foreign, or of another schema version."""


class PromptFileError(HeatError):
    """A prompt cannot be read: it is no text, or no chat."""


class ChatError(PromptFileError):
    """Chat messages cannot be put to a model."""


class FitError(HeatError):
    """What was to be learned of a model is missing, damaged, of another model, or cannot be learned from the texts."""


class ProjectionError(HeatError):
    """Token scores cannot be carried over to words."""


class UnitError(HeatError):
    """A prompt cannot be divided into the units that were asked for."""


class LogProbsError(HeatError):
    """What a server says of a text is not what was asked of it."""


class NoLogProbsError(LogProbsError):
    """The server gives no log-probabilities of the prompt's tokens."""


class OtherTokensError(LogProbsError):
    """The server gives log-probabilities of other tokens than it was asked for."""


class TruncatedPromptError(LogProbsError):
    """The server left out a part of the prompt without a word."""


class ModelChangedError(LogProbsError):
    """Another model answered than before."""
