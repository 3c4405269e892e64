"""The relevance that lxt computes, in its own process: a job as JSON on standard input, scores on standard output.

lxt 2.1 as released does not import with transformers 5 (its BERT) and leaves a registry that transformers 5 cannot
read; both are mended here.
"""

import json
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from transformers import AutoModelForCausalLM

# Parts of lxt that no decoder needs, but that it imports.
_UNNEEDED: dict[str, dict[str, Any]] = {
    "lxt.efficient.models.bert": {"modeling_bert": "bert", "attnLRP": {}},
    "lxt.efficient.models.vit_torch": {"vision_transformer": "vit", "cp_LRP": {}},
    "lxt.efficient.zennit_patches": {"monkey_patch_zennit": None},
}


class _Functions(dict[str, Any]):
    def get_interface(self, name: str, default: Any) -> Any:
        return self.get(name, default)


def main(job: dict[str, Any]) -> list[float]:
    for name, contents in _UNNEEDED.items():
        stand_in = ModuleType(name)
        vars(stand_in).update(contents)
        sys.modules[name] = stand_in
    module: Any = import_module(f"transformers.models.{job['family']}.modeling_{job['family']}")
    rules = import_module(f"lxt.efficient.models.{job['family']}")
    chosen = {"attn": rules.attnLRP, "cp": rules.cp_LRP}[job["rules"]]
    import_module("lxt.efficient").monkey_patch(module, chosen)
    if not hasattr(module.ALL_ATTENTION_FUNCTIONS, "get_interface"):
        module.ALL_ATTENTION_FUNCTIONS = _Functions(module.ALL_ATTENTION_FUNCTIONS)
    model = (
        AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32).eval().requires_grad_(False)
    )
    embeddings = model.get_input_embeddings()(torch.tensor([job["ids"]])).detach().requires_grad_()
    logits = model(inputs_embeds=embeddings, use_cache=False).logits
    (gradient,) = torch.autograd.grad(logits[0, -1, job["target"]], embeddings)
    scores: list[float] = (embeddings * gradient).sum(-1)[0].tolist()
    return scores


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
