"""AttnLRP, computed by the optional library lxt in a process of its own."""

import copy
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_model
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.errors import MissingExtraError, UnsupportedModelError, WorkerError
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register

# The decoder-only families that lxt has rules for: transformers' `model_type` and lxt's name.
FAMILIES = {"gemma3_text": "gemma3", "gpt2": "gpt2", "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_WORKER = "heat.algorithms.lrp_worker"


@register("attn-lrp")
@dataclass(frozen=True)
class AttnLrp(Method):
    """Relevance of each token for the target's logit z, Σ_d e_d · ∂z/∂e_d with AttnLRP's modified derivatives.

    Normalisations and activations pass relevance on unchanged, products share it evenly. Biases, position embeddings
    and the softmax of `attention` keep a part, so the scores sum to z only roughly; under `cp` no relevance goes
    through the softmax, and without biases they sum to z exactly. Explained is the logit, as in the paper, and
    not log p(target); with a foil, the difference of the two logits.

    lxt patches the classes of transformers and torch for good, which would turn every later gradient in this
    process into AttnLRP. So each call writes the weights to a temporary folder and starts a process that loads
    them, on the same device: it takes room for the weights on disk and a second time in memory.

    Attributes:
        rules: `attention` (AttnLRP), or `cp`: attention weights taken for constants (CP-LRP, Ali et al. 2022).
    """

    summary = "layer-wise relevance propagation through attention (extra `lrp`)"
    source = "Achtibat et al. 2024 (lxt)"
    needs = ("forward", "gradients")
    signed = True
    extra = "lrp"

    rules: Literal["attention", "cp"] = "attention"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token.

        Raises:
            UnsupportedModelError: lxt has no rules for the model's family.
            MissingExtraError: lxt is not installed.
            WorkerError: The process failed.
        """
        if obstacle := self.obstacle(lm):
            raise UnsupportedModelError(f"{obstacle}; use another method")
        if not self.is_installed():
            raise MissingExtraError("'attn-lrp' needs lxt: pip install 'heat-alignment[lrp]'")
        with tempfile.TemporaryDirectory(prefix="heat-lrp-") as name:
            folder = Path(name)
            _write_model(lm, folder)
            (folder / "job.json").write_text(
                json.dumps(_job(lm, batch, FAMILIES[lm.model.config.model_type], self.rules))
            )
            _run(folder)
            relevance = load_file(folder / "relevance.safetensors")
        scores = torch.zeros(batch.context.shape)
        for index, inside in enumerate(batch.context.cpu()):
            scores[index, inside] = relevance[str(index)]
        return Scores(scores)

    @classmethod
    @override
    def is_installed(cls) -> bool:
        """Whether lxt is there."""
        return find_spec("lxt") is not None

    @classmethod
    @override
    def obstacle(cls, lm: LanguageModel) -> str:
        """Families that lxt has no rules for."""
        family = lm.model.config.model_type
        if family in FAMILIES:
            return ""
        return f"'attn-lrp' knows the families {', '.join(FAMILIES)}, and '{lm.name}' is of '{family}'"

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * n_targets}


def _write_model(lm: LanguageModel, folder: Path) -> None:
    # A copy, as `save_pretrained` of a model writes into its config.
    config = copy.deepcopy(lm.model.config)
    config.dtype = lm.dtype
    config.save_pretrained(folder)
    save_model(lm.model, str(folder / "model.safetensors"))


def _job(lm: LanguageModel, batch: Batch, family: str, rules: str) -> dict[str, Any]:
    foils: Tensor | list[None] = [None] * len(batch.rows) if batch.foil_ids is None else batch.foil_ids
    texts = [
        {
            "token_ids": batch.token_ids[row, inside].tolist(),
            "target": int(target),
            "foil": None if foil is None else int(foil),
        }
        for row, inside, target, foil in zip(batch.rows, batch.context, batch.target_ids, foils, strict=True)
    ]
    return {
        "family": family,
        "rules": rules,
        "device": str(lm.device),
        "threads": torch.get_num_threads(),
        "texts": texts,
    }


def _run(folder: Path) -> None:
    """Run the worker on a folder; its last line of error becomes ours."""
    # The worker must find this very package, however the caller found it.
    here = str(Path(__file__).resolve().parents[2])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", _WORKER, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise WorkerError(f"the process that computes 'attn-lrp' failed: {lines[-1]}")
