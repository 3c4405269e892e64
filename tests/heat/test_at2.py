"""AT2: what is learned from ablations, where it is kept, and the scores it gives."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.tiny_models import tiny_lm, tiny_model, tiny_tokenizer
from torch import Tensor

import heat
from heat import cli
from heat.algorithms.draws import generator_of
from heat.batch import collate
from heat.errors import FitError, PromptFileError
from heat.fitting import at2
from heat.fitting.ablations import Ablations, Masking, ablate
from heat.fitting.head_weights import HeadWeights, stored
from heat.fitting.texts import TrainingText, read_texts
from heat.sources import sources_of

IDS = [1, 5, 17, 200, 31, 9, 88]
TEXTS = [
    "The gate is made of iron.",
    "Tom took a knife and cut a slice",
    "The vault is made of copper",
    "Ann had wood. The gate is iron",
]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def eager_attentions(lm: heat.LanguageModel, ids: list[int]) -> Tensor:
    """All heads, [F, T, T], block by block."""
    lm.model.set_attn_implementation("eager")
    found = lm.model(torch.tensor([ids]), output_attentions=True).attentions
    return torch.cat([weights[0].detach() for weights in found])


# --- learning ------------------------------------------------------------------------------------------------------


def test_correlations_are_pearson_s() -> None:
    generator = torch.Generator().manual_seed(0)
    features, outcomes = torch.randn(3, 9, 4, generator=generator), torch.randn(3, 9, generator=generator)
    weights = torch.tensor([0.4, -0.3, 0.2, 0.1])
    expected = [np.corrcoef(one @ weights, true)[0, 1] for one, true in zip(features, outcomes, strict=True)]
    np.testing.assert_allclose(at2.correlations(features, outcomes, weights), expected, atol=1e-6)
    constant = at2.correlations(features, torch.ones(3, 9), weights)
    assert constant.tolist() == [0, 0, 0]


def test_the_heads_that_predict_are_found() -> None:
    generator = torch.Generator().manual_seed(1)
    # 60 texts of 9 words: heads 2 and 5 tell what a word is worth, head 7 tells the reverse, the others tell nothing.
    attention = torch.rand(60, 9, 12, generator=generator)
    true = torch.zeros(12)
    true[[2, 5, 7]] = torch.tensor([3.0, 1.0, -2.0])
    masks = (torch.rand(60, 32, 9, generator=generator) < 0.5).float()
    features = masks @ attention
    scale = 1 + 9 * torch.rand(60, 1, generator=generator)
    noise = 0.1 * torch.randn(60, 32, generator=generator)
    outcomes = scale * (masks @ (attention @ true)[..., None])[..., 0] + scale * noise - 4
    found = at2.fit_weights(features, outcomes)
    assert float(found.abs().sum()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(found, true / 6, atol=0.01, rtol=0)
    assert float(at2.correlations(features, outcomes, found).mean()) > 0.99
    assert float(at2.correlations(features, outcomes, torch.ones(12)).mean()) < 0.9
    # Nothing changes where features are signed, as in the paper's masks of -1 and 1.
    signed = 2 * features - attention.sum(1, keepdim=True)
    torch.testing.assert_close(at2.fit_weights(signed, outcomes), found, atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bloom"])
@pytest.mark.parametrize("mask", ["zero", "mean"])
def test_ablations_are_those_of_a_loop(family: str, mask: Any) -> None:
    lm = tiny_lm(family)
    encoded = heat.encode(lm, "The gate is made of iron. Answer:", " iron rods")
    ids, n_prompt = list(encoded.token_ids), encoded.n_prompt
    targets = range(n_prompt, len(ids))
    assert len(targets) > 2
    found = ablate(lm, encoded, Masking(n_masks=6, mask=mask, seed=3))
    source_of = sources_of(lm, ids[:n_prompt], "words")
    assert (source_of[0], max(source_of)) == (-1, 8)
    attention = eager_attentions(lm, ids)
    by_source = torch.stack(
        [
            sum(attention[:, t - 1, j] for t in targets for j in range(n_prompt) if source_of[j] == source)
            / len(targets)
            for source in range(9)
        ]
    )
    draws = generator_of(collate([encoded]), 0, 3)
    present = torch.rand(6, 9, generator=draws) < 0.5
    torch.testing.assert_close(found.features, present.float() @ by_source, atol=1e-5, rtol=1e-5)
    assert 10 < int(present.sum()) < 44
    embeddings = lm.model.get_input_embeddings()(torch.tensor([ids])).detach()
    blank = embeddings.mean(1) if mask == "mean" else torch.zeros_like(embeddings[:, 0])
    for row, outcome in zip(present.tolist(), found.outcomes.tolist(), strict=True):
        masked = embeddings.clone()
        for column, source in enumerate(source_of):
            if source >= 0 and not row[source]:
                masked[:, column] = blank
        with torch.no_grad():
            said = lm.model(inputs_embeds=masked).logits[0].double().softmax(-1)
        p = float(torch.stack([said[t - 1, ids[t]] for t in targets]).prod())
        assert outcome == pytest.approx(np.log(p / (1 - p)), abs=2e-4)
    assert sum(found.n_heads) == found.features.shape[1] == len(attention)


def test_a_text_of_one_word_cannot_be_ablated() -> None:
    with pytest.raises(FitError, match="a single source"):
        ablate(tiny_lm("llama"), heat.encode(tiny_lm("llama"), "gate", " iron"), Masking())


def test_a_fit_says_what_it_was_made_of(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    texts = [TrainingText(text, " iron") for text in TEXTS] + [
        TrainingText("gate", " iron"),
        TrainingText("the gate is " * 40, " iron"),
        TrainingText("  ", " iron"),
    ]
    seen: list[tuple[int, int]] = []
    found = at2.fit(
        lm, texts, Masking(n_masks=8), command="heat fit", on_text=lambda *done: seen.append(done)
    )
    assert (found.n_texts, found.n_held_out, found.n_left_out) == (3, 1, 3)
    assert seen[-1] == (7, 7)
    assert found.weights.settings["command"] == "heat fit"
    assert (found.weights.revision, found.weights.n_heads) == ("random", (4, 4))
    assert float(found.weights.values.abs().sum()) == pytest.approx(1)
    with pytest.raises(FitError, match="of 2 texts 1 can be ablated"):
        at2.fit(lm, [texts[0], texts[-1]], Masking(n_masks=8))
    with pytest.raises(FitError, match="has no revision"):
        at2.fit(heat.LanguageModel(lm.model, lm.tokenizer), texts, Masking(), folder=tmp_path)


def test_nothing_is_computed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, texts, masking = tiny_lm("llama"), [TrainingText(text, " iron") for text in TEXTS], Masking(n_masks=8)
    whole = at2.fit(lm, texts, masking)
    asked = 0

    def ablated(*arguments: Any, **named: Any) -> Ablations:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt
        return ablate(*arguments, **named)

    monkeypatch.setattr(at2, "ablate", ablated)
    with pytest.raises(KeyboardInterrupt):
        at2.fit(lm, texts, masking, folder=tmp_path / "kept")
    files = sorted((tmp_path / "kept").iterdir())
    assert len(files) == 2
    files[0].write_bytes(b"half a file")
    again = at2.fit(lm, texts, masking, folder=tmp_path / "kept")
    # The third and fourth, and the one that was damaged.
    assert asked == 3 + 3
    assert torch.equal(again.weights.values, whole.weights.values)
    at2.fit(lm, texts, Masking(n_masks=8, seed=1), folder=tmp_path / "kept")
    assert asked == 6 + 4


# --- texts ---------------------------------------------------------------------------------------------------------


def test_texts_are_lines(tmp_path: Path) -> None:
    plain = tmp_path / "corpus.txt"
    plain.write_text("The gate is iron iron\n\nHeading\n  Tom cut  a\tslice \n", encoding="utf-8")
    assert read_texts(plain) == [
        TrainingText("The gate is iron", " iron"),
        TrainingText("Tom cut  a", "\tslice"),
    ]
    assert len(read_texts(plain, 1)) == 1
    rows = tmp_path / "corpus.jsonl"
    rows.write_text('{"prompt": "a b", "target": " c"}\n\n{"prompt": "d e", "id": 3}\n', encoding="utf-8")
    assert read_texts(rows) == [TrainingText("a b", " c"), TrainingText("d e")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"one\n\n", "holds no text of two words"),
        ("a.txt", b"\xff\xfe b c", "not UTF-8"),
        ("a.jsonl", b'{"prompt": "a b"}\n{', "line 2 of .* is no JSON"),
        ("a.jsonl", b'{"text": "a b"}\n', "line 1 of .* is no text to learn from"),
        ("a.jsonl", b'{"prompt": "a b", "target": 3}\n', "line 1 of"),
        ("a.jsonl", b'"a b"\n', "line 1 of"),
    ],
)
def test_texts_that_are_none_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PromptFileError, match=says):
        read_texts(tmp_path / name)


# --- the file ------------------------------------------------------------------------------------------------------


def some_weights(lm: heat.LanguageModel, n_heads: tuple[int, ...] = (4, 4)) -> HeadWeights:
    values = torch.randn(sum(n_heads), generator=torch.Generator().manual_seed(2))
    return HeadWeights(values, n_heads, lm.name, lm.revision, {"seed": 0, "command": "heat fit at2"})


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    weights = some_weights(tiny_lm("llama"), (4, 2))
    weights.save(tmp_path / "w.safetensors")
    again = HeadWeights.load(tmp_path / "w.safetensors")
    assert torch.equal(again.values, weights.values)
    assert [len(block) for block in again.by_block()] == [4, 2]
    assert (again.n_heads, again.model, again.revision) == ((4, 2), "tiny llama", "random")
    assert again.settings == weights.settings


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(FitError, match="there is no file of head weights"):
        HeadWeights.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(FitError, match="no file of head weights, or is damaged"):
        HeadWeights.load(path)
    heat.attribute(tiny_lm("llama"), IDS, [140], "random").save(path)
    with pytest.raises(FitError, match="no file of head weights, or is damaged"):
        HeadWeights.load(path)
    weights = some_weights(tiny_lm("llama"))
    weights.values[3] = float("nan")
    weights.save(path)
    with pytest.raises(FitError, match="not a finite number a head"):
        HeadWeights.load(path)


# --- scores --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama", "bloom"])
def test_scores_are_the_weighted_rows_of_all_heads(family: str, tmp_path: Path) -> None:
    lm = tiny_lm(family)
    weights = some_weights(lm)
    weights.save(tmp_path / "w.safetensors")
    attention = eager_attentions(lm, IDS)
    found = heat.attribute(lm, IDS, [140, 33], "at2", weights=str(tmp_path / "w.safetensors")).scores
    expected = torch.einsum("f,fj->j", weights.values, attention[:, -1])
    torch.testing.assert_close(found[0, : len(IDS)], expected, atol=1e-5, rtol=1e-4)
    assert float(expected.min()) < 0
    equal = heat.attribute(lm, IDS, [140], "at2", weights="uniform").scores[0, : len(IDS)]
    torch.testing.assert_close(equal, attention[:, -1].mean(0), atol=1e-6, rtol=1e-4)


def test_weights_of_the_model_s_revision_are_taken(cache: Path) -> None:
    lm = tiny_lm("llama")
    with pytest.raises(
        FitError, match=r"no weights for 'tiny llama' of revision random: run `heat fit at2 --model 'tiny"
    ):
        heat.attribute(lm, IDS, [140], "at2")
    assert heat.methods()["at2"].obstacle(lm)
    assert stored(lm) == cache / "at2" / "random.safetensors"
    stored(lm).parent.mkdir(parents=True)
    some_weights(lm).save(stored(lm))
    assert not heat.methods()["at2"].obstacle(lm)
    named = heat.attribute(lm, IDS, [140], "at2", weights=str(stored(lm)))
    assert torch.equal(heat.attribute(lm, IDS, [140], "at2").scores, named.scores)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    lm, path = tiny_lm("llama"), tmp_path / "w.safetensors"
    some_weights(heat.LanguageModel(lm.model, None, "other", "abc")).save(path)
    with pytest.raises(
        FitError, match=r"weights of 'other' \(revision abc\), and 'tiny llama' has revision random"
    ):
        heat.attribute(lm, IDS, [140], "at2", weights=str(path))
    some_weights(lm, (4, 4, 4)).save(path)
    with pytest.raises(FitError, match="3 blocks and 12 heads, and 'tiny llama' has 2 and 8"):
        heat.attribute(lm, IDS, [140], "at2", weights=str(path))


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["heat", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_the_command_makes_what_the_method_takes(run: Run, model: Path, tmp_path: Path, cache: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS), encoding="utf-8")
    given = ["fit", "at2", "--model", str(model), "--texts", str(texts), "--masks", "8", "--quiet"]
    code, out, err = run("explain", TEXTS[0], "--target", " iron", "--model", str(model), "--method", "at2")
    assert code == 1
    assert err.count("\n") == 1
    assert f"run `heat fit at2 --model {model} --texts FILE`" in err

    code, out, err = run(*given)
    assert (code, err) == (0, "")
    (file,) = (cache / "at2").glob("*.safetensors")
    assert out.startswith(f"wrote {file}: learned from 3 texts with 8 ablations of each")
    assert "on 1 texts held out" in out
    settings = HeadWeights.load(file).settings
    assert settings["command"] == " ".join(["heat", *given])
    assert json.dumps(settings)
    assert run("explain", TEXTS[0], "--target", " iron", "--model", str(model), "--method", "at2")[0] == 0

    assert run(*given)[:2] == (0, f"{file} is there already\n")
    code, _, err = run(*given, "--seed", "1")
    assert (code, err) == (
        1,
        f"error: '{file}' holds another fit; give --replace to replace it, or name another file (--out)\n",
    )
    assert run(*given, "--seed", "1", "--replace")[0] == 0
    assert HeadWeights.load(file).settings["seed"] == 1
    assert run(*given, "--out", str(tmp_path / "own.safetensors"))[0] == 0
    assert HeadWeights.load(tmp_path / "own.safetensors").settings["seed"] == 0


def test_the_command_refuses_in_one_line(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fit", "at2", "--texts", str(tmp_path / "none.txt"))
    assert (code, err.count("\n")) == (1, 1)
    (tmp_path / "one.txt").write_text("word\n", encoding="utf-8")
    code, _, err = run("fit", "at2", "--texts", str(tmp_path / "one.txt"))
    assert (code, err.count("\n")) == (1, 1)
    assert "holds no text of two words" in err
