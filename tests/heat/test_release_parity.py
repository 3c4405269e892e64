"""Scores of the authors' release, recomputed (stored in ../shared with the probes they used)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from heat.batch import Batch
from heat.components import curvature, information
from heat.internals.forward import embed, target_log_probs

FAMILIES = ["gpt2", "gpt_neox", "gptj", "llama_gqa", "phi3", "qwen2"]


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "reference" / "heta_release" / str(request.param)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_equals_the_release(folder: Path, dtype: torch.dtype, tolerance: float) -> None:
    golden = load_file(folder / "golden.safetensors")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype).eval()
    # The release's "mean" mask averages over context and target, so the target stands in the text here too.
    token_ids = torch.cat([golden["prompt_ids"], golden["target_id"]])[None]
    last = torch.tensor([len(golden["prompt_ids"]) - 1])
    batch = Batch(token_ids, torch.ones_like(token_ids), torch.tensor([0]), last, golden["target_id"])

    embeddings = embed(model, batch).requires_grad_()
    log_prob = target_log_probs(model, batch, embeddings)
    (gradient,) = torch.autograd.grad(log_prob.sum(), embeddings)
    found = {
        "log_prob": log_prob.detach(),
        "gradient": gradient[0, :-1],
        "hessian_block": curvature(model, batch, mode="block", probes=golden["probes"].to(dtype))[0, :-1],
        "kl_zero": information(model, batch, mask="zero")[0, :-1],
        "kl_mean": information(model, batch, mask="mean")[0, :-1],
    }
    for name, tensor in found.items():
        difference = (tensor.double() - golden[name]).abs().max() / golden[name].abs().max()
        assert difference < tolerance, name
