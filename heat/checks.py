"""What must hold of a model before anything is attributed to its tokens, tried once on a text of four tokens."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.components.pieces import Tape, held, recorded
from heat.errors import UnsupportedModelError
from heat.internals.attention import BlockAttention, attention_modules, capture_attention, projection_of
from heat.internals.forward import at_least_float32, token_vectors
from heat.internals.probe import READ, alike, at_end, everywhere, once, reason, two_texts
from heat.internals.state import frozen, hooked


def check(model: PreTrainedModel, name: str, needs: tuple[str, ...] = ()) -> None:
    """Refuse a model on which the numbers would be wrong.

    Args:
        model: The model; left as it was.
        name: What people call it.
        needs: What a method takes from it (`Method.needs`).

    Raises:
        UnsupportedModelError: It is no decoder, answers differently when given its tokens' vectors, or a method needs
            its gradient or attention and what is read there is not what the model computes with.
    """
    obstacle = whole_obstacle(model)
    if not obstacle and {"gradients", "second-derivatives"} & set(needs):
        obstacle = gradient_obstacle(model)
    if not obstacle and "attention" in needs:
        obstacle = attention_obstacle(model)
    if obstacle:
        raise UnsupportedModelError(f"'{name}' ({model.config.model_type}) {obstacle}")


@once
def whole_obstacle(model: PreTrainedModel) -> str:
    """Why nothing can be attributed to the model's tokens; empty where it can.

    Two texts that end in different tokens are given as ids and as vectors.
    """
    batch = two_texts(model)
    with frozen(model), torch.no_grad():
        try:
            by_ids = model(input_ids=batch.token_ids, use_cache=False).logits
            vectors = token_vectors(model, batch)
            given = vectors.clone()
            by_vectors = everywhere(model, batch, vectors)
        except Exception as error:
            return f"cannot be run on its tokens' embeddings ({reason(error)}); use another model"
    last = batch.token_ids.shape[1] - 1
    # What is masked has a weight of exactly 0, so a decoder's two answers differ by the last bits at most.
    if not alike(
        model, by_ids[0, :last], by_ids[1, :last], loose=1e-2 if by_ids.dtype == torch.float32 else 0.2
    ):
        return "is an encoder: its answer at a token depends on later ones; a decoder-only language model is needed"
    if not torch.equal(given, vectors):
        return "writes over the embeddings it is given, so that a second pass would see others; use another model"
    columns = list(READ)
    if not alike(model, by_vectors, at_least_float32(by_ids[:, columns]).log_softmax(-1).flatten(0, 1)):
        return (
            "answers differently when it is given its tokens' embeddings in place of the tokens: it takes more from "
            "them than is known here, and whatever is attributed to the embeddings would be wrong; use another model"
        )
    return ""


@once
def gradient_obstacle(model: PreTrainedModel) -> str:
    """Why the model's gradient is not its answer's derivative; empty where it is, or in half precision, which hides it.

    Some directions: what a step along them changes, and what the gradient says. A step of a hundredth of the
    embeddings' size stands out of rounding; where it is too long for a deep model's curvature, shorter ones are not.
    """
    batch, vectors = two_texts(model), token_vectors(model, two_texts(model))
    if vectors.dtype not in (torch.float32, torch.float64):
        return ""
    size = float(vectors.square().mean().sqrt())
    drawn = torch.randn((_DIRECTIONS, *vectors.shape), generator=torch.Generator().manual_seed(0)).to(vectors)
    with frozen(model):
        try:
            with torch.enable_grad():
                point = vectors.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(_answer(model, batch, point), point)
            agree = any(_is_slope(model, batch, vectors, share * size * drawn, gradient) for share in _STEPS)
        except Exception as error:
            return f"cannot be differentiated ({reason(error)}); use a method that needs no gradients, such as kl-only"
    if not agree:
        return (
            "does not pass all of its gradient on (a part of it runs without), so its gradient is not the slope of "
            "what it says; use a method that needs no gradients, such as kl-only"
        )
    return ""


@torch.no_grad()
def _is_slope(model: PreTrainedModel, batch: Batch, vectors: Tensor, steps: Tensor, gradient: Tensor) -> bool:
    """Whether the answer changes along the steps as the gradient says, to a twentieth and rounding."""
    tape: Tape = []
    with recorded(tape):
        _answer(model, batch, vectors)
    changes = []
    for step in steps:
        with held(tape):
            ahead = _answer(model, batch, vectors + step)
        with held(tape):
            behind = _answer(model, batch, vectors - step)
        changes.append((ahead - behind) / 2)
    changed = torch.stack(changes)
    said = (steps * gradient).flatten(1).sum(1).to(changed)
    return float((changed - said).norm()) <= 0.05 * float(changed.norm()) + 5e-5


def _answer(model: PreTrainedModel, batch: Batch, vectors: Tensor) -> Tensor:
    values = at_end(model, batch, vectors, 0)
    return values.gather(1, batch.target_ids.to(values.device)[:, None]).sum()


@once
def attention_obstacle(model: PreTrainedModel) -> str:
    """Why nothing can be read from the model's attention; empty where it can.

    In every block Σ_j A_ij V_j must be what goes on to the output projection (or to a gate or norm before it), the
    model must say the same while it is recorded, and attention must be the only way from one token to another.
    """
    batch = two_texts(model)
    with frozen(model), torch.no_grad():
        try:
            vectors = token_vectors(model, batch)
            if _meet_beside_attention(model, batch, vectors):
                return (
                    "lets tokens meet in other ways than through attention (a state, a convolution), so its attention "
                    f"alone does not tell what came from where; {_WITHOUT}"
                )
            recorded, blocks = capture_attention(model, batch, vectors)
            plain = at_end(model, batch, vectors, 0)
            apart = next((i for i, block in enumerate(blocks) if not _is_product(model, block)), None)
        except UnsupportedModelError as error:
            return f"shows no attention that can be read: {error}"
        except Exception as error:
            return f"shows no attention that can be read ({reason(error)}); {_WITHOUT}"
    if apart is not None:
        return (
            f"puts something between its attention and the output projection (block {apart}) that is not known here; "
            f"{_WITHOUT}"
        )
    if not alike(model, recorded, plain, loose=5.0):
        return f"answers differently while its attention is recorded; {_WITHOUT}"
    return ""


_DIRECTIONS = 4
_STEPS = (1e-2, 3e-3, 1e-3)
_WITHOUT = "use a method that needs no attention, for example no-gate, kl-only or integrated-gradients"


def _is_product(model: PreTrainedModel, block: BlockAttention) -> bool:
    mixed = block.per_head(block.mixed)
    product = at_least_float32(block.weights) @ at_least_float32(block.expanded_values())
    return product.shape == mixed.shape and alike(model, product, at_least_float32(mixed))


def _meet_beside_attention(model: PreTrainedModel, batch: Batch, vectors: Tensor) -> bool:
    """Whether another first token changes the last one's answer while no attention gives anything."""
    turned = vectors.clone()
    turned[1] = vectors[0]
    turned[1, 0] = vectors[1, 1]

    def nothing(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return (torch.zeros_like(args[0]), *args[1:]), kwargs

    with ExitStack() as stack:
        for module in attention_modules(model):
            stack.enter_context(hooked(projection_of(module), nothing))
        first, second = at_end(model, batch, turned, 0)
    return not alike(model, first, second)
