"""AttnLRP: its process with a stand-in for lxt, and the real library where it is installed."""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.algorithms import lrp
from heat.errors import MissingExtraError, UnsupportedModelError, WorkerError

IDS = [5, 17, 200, 31, 9, 88]
TARGET = 140
needs_lxt = pytest.mark.skipif(find_spec("lxt") is None, reason="the extra `lrp` is not installed")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An lxt that patches nothing, so that AttnLRP is the logit's input x gradient."""
    home = tmp_path / "lxt" / "efficient"
    (home / "models").mkdir(parents=True)
    (tmp_path / "lxt" / "__init__.py").write_text("")
    (home / "models" / "__init__.py").write_text(
        "import lxt.efficient.models.bert as bert\nfamilies = {bert.modeling_bert: bert.attnLRP}\n"
    )
    for family in ("gpt2", "llama", "qwen2"):
        (home / "models" / f"{family}.py").write_text("attnLRP = 'rules of attention'\n")
    (home / "__init__.py").write_text(
        "import lxt.efficient.models\n"
        "from lxt.efficient.zennit_patches import monkey_patch_zennit\n"
        "def monkey_patch(module, patch_map):\n"
        "    assert patch_map == 'rules of attention'\n"
        "    module.ALL_ATTENTION_FUNCTIONS = dict(module.ALL_ATTENTION_FUNCTIONS)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return home


def logit_times_input(lm: heat.LanguageModel, foil: int | None = None) -> torch.Tensor:
    embeddings = lm.model.get_input_embeddings()(torch.tensor([IDS])).detach().requires_grad_()
    logits = lm.model(inputs_embeds=embeddings).logits[0, -1]
    explained = logits[TARGET] if foil is None else logits[TARGET] - logits[foil]
    (gradient,) = torch.autograd.grad(explained, embeddings)
    return (embeddings * gradient).sum(-1)[0].detach()


@pytest.mark.parametrize(("family", "foil"), [("llama", None), ("gpt2", 77)])
def test_the_process_gives_relevance_of_the_logit(
    stand_in: Path, tmp_path: Path, family: str, foil: int | None
) -> None:
    lm = tiny_lm(family)
    config = lm.model.config.to_dict()
    found = heat.attribute(lm, IDS, [TARGET], "attn-lrp", foil=None if foil is None else [foil])
    torch.testing.assert_close(found.scores[0, :-1], logit_times_input(lm, foil), rtol=1e-4, atol=1e-6)
    assert lm.model.config.to_dict() == config
    assert not list(tmp_path.glob("heat-lrp-*"))


def test_padding_and_several_targets_do_not_matter(stand_in: Path) -> None:
    lm = tiny_lm("llama")
    long, short = heat.attribute_batch(lm, [[*IDS, 3, 4], IDS], [[9], [TARGET, 30]], "attn-lrp")
    torch.testing.assert_close(short.scores[0, :6], logit_times_input(lm), rtol=1e-4, atol=1e-6)
    assert short.scores[0, 6:].abs().sum() == 0
    assert short.scores[1, :7].abs().sum() > 0
    assert long.scores.shape == (1, 9)


def test_tied_bfloat16_weights_arrive_as_they_are(stand_in: Path) -> None:
    lm = tiny_lm("qwen2", tie_word_embeddings=True)
    lm.model.bfloat16()
    found = heat.attribute(lm, IDS, [TARGET], "attn-lrp").scores[0, :-1]
    torch.testing.assert_close(found, logit_times_input(lm).float(), rtol=0.05, atol=0.02)


def test_an_error_in_the_process_is_one_typed_error(stand_in: Path, tmp_path: Path) -> None:
    (stand_in / "__init__.py").write_text("raise ValueError('no rules today')")
    with pytest.raises(WorkerError, match=r"'attn-lrp' failed: ValueError: no rules today"):
        heat.attribute(tiny_lm("llama"), IDS, [TARGET], "attn-lrp")
    assert not list(tmp_path.glob("heat-lrp-*"))


def test_a_family_without_rules_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"gemma3_text, gpt2, llama.* is of 'opt'"):
        heat.attribute(tiny_lm("opt"), IDS, [TARGET], "attn-lrp")


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrp, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'heat-alignment\[lrp\]'"):
        heat.attribute(tiny_lm("llama"), IDS, [TARGET], "attn-lrp")


@needs_lxt
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_relevance_sums_to_the_logit(family: str) -> None:
    lm = tiny_lm(family)
    with torch.no_grad():
        logits = lm.model(torch.tensor([IDS])).logits[0, -1]
    # Exactly where none goes through the softmax ...
    kept = heat.attribute(lm, IDS, [TARGET], "attn-lrp", rules="cp").scores.sum()
    torch.testing.assert_close(kept, logits[TARGET], rtol=1e-4, atol=1e-5)
    # ... and to some extent where it does.
    found = heat.attribute(lm, IDS, [TARGET], "attn-lrp").scores.sum()
    assert 1e-3 < float((found - logits[TARGET]).abs()) < float(logits.std())


@needs_lxt
def test_the_patch_stays_in_its_process() -> None:
    lm = tiny_lm("llama")

    def gradients() -> Any:
        return heat.attribute(lm, IDS, [TARGET], "input-x-gradient").scores

    before = gradients()
    relevance = heat.attribute(lm, IDS, [TARGET], "attn-lrp").scores
    assert torch.equal(before, gradients())
    assert not torch.allclose(relevance, before, atol=1e-3)
