"""The direction of the residual stream that a target's logit reads, with the final norm's divisor held constant."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.errors import UnsupportedModelError
from heat.internals.attention import decoder_blocks
from heat.internals.forward import at_least_float32
from heat.internals.state import text_decoder

_WITHOUT = "use a method that does not read its final norm, for example alti or ifr"


@dataclass
class Readout:
    """What the end of the model saw, filled as the model runs.

    Attributes:
        norms: Modules outside the blocks with what they took and gave, in their order.
        read: What the head took, [B, C, d].
    """

    norms: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)
    read: Tensor | None = None


@contextmanager
def recorded_readout(model: PreTrainedModel) -> Iterator[Readout]:
    """Record what the final norm and the head take.

    Args:
        model: The model; its hooks are gone afterwards.

    Yields:
        The record, complete once the model has run.

    Raises:
        UnsupportedModelError: It has no head.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no head whose weights read a logit; {_WITHOUT}"
        )
    readout = Readout()
    decoder = text_decoder(model)
    within = {id(module) for block in decoder_blocks(model) for module in block.modules()}

    def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if (
            args
            and isinstance(args[0], Tensor)
            and isinstance(output, Tensor)
            and args[0].shape == output.shape
        ):
            readout.norms.append((module, args[0].detach(), output.detach()))

    def read(module: nn.Module, args: tuple[Any, ...]) -> None:
        readout.read = args[0].detach()

    with ExitStack() as stack:
        for module in decoder.modules():
            if id(module) not in within and not list(module.children()):
                stack.callback(module.register_forward_hook(keep).remove)
        stack.callback(head.register_forward_pre_hook(read).remove)
        yield readout


def directions(model: PreTrainedModel, batch: Batch, readout: Readout) -> Tensor:
    """Give u with ⟨u, f⟩ = ⟨w_target - w_foil, LN(f)⟩, LN the final norm without bias and with its divisor as it was.

    The logit is the one before a family caps or scales it. Without a foil w_foil is 0.

    Args:
        model: The model.
        batch: B sequences with R targets.
        readout: Of a pass over that batch.

    Returns:
        [R, d], at least float32, to be multiplied with what is added to the residual stream at the targets' positions.

    Raises:
        UnsupportedModelError: No RMS or layer norm was found between the blocks and the head.
    """
    if readout.read is None or not readout.norms:
        raise UnsupportedModelError(f"{type(model).__name__} has no norm in front of its head; {_WITHOUT}")
    norm, taken, given = readout.norms[-1]
    rows, positions = batch.rows.to(given.device), batch.positions.to(given.device)
    columns = torch.unique(positions)
    if readout.read.shape != given[:, columns].shape or not torch.equal(
        readout.read.to(given.device), given[:, columns]
    ):
        raise UnsupportedModelError(
            f"{type(model).__name__} does not hand its final norm's output to its head; {_WITHOUT}"
        )
    reading = _head_rows(model, batch, given[rows, positions])
    weight, centred = _linear_part(norm, taken)
    stream = at_least_float32(taken[rows, positions])
    stream = stream - stream.mean(-1, keepdim=True) if centred else stream
    offset = at_least_float32(_of(norm, torch.zeros_like(taken[:1, :1])))[0]
    scaled, output = weight * stream, at_least_float32(given[rows, positions]) - offset
    inverse = (scaled * output).sum(-1, keepdim=True) / scaled.square().sum(-1, keepdim=True)
    half = given.dtype in (torch.float16, torch.bfloat16)
    if bool(
        ((output - inverse * scaled).norm(dim=-1) > (2e-2 if half else 1e-4) * output.norm(dim=-1)).any()
    ):
        raise UnsupportedModelError(f"{type(model).__name__} ends in no RMS or layer norm; {_WITHOUT}")
    direction = inverse * weight * reading
    return direction - direction.mean(-1, keepdim=True) if centred else direction


def _head_rows(model: PreTrainedModel, batch: Batch, states: Tensor) -> Tensor:
    """w_target - w_foil, [R, d]: the head's gradient, as its weights may be quantized, or not here."""
    head = model.get_output_embeddings()
    with torch.enable_grad():
        point = states.clone().requires_grad_()
        logits = head(point)
        chosen = logits.gather(1, batch.target_ids.to(logits.device)[:, None])
        if batch.foil_ids is not None:
            chosen = chosen - logits.gather(1, batch.foil_ids.to(logits.device)[:, None])
        (gradient,) = torch.autograd.grad(chosen.sum(), point)
    return at_least_float32(gradient)


def _linear_part(norm: nn.Module, like: Tensor) -> tuple[Tensor, bool]:
    """A norm's weights by entry, up to one factor, and whether it subtracts the mean.

    They are read off a vector of alternating signs, whose mean is 0 and whose entries have one size, since families
    store them in ways of their own (Gemma as the difference from 1).
    """
    signs = torch.ones_like(like[:1, :1])
    ones = signs.clone()
    signs[..., 1::2] = -1
    offset = at_least_float32(_of(norm, torch.zeros_like(signs)))
    weight = (at_least_float32(_of(norm, signs)) - offset) * at_least_float32(signs)
    centred = float((at_least_float32(_of(norm, ones)) - offset).norm()) < 1e-2 * float(weight.norm())
    return weight[0], centred


def _of(norm: nn.Module, vector: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = norm.forward(vector)
    return result
