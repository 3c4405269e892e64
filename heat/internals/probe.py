"""A text of four tokens on which a model shows once what it can, and what is needed to read it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.errors import HeatError
from heat.internals.forward import at_least_float32, log_probs
from heat.internals.memory import is_out_of_memory

T = TypeVar("T")

# Columns of the four at which answers are read: not all, so that the last block runs as it will.
READ = (1, 3)


def once(find: Callable[[PreTrainedModel], T]) -> Callable[[PreTrainedModel], T]:
    """Remember what was found of a model for as long as the model lives.

    Args:
        find: Finds it.

    Returns:
        The same, which finds it once.
    """
    answers: WeakKeyDictionary[PreTrainedModel, T] = WeakKeyDictionary()

    @wraps(find)
    def remembered(model: PreTrainedModel) -> T:
        if model not in answers:
            answers[model] = find(model)
        return answers[model]

    return remembered


def two_texts(model: PreTrainedModel) -> Batch:
    """Two texts that differ in the last token, with a target behind each.

    Args:
        model: The model, on any device.

    Returns:
        B = R = 2 and T = 4.
    """
    weight: Any = model.get_input_embeddings().weight
    hook: Any = getattr(model.get_input_embeddings(), "_hf_hook", None)
    device = hook.execution_device if weight.is_meta else weight.device
    # From the middle of the vocabulary: special tokens, an image's among them, stand at its ends.
    first = torch.tensor([2, 5, 3, 4], device=device) * (len(weight) // 8)
    token_ids = torch.stack([first, first + torch.tensor([0, 0, 0, 1], device=device)])
    ends = torch.full((2,), 3, device=device)
    return Batch(token_ids, torch.ones_like(token_ids), torch.arange(2, device=device), ends, token_ids[:, 0])


def everywhere(model: PreTrainedModel, batch: Batch, vectors: Tensor) -> Tensor:
    """Log-probabilities of every text at the columns `READ`.

    Args:
        model: The model.
        batch: From `two_texts`.
        vectors: [2, 4, d].

    Returns:
        [2 · 2, V], text by text.
    """
    columns = torch.tensor(READ, device=batch.rows.device).repeat(len(batch.token_ids))
    rows = batch.rows.repeat_interleave(len(READ))
    return log_probs(model, vectors, batch.attention_mask, batch.position_ids, rows, columns)


def at_end(model: PreTrainedModel, batch: Batch, vectors: Tensor, start: int, **options: Any) -> Tensor:
    """Log-probabilities at the texts' ends.

    Args:
        model: The model.
        batch: From `two_texts`.
        vectors: [2, 4, d].
        start: First column that is passed through; what stands before it is in the options' cache.
        **options: Passed on to the model's forward.

    Returns:
        [2, V].
    """
    return log_probs(
        model,
        vectors[:, start:],
        batch.attention_mask,
        batch.position_ids[:, start:],
        batch.rows,
        batch.positions - start,
        **options,
    )


def alike(model: PreTrainedModel, actual: Tensor, expected: Tensor, loose: float = 1.0) -> bool:
    """Whether two results differ by rounding alone: a thousandth of the largest, a twentieth in half precision.

    Args:
        model: Whose they are.
        actual: Any shape.
        expected: The same.
        loose: Multiple of that.
    """
    weight: Any = model.get_input_embeddings().weight
    within = loose * (5e-2 if weight.dtype in (torch.float16, torch.bfloat16) else 1e-3)
    actual, expected = at_least_float32(actual), at_least_float32(expected)
    return bool((actual - expected).abs().max() <= within * expected.abs().max())


def reason(error: Exception) -> str:
    """The first line of an error of the model's code; what is no fault of the model is raised again.

    Args:
        error: What was caught.

    Returns:
        Its type and first line.
    """
    if is_out_of_memory(error) or isinstance(error, HeatError):
        raise error
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
