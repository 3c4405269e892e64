"""Matrix products in bfloat16 where the processor has them; everything that is summed or compared stays float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

Precision = Literal["float32", "auto", "bfloat16"]


def multiplies_in_bfloat16(model: PreTrainedModel, precision: Precision) -> bool:
    """Whether a model's products are to be made in bfloat16.

    Args:
        model: The model.
        precision: `float32` never; `bfloat16` for every float32 model; `auto` for those whose device multiplies
            bfloat16 faster (AVX512-BF16 or AMX, CUDA from Ampere on).

    Returns:
        False for models of another dtype: their products stay as they are.
    """
    if precision == "float32" or model.dtype != torch.float32:
        return False
    return precision == "bfloat16" or _is_fast(model.device)


@contextmanager
def bfloat16_products(model: PreTrainedModel) -> Iterator[None]:
    """Products of weights and activations in bfloat16, accumulated in float32.

    The residual stream, norms and softmax stay float32 under autocast; so does the vocabulary head here, whose logits a
    divergence is taken of.

    Args:
        model: A float32 model; its head gets its own `forward` back.
    """
    head = model.get_output_embeddings()
    given, run = vars(head).get("forward"), head.forward
    device = model.device.type

    def forward(hidden: Tensor) -> Any:
        with torch.autocast(device, enabled=False):
            return run(hidden.float())

    try:
        head.forward = forward
        with torch.autocast(device, dtype=torch.bfloat16):
            yield
    finally:
        if given is None:
            del head.forward
        else:
            head.forward = given


def _is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    # Older releases of torch do not tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
