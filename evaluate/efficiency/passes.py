"""Counting the floating-point operations of a computation, whatever derivatives it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Size
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count


def count_flops(work: Callable[[], object]) -> int:
    """Floating-point operations of all matrix products that a computation runs.

    torch's own formulas, operator by operator, and those of fused attention on a CPU, which torch has none for.
    Its `FlopCounterMode` follows modules beside, which fails where `torch.autograd.grad` is called.

    Args:
        work: What is counted; what it gives is thrown away.

    Returns:
        Operations, a multiplication and an addition being two; element-wise work is not counted.
    """
    counter = _Counter()
    with counter:
        work()
    return counter.total


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0
        aten = torch.ops.aten
        self._formulas: dict[Any, Callable[..., int]] = {
            **flop_registry,
            aten._scaled_dot_product_flash_attention_for_cpu: _attention,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        }

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        formula = self._formulas.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, _of_queries(key, query), _of_queries(value, query)))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(
        sdpa_backward_flop_count(
            gradient.shape, query.shape, _of_queries(key, query), _of_queries(value, query)
        )
    )


def _of_queries(tensor: Any, query: Any) -> Size:
    """Shape of keys or values with a head for each query head (grouped attention has fewer)."""
    return Size((*query.shape[:2], *tensor.shape[2:]))
