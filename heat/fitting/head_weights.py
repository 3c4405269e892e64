"""Weights of a model's attention heads in a file, and where it lies."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from heat.errors import FitError
from heat.files import write_whole
from heat.model import LanguageModel

SCHEMA_VERSION = 1
_HEADER = "head-weights"


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """A weight for each attention head of a model.

    Attributes:
        values: float32 [F], block by block.
        n_heads: Heads of each block; they sum to F.
        model: The model's name.
        revision: The model's revision.
        settings: How they were learned, as JSON values.
    """

    values: Tensor
    n_heads: tuple[int, ...]
    model: str
    revision: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def by_block(self) -> tuple[Tensor, ...]:
        """The weights of each block, first to last, each [H]."""
        return torch.split(self.values, list(self.n_heads))

    def save(self, path: Path) -> None:
        """Write one .safetensors file, whole or not at all; all but the weights is JSON in its header.

        Args:
            path: The file; its folder must exist.
        """
        header = {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "revision": self.revision,
            "n_heads": self.n_heads,
            "settings": dict(self.settings),
        }
        metadata = {_HEADER: json.dumps(header, sort_keys=True, ensure_ascii=False)}
        write_whole(path, to_safetensors({"weights": self.values.contiguous()}, metadata=metadata))

    @classmethod
    def load(cls, path: Path) -> "HeadWeights":
        """Read what `save` wrote.

        Args:
            path: The file.

        Returns:
            The weights.

        Raises:
            FitError: There is no such file, or it holds no weights of heads.
        """
        if not path.is_file():
            raise FitError(f"there is no file of head weights '{path}'; make one with `heat fit at2`")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
                values = file.get_tensor("weights")
            version, n_heads = header["schema_version"], tuple(int(heads) for heads in header["n_heads"])
            model, revision = str(header["model"]), str(header["revision"])
            settings = dict(header["settings"])
        except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise FitError(
                f"'{path}' is no file of head weights, or is damaged; make it anew with `heat fit at2`"
            ) from error
        if version != SCHEMA_VERSION:
            raise FitError(
                f"'{path}' has schema version {version}, this program reads {SCHEMA_VERSION}; fit anew"
            )
        if (
            values.dtype != torch.float32
            or values.shape != (sum(n_heads),)
            or not bool(values.isfinite().all())
        ):
            raise FitError(f"'{path}' is damaged: its weights are not a finite number a head; fit anew")
        return cls(values, n_heads, model, revision, settings)


def cache_folder() -> Path:
    """Where what was learned of models lies: `$HEAT_CACHE`, else `~/.cache/heat-alignment`."""
    given = os.environ.get("HEAT_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "heat-alignment"


def stored(lm: LanguageModel) -> Path:
    """Where a model's weights lie unless another place is named; the file need not exist.

    Args:
        lm: The model.
    """
    return cache_folder() / "at2" / f"{quote(lm.revision, safe='+')}.safetensors"


def fit_command(lm: LanguageModel) -> str:
    """The command that learns a model's weights.

    Args:
        lm: The model.
    """
    named = "" if lm.name == "embedded reader" else f" --model {shlex.quote(lm.name)}"
    return f"heat fit at2{named} --texts FILE"
