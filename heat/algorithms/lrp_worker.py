"""The process that computes AttnLRP: `python -m heat.algorithms.lrp_worker FOLDER`.

The folder holds config.json, model.safetensors and job.json; relevance.safetensors is added: the scores of the
n context tokens of text t under the name t, float32 [n], and all texts' explained logits under `logits`.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_model, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

# Parts of lxt that no decoder-only model needs. They ask for further libraries, and lxt 2.1's BERT does not import
# with transformers 5; but lxt imports them all.
_UNNEEDED: dict[str, dict[str, Any]] = {
    "lxt.efficient.models.bert": {"modeling_bert": "bert", "attnLRP": {}},
    "lxt.efficient.models.vit_torch": {"vision_transformer": "vit", "cp_LRP": {}},
    "lxt.efficient.zennit_patches": {"monkey_patch_zennit": None},
}


class _Functions(dict[str, Any]):
    """Attention functions by name, with the look-up that transformers 5 asks for."""

    def get_interface(self, name: str, default: Any) -> Any:
        """The function of that name, or the default where there is none."""
        return self.get(name, default)


def main(folder: Path) -> None:
    """Patch, load, explain each text, and write the scores.

    Args:
        folder: The job.
    """
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    patch(job["family"], job["rules"])
    model = _load(folder, job["device"])
    relevances: dict[str, Tensor] = {}
    logits = []
    for index, text in enumerate(job["texts"]):
        relevances[str(index)], logit = relevance(model, text["token_ids"], text["target"], text["foil"])
        logits.append(logit)
    save_file({**relevances, "logits": torch.stack(logits)}, folder / "relevance.safetensors")


def patch(family: str, rules: str) -> None:
    """Give a family's module the modified derivatives, for the life of this process.

    Args:
        family: The family's name in transformers and in lxt.
        rules: `attention` or `cp`.
    """
    for unneeded, contents in _UNNEEDED.items():
        stand_in = ModuleType(unneeded)
        vars(stand_in).update(contents)
        sys.modules[unneeded] = stand_in
    module: Any = import_module(f"transformers.models.{family}.modeling_{family}")
    patches = import_module(f"lxt.efficient.models.{family}")
    chosen = {"attention": "attnLRP", "cp": "cp_LRP"}[rules]
    import_module("lxt.efficient").monkey_patch(module, getattr(patches, chosen))
    if not hasattr(module.ALL_ATTENTION_FUNCTIONS, "get_interface"):
        # The released lxt 2.1 leaves a plain dict here.
        module.ALL_ATTENTION_FUNCTIONS = _Functions(module.ALL_ATTENTION_FUNCTIONS)


def relevance(
    model: PreTrainedModel, token_ids: list[int], target: int, foil: int | None
) -> tuple[Tensor, Tensor]:
    """Embedding times derivative of the logit, on a patched model.

    Args:
        model: The model, with weights that take no gradient.
        token_ids: The context of n tokens.
        target: The token that is explained.
        foil: The token whose logit is taken off, or None.

    Returns:
        float32 [n] and the explained logit [], on CPU.
    """
    ids = torch.tensor([token_ids], device=model.get_input_embeddings().weight.device)  # type: ignore[arg-type]
    embeddings: Tensor = model.get_input_embeddings()(ids).detach().requires_grad_()
    logits = model(inputs_embeds=embeddings, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    logit = logits[target] if foil is None else logits[target] - logits[foil]
    (gradient,) = torch.autograd.grad(logit, embeddings)
    return (embeddings.float() * gradient.float()).sum(-1)[0].detach().cpu(), logit.detach().cpu()


def _load(folder: Path, device: str) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=config.dtype)
    load_model(model, str(folder / "model.safetensors"))
    model.eval().requires_grad_(False)
    model.to(device)  # type: ignore[arg-type]
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]))
