"""Folders that hold an adapter (LoRA and its kin, as `peft` saves them) and name the model it belongs to."""

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from heat.errors import MissingExtraError, ModelNotFoundError, UnsupportedModelError

CONFIG = "adapter_config.json"


def base_of(folder: Path) -> tuple[str, str | None]:
    """The model that an adapter belongs to.

    Args:
        folder: One with an adapter's config.

    Returns:
        Its folder or hub name, and its revision or None.

    Raises:
        ModelNotFoundError: The adapter does not say.
        MissingExtraError: `peft` is not installed.
    """
    try:
        config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        base = config["base_model_name_or_path"]
        if not isinstance(base, str) or not base:
            raise ValueError(base)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelNotFoundError(
            f"the folder '{folder}' holds an adapter, and its {CONFIG} names no model that it belongs to; "
            "merge it where it was trained (merge_and_unload, save_pretrained) and give the merged model's folder"
        ) from error
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError(
            f"the folder '{folder}' holds an adapter of '{base}' and no model: pip install peft to have it merged as "
            "it is loaded, or give the folder of a merged model"
        )
    if (folder / base).is_dir():
        base = str(folder / base)
    return base, config.get("revision")


def merged(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """A model with an adapter's weights added to its own.

    Args:
        model: The base model; it becomes the merged one.
        folder: The adapter.

    Returns:
        The model, of its own class.

    Raises:
        UnsupportedModelError: The adapter does not fit, or cannot be merged.
    """
    from peft import PeftModel  # type: ignore[import-not-found,unused-ignore]

    try:
        whole: PreTrainedModel = PeftModel.from_pretrained(model, str(folder)).merge_and_unload(
            safe_merge=True
        )
    except Exception as error:  # of several libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedModelError(
            f"the adapter in '{folder}' cannot be merged into its model: {reason}"
        ) from error
    whole.eval()
    return whole


def revision(folder: Path) -> str:
    """Hash of an adapter's files, first 16 hex digits of SHA-256."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("adapter_*")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
