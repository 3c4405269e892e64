"""A dozen families of `docs/families.md`, tried as the script that writes the page tries them all."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import transformers
from torch import Tensor

from heat.errors import UnsupportedModelError
from heat.internals.forward import embed as token_embeddings

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "bert": "refused",
    "bitnet": "right",
    "falcon_h1": "right, attention refused",
    "gemma3": "right",
    "gemma4": "right",
    "gpt_oss": "right",
    "hrm_text": "right, gradients refused",
    "lfm2": "right, attention refused",
    "minimax": "right, attention refused",
    "mixtral": "right",
    "mpt": "right",
    "zaya": "right",  # a padded text has a second derivative alone
}


@pytest.fixture(scope="module")
def families() -> ModuleType:
    spec = importlib.util.spec_from_file_location("families", ROOT / "benchmarks" / "families.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("family", EXPECTED)
def test_a_family_is_right_or_refused(families: Any, family: str) -> None:
    found = families.judge(family)
    assert found.kind == EXPECTED[family], found.note
    assert (found.note == "") == (found.kind == "right")


def test_what_is_wrong_is_seen(families: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(model: Any, batch: Any) -> Tensor:
        return 1.5 * token_embeddings(model, batch)

    monkeypatch.setattr(families, "embed", embed)
    found = families.judge("llama")
    assert found.kind == "wrong"
    assert "kl-only is not the divergence; gradient-norm is not the L2 norm of the gradient" in found.note


def test_what_crashes_is_a_crash_and_no_refusal(families: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(lm: Any) -> list[str]:
        raise KeyError("layer")

    def refused(lm: Any) -> list[str]:
        raise UnsupportedModelError("no")

    monkeypatch.setattr(families, "_wrong_forward", wrong)
    assert families.judge("llama") == families.Verdict("crash", "KeyError: 'layer'")
    monkeypatch.setattr(families, "_wrong_forward", refused)
    assert families.judge("llama").kind == "refused"


def test_the_page_has_a_line_for_every_family_and_none_that_is_wrong(families: Any) -> None:
    page = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\S+) \| ([^|]+) \|", page, re.MULTILINE))
    rows.pop("family")
    written = re.search(r"transformers (\S+),", page)
    assert written is not None
    if written[1] == transformers.__version__:
        assert sorted(rows) == families.families()
    assert not {"wrong", "crash"} & set(rows.values())
    assert {family: rows[family] for family in EXPECTED} == EXPECTED
    shipped = (ROOT / "data" / "models" / "families.json").read_text(encoding="utf-8")
    assert shipped.rstrip() == families.data(page)
