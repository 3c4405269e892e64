"""Whether weights are those of a config, and whether there is room and a device for them."""

import os
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM

from heat.errors import ModelNotFoundError, OutOfMemoryError, UnsupportedModelError
from heat.internals.memory import is_out_of_memory

# Causal masks that older checkpoints keep beside the weights; the model makes its own.
_MASKS = re.compile(r"\.(attn|attention|self_attn)\.(bias|masked_bias)$|\.inv_freq$")
_NAMED = 3


def check_loaded(source: str, report: Mapping[str, Any]) -> None:
    """Refuse weights that are not those of the config: what is lacking would be random numbers.

    Args:
        source: What was asked for.
        report: The loader's account: missing, unexpected and mismatched weights.

    Raises:
        ModelNotFoundError: There are such weights.
    """
    unexpected = {name for name in report.get("unexpected_keys", ()) if not _MASKS.search(name)}
    sizes = [
        f"{name} ({list(held)} in the file, {list(asked)} in the config)"
        for name, held, asked in sorted(report.get("mismatched_keys", ()))
    ]
    parts = [
        f"{what} {_some(names)}"
        for what, names in (
            ("lacks", sorted(report.get("missing_keys", ()))),
            ("has, and should not have,", sorted(unexpected)),
            ("has in another size", sizes),
        )
        if names
    ]
    if parts:
        raise ModelNotFoundError(
            f"the weights of '{source}' are not those of its config: it {'; it '.join(parts)}; "
            "fetch the model again, whole, or give the config that belongs to it"
        )


def unreadable(source: str, error: Exception) -> Exception | None:
    """What to say of weights that cannot be read; None for an error of another kind.

    Args:
        source: What was asked for.
        error: From the loader.

    Returns:
        The error to raise.
    """
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"memory ran out while '{source}' was loaded; use a smaller model, or a smaller dtype (--dtype)"
        )
    if isinstance(error, pickle.UnpicklingError):
        return ModelNotFoundError(
            f"the weights of '{source}' are pickled (.bin) and hold something else than weights, which could run code "
            "when it is read, so it was not; fetch the model's .safetensors, or convert it where you trust it"
        )
    if isinstance(error, SafetensorError):
        reason = (str(error).splitlines() or [""])[0].removeprefix("Error while deserializing header: ")
        return ModelNotFoundError(
            f"the weights of '{source}' are damaged or half a file ({_damaged(source)}: {reason}); fetch them again"
        )
    return None


def check_device(device: str | None) -> None:
    """Refuse a device that is not here, before anything is loaded for it.

    Args:
        device: "cpu", "cuda:0", ..., "auto", or None.

    Raises:
        UnsupportedModelError: There is no such device.
    """
    if device is None or device == "auto":
        return
    try:
        there = torch.device(device)
        if there.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(1, device=there)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise UnsupportedModelError(
            f"there is no device '{device}' here ({reason}); use one of: {', '.join(here)}, or auto"
        ) from error


def check_room(source: str, config: Any, dtype: torch.dtype | None, device: str | None) -> None:
    """Refuse a model whose weights alone are more than the machine's memory: the system would end the process.

    Args:
        source: What was asked for.
        config: Its config.
        dtype: Dtype of the weights; None for the config's own.
        device: As for `heat.load`; only what comes to lie in main memory is looked at.

    Raises:
        OutOfMemoryError: They do not fit.
    """
    room = memory_bytes()
    if room is None or device not in (None, "cpu"):
        return
    try:
        with torch.device("meta"):
            model: nn.Module = AutoModelForCausalLM.from_config(config)
    except Exception:
        return  # the loader says better what is wrong
    n_bytes = (dtype or getattr(config, "dtype", None) or torch.float32).itemsize
    needed = sum(weight.numel() for weight in model.parameters()) * n_bytes
    if needed > room:
        raise OutOfMemoryError(
            f"the weights of '{source}' take {needed / 2**30:,.1f} GiB as its config describes them, and this machine "
            f"has {room / 2**30:,.1f} GiB of memory; use a smaller model or dtype, or another device"
        )


def memory_bytes() -> int | None:
    """Main memory that this process may have, or None where the system does not say."""
    try:
        held = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        # A container's limit.
        return min(held, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return held


def _some(names: Iterable[str]) -> str:
    first, *rest = [names] if isinstance(names, str) else list(names)
    shown = ", ".join([first, *rest[: _NAMED - 1]])
    return shown if len(rest) < _NAMED else f"{shown} and {len(rest) - _NAMED + 1} more"


def _damaged(source: str) -> str:
    """The first file of a folder that cannot be opened."""
    from safetensors import safe_open

    for file in sorted(Path(source).glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt"):
                pass
        except SafetensorError:
            return file.name
    return "safetensors"
