"""What each block's attention adds to the residual stream, read from the block's modules as the model runs.

Between the output projection and the stream a family may put a norm (Gemma-2) or a number (Granite), and a block with
parallel branches never forms the sum that its attention alone leads to (GPT-J, Falcon). None is known by name here: the
sum is looked for among what the block's modules take, and whatever is not found to add up is refused.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heat.errors import UnsupportedModelError
from heat.internals.attention import block_input, decoder_blocks, one_attention_a_block, projection_of
from heat.internals.forward import at_least_float32
from heat.internals.state import hooked

_WITHOUT = "use a method that reads no contributions, for example attention-rollout or value-norms"
# Relative rounding of a sum of two, entry by entry.
_ROUNDING = {torch.bfloat16: 2.0**-6, torch.float16: 2.0**-9}


@dataclass(frozen=True, eq=False)
class Addition:
    """One block's attention as a sum: `after = before + factor ⊙ (Σ_h A V W_O + b_O)`.

    Attributes:
        before: The residual stream that enters the block, x, [B, T, d].
        after: The stream behind attention, y, [B, T, d]; in blocks with parallel branches without the other branch.
        factor: What the projection's output is multiplied with, [B, T, d], at least float32; None where it is 1.
        ends_in_sum: Whether the block's output is `after` plus what its other branch gives, so that what attention adds
            stays in the stream as it is.
    """

    before: Tensor
    after: Tensor
    factor: Tensor | None
    ends_in_sum: bool


@dataclass(frozen=True, eq=False)
class _Call:
    module: nn.Module
    taken: Tensor
    given: Tensor


@contextmanager
def recorded_additions(model: PreTrainedModel) -> Iterator[list[Addition]]:
    """A list that each block's `Addition` is appended to as the model runs.

    Args:
        model: The model; its hooks are gone afterwards.

    Yields:
        The list, first block first once the model has run.

    Raises:
        UnsupportedModelError: A block does not add its attention to a stream of one vector a token.
    """
    additions: list[Addition] = []
    with ExitStack() as stack:
        attentions = one_attention_a_block(model)
        for index, (block, attention) in enumerate(zip(decoder_blocks(model), attentions, strict=True)):
            _record(stack, additions, index, block, attention)
        yield additions


def _record(
    stack: ExitStack, additions: list[Addition], index: int, block: nn.Module, attention: nn.Module
) -> None:
    entered: list[Tensor] = []
    projected: list[Tensor] = []
    calls: list[_Call] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered[:], projected[:], calls[:] = [block_input(args, kwargs).detach()], [], []

    def project(module: nn.Module, args: Any, output: Any) -> None:
        projected.append(output.detach())

    def call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        taken = next((part for part in (*args, *kwargs.values()) if isinstance(part, Tensor)), None)
        given = output[0] if isinstance(output, tuple) else output
        if taken is not None and isinstance(given, Tensor):
            # Falcon adds to its MLP's output in place.
            calls.append(_Call(module, taken.detach(), given.detach().clone()))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        leaving = (output[0] if isinstance(output, tuple) else output).detach()
        if len(projected) != 1:
            raise UnsupportedModelError(
                f"block {index} projects its attention {len(projected)} times; {_WITHOUT}"
            )
        additions.append(_addition(index, entered[0], projected[0], calls, leaving))
        for record in (entered, projected, calls):
            record.clear()

    inside = {id(module) for module in attention.modules()} | {id(block)}
    stack.enter_context(hooked(block, enter))
    stack.callback(projection_of(attention).register_forward_hook(project).remove)
    for module in block.modules():
        if id(module) not in inside:
            stack.callback(module.register_forward_hook(call, with_kwargs=True).remove)
    stack.callback(block.register_forward_hook(leave).remove)


def _addition(index: int, before: Tensor, projected: Tensor, calls: list[_Call], leaving: Tensor) -> Addition:
    """Find `after`: a module of the block takes it, or, in parallel branches, the block's output is made of it."""
    shape, device = projected.shape, projected.device
    before, leaving = before.to(device), leaving.to(device)
    if before.shape != shape or leaving.shape != shape:
        raise UnsupportedModelError(
            f"block {index} does not hand on one vector a token of its attention's width; {_WITHOUT}"
        )
    taken = [
        call.taken.to(device).reshape(shape) for call in calls if call.taken.numel() == projected.numel()
    ]
    given = [
        call.given.to(device).reshape(shape) for call in calls if call.given.numel() == projected.numel()
    ]
    added = _behind_norm(index, projected, calls)
    scale, after = 1.0, None
    for candidate in taken:
        multiple = _multiple(before, added, candidate)
        if multiple is not None:
            scale, after = multiple, candidate
            break
    if after is None:
        after = before + added
        ends_in_sum = any(_near(leaving, after, branch) or _near(leaving, before, branch) for branch in given)
        if not ends_in_sum:
            raise UnsupportedModelError(
                f"block {index} does not add its attention to the residual stream in a way that is known here; "
                f"{_WITHOUT}"
            )
    else:
        ends_in_sum = any(_multiple(after, branch, leaving) is not None for branch in given)
    factor = None
    if added is not projected or scale != 1.0:
        output = at_least_float32(projected)
        factor = scale * at_least_float32(added) / torch.where(output == 0, 1.0, output)
    return Addition(before, after, factor, ends_in_sum)


def _behind_norm(index: int, projected: Tensor, calls: list[_Call]) -> Tensor:
    """The projection's output, or what a norm makes of it before the stream takes it."""
    for call in calls:
        if call.taken.shape != projected.shape or call.given.shape != projected.shape:
            continue
        same = torch.equal(call.taken.to(projected.device), projected)
        if same and not torch.equal(call.given.to(projected.device), projected):
            if not _keeps_zeros(call.module, call.taken):
                raise UnsupportedModelError(
                    f"block {index} puts a {type(call.module).__name__} behind its attention, which is no factor for "
                    f"each entry; {_WITHOUT}"
                )
            return call.given.to(projected.device)
    return projected


def _keeps_zeros(module: nn.Module, taken: Tensor) -> bool:
    """Whether a module multiplies each entry with a number: an RMS norm does, one that subtracts the mean does not."""
    halved = taken[:1, :1].clone()
    halved[..., ::2] = 0
    with torch.no_grad():
        given = module.forward(halved)
    return bool((given[..., ::2] == 0).all())


def _multiple(start: Tensor, step: Tensor, end: Tensor) -> float | None:
    """The c > 0 with `end = start + c step`; None where there is none."""
    if torch.equal(start, end):
        return None
    if _near(end, start, step):
        return 1.0
    moved, direction = (end.double() - start.double()).flatten(), step.double().flatten()
    scale = float(moved @ direction / (direction @ direction).clamp_min(torch.finfo(torch.float64).tiny))
    return scale if scale > 1e-3 and _near(end, start, scale * step) else None


def _near(total: Tensor, first: Tensor, second: Tensor) -> bool:
    """Whether one is the sum of the two others, to the rounding of every entry."""
    within = _ROUNDING.get(total.dtype, 1e-5)
    first, second = at_least_float32(first), at_least_float32(second)
    off = (at_least_float32(total) - first - second).abs()
    return bool((off <= within * (first.abs() + second.abs())).all())
