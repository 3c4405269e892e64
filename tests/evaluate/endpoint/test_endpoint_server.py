"""Three kinds of servers on loopback: scores, the ledger, money, and what cannot be used."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.completions import paths
from fakes.memory_server import MemoryServer
from fakes.openai_server import FakeOpenAI
from fakes.tiny_models import tiny_lm

import heat
from annotate.errors import AnnotateError, BudgetError, EndpointError, LabelError
from annotate.ledger.ledger import read_ledger
from annotate.online.limits import Limits
from annotate.online.transport import Endpoint
from evaluate.cli import main
from evaluate.endpoint import ServerKind
from evaluate.endpoint.plan import request_plans
from evaluate.endpoint.server import EndpointServer
from heat.endpoint.attribute import attribute, endpoint_methods, through_endpoint
from heat.endpoint.text import encode
from heat.errors import (
    HeatError,
    ModelChangedError,
    NoLogProbsError,
    OtherTokensError,
    TruncatedPromptError,
)
from heat.registry import build

Body = dict[str, Any]
KEY = "sk-test-0123456789abcdef"
PROMPT = "The gate is made of iron. What is it made of? Answer:"
KINDS: list[ServerKind] = ["openai", "vllm", "llama.cpp"]
FEWER: dict[str, dict[str, Any]] = {
    "kernel-shap": {"n_samples": 16},
    "lime": {"n_samples": 16},
    "context-cite": {"n_ablations": 16},
    "owen": {"budget": 20},
    "shapley-sampling": {"n_samples": 1},
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def lm() -> heat.LanguageModel:
    return tiny_lm("llama")


@pytest.fixture
def fake_of(lm: heat.LanguageModel) -> Iterator[Callable[..., FakeOpenAI]]:
    open_fakes: list[FakeOpenAI] = []

    def make(kind: str, **options: Any) -> FakeOpenAI:
        fake = FakeOpenAI(others=options.pop("others", paths(lm, kind)), **options)
        open_fakes.append(fake)
        return fake.__enter__()

    yield make
    for fake in open_fakes:
        fake.__exit__(None, None, None)


def server_at(
    fake: FakeOpenAI, kind: ServerKind, folder: Path, max_cost: float | None = None, model: str = "tiny"
) -> EndpointServer:
    limits = Limits(concurrency=2, max_attempts=4, max_cost=max_cost)
    return EndpointServer(model, Endpoint(fake.url), kind, folder / "ledger.jsonl", limits)


@pytest.mark.parametrize("method", endpoint_methods())
@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
def test_servers_that_take_ids_give_the_scores_of_the_model_itself(
    lm: heat.LanguageModel,
    fake_of: Callable[..., FakeOpenAI],
    tmp_path: Path,
    kind: ServerKind,
    method: str,
) -> None:
    chosen = through_endpoint(build(method, FEWER.get(method, {})))
    with server_at(fake_of(kind), kind, tmp_path) as server:
        text = encode(server, PROMPT, " iron", max_targets=1)
        found = attribute(server, text, chosen, seed=1)
    ours = heat.attribute(lm, PROMPT, " iron", chosen, seed=1, max_targets=1)
    torch.testing.assert_close(found.scores, ours.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.log_probs, ours.log_probs, atol=1e-5, rtol=0)
    assert found.token_ids == ours.token_ids
    assert found.offsets == ours.offsets
    assert found.revision == f"tiny-2026@{server.host}"
    rows = read_ledger(tmp_path / "ledger.jsonl").rows
    assert len({row.request_sha256 for row in rows}) == len(rows)


@pytest.mark.parametrize("method", endpoint_methods())
def test_a_server_that_takes_text_gives_what_the_model_says_of_the_texts(
    lm: heat.LanguageModel, fake_of: Callable[..., FakeOpenAI], tmp_path: Path, method: str
) -> None:
    chosen = through_endpoint(build(method, FEWER.get(method, {})))
    here = MemoryServer(lm)
    with server_at(fake_of("openai"), "openai", tmp_path) as server:
        text, own = (encode(one, PROMPT, " iron", max_targets=1) for one in (server, here))
        found, ours = attribute(server, text, chosen, seed=1), attribute(here, own, chosen, seed=1)
    if method == "kl-top-k":
        # Parts of characters have no name there and belong to the rest, so less is told apart.
        assert bool((found.scores <= ours.scores + 1e-6).all())
        assert float(found.scores.sum()) > 0.5 * float(ours.scores.sum())
    elif method != "context-length-probing":
        torch.testing.assert_close(found.scores, ours.scores, atol=1e-5, rtol=0)
    assert found.offsets == ours.offsets
    assert float(ours.scores.abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_echo_gives_what_ids_give_where_nothing_is_tokenised_anew(
    lm: heat.LanguageModel, fake_of: Callable[..., FakeOpenAI], tmp_path: Path, kind: ServerKind
) -> None:
    prompt = "The 🙂 gate is made of"
    with server_at(fake_of(kind), kind, tmp_path) as server:
        text = encode(server, prompt, " iron", foil=" copper", max_targets=1)
        found = attribute(server, text, build("tdd-backward", {}))
        said = encode(server, prompt)
    ours = heat.attribute(lm, prompt, " iron", "tdd-backward", foil=" copper", max_targets=1)
    if kind == "openai":
        # Bytes of a character are one token there.
        words = [(0, 3), (6, 10), (11, 13)]
        assert found.on_words(words) == pytest.approx(ours.on_words(words), abs=1e-5)
    else:
        torch.testing.assert_close(found.scores, ours.scores, atol=1e-5, rtol=0)
    assert said.encoded.text.startswith(prompt)
    assert said.encoded.n_targets == 1


def test_an_interrupted_run_asks_only_what_is_missing(
    lm: heat.LanguageModel, fake_of: Callable[..., FakeOpenAI], tmp_path: Path
) -> None:
    """The server goes down in the middle; the second run asks the rest, once each, and gives the same scores."""
    down = fake_of("vllm", plan=["ok"] * 9 + ["auth"] * 99)
    with server_at(down, "vllm", tmp_path) as server:
        text = encode(server, PROMPT, " iron", max_targets=1)
        with pytest.raises(EndpointError, match=r"requests of this step are answered and kept in .*re-run"):
            attribute(server, text, build("occlusion", {}))
    answered = [row for row in read_ledger(tmp_path / "ledger.jsonl").rows if row.status == "ok"]
    assert len(answered) >= 9
    port = down.server.server_address[1]
    down.__exit__(None, None, None)
    down.__exit__ = lambda *_: None  # type: ignore[method-assign]
    up = fake_of("vllm", port=port)
    with server_at(up, "vllm", tmp_path) as server:
        found = attribute(server, encode(server, PROMPT, " iron", max_targets=1), build("occlusion", {}))
    rows = [row for row in read_ledger(tmp_path / "ledger.jsonl").rows if row.status == "ok"]
    assert len(up.log) == len(rows) - len(answered) > 0
    assert len({row.request_sha256 for row in rows}) == len(rows)
    ours = heat.attribute(lm, PROMPT, " iron", "occlusion", baseline="delete", max_targets=1)
    torch.testing.assert_close(found.scores, ours.scores, atol=1e-5, rtol=0)


def test_failures_that_pass_are_tried_again(fake_of: Callable[..., FakeOpenAI], tmp_path: Path) -> None:
    fake = fake_of("openai", plan=["500", "ok", "drop", "429:0.01", "ok", "badjson"])
    with server_at(fake, "openai", tmp_path) as server:
        found = attribute(server, encode(server, "The gate", " is", max_targets=1), build("occlusion", {}))
    assert bool(found.scores.isfinite().all())
    assert len(fake.log) > found.forward_equivalents


def changed(lm: heat.LanguageModel, kind: str, change: Callable[[Body], None], after: int = 0) -> Any:
    """Paths whose completions are changed, from one of them on."""
    made = paths(lm, kind)
    complete, count = made["/v1/completions"], [0]

    def answer(body: Body) -> Body:
        found = complete(body)
        count[0] += 1
        if count[0] > after:
            change(found)
        return found

    return {**made, "/v1/completions": answer}


def no_logprobs(body: Body) -> None:
    body["choices"][0] |= {"logprobs": None, "prompt_logprobs": None}


def other_model(body: Body) -> None:
    body["model"] = "another"


def other_text(body: Body) -> None:
    body["choices"][0]["logprobs"]["tokens"][3] = " ore"


def cut_text(body: Body) -> None:
    logprobs = body["choices"][0]["logprobs"]
    for name in ("tokens", "token_logprobs", "top_logprobs"):
        logprobs[name] = logprobs[name][6:]
    body["usage"]["prompt_tokens"] -= 6


def cut_ids(body: Body) -> None:
    body["choices"][0]["prompt_logprobs"] = body["choices"][0]["prompt_logprobs"][4:]


def fewer_counted(body: Body) -> None:
    body["usage"]["prompt_tokens"] -= 3


def one_behind(body: Body) -> None:
    """As llama-cpp-python echoes: the prediction behind a token stands beside it."""
    logprobs = body["choices"][0]["logprobs"]
    for name in ("tokens", "text_offset"):
        logprobs[name] = logprobs[name][:-1]
    for name in ("token_logprobs", "top_logprobs"):
        logprobs[name] = [None, *logprobs[name][2:]]


def other_ids(body: Body) -> None:
    places = body["choices"][0]["prompt_logprobs"]
    places[2] = {"7": {"logprob": -1.0, "decoded_token": "x"}}


def other_token(body: Body) -> None:
    body["choices"][0]["logprobs"]["content"][0]["id"] += 1


def chat_like(body: Body) -> None:
    body["choices"][0]["logprobs"] = {"content": []}


def no_echo(body: Body) -> None:
    body["choices"][0]["text"] = " iron"


@pytest.mark.parametrize(
    ("kind", "change", "after", "error", "says"),
    [
        ("openai", no_logprobs, 0, NoLogProbsError, "no log-probabilities of the prompt; vLLM"),
        ("vllm", no_logprobs, 0, NoLogProbsError, "no log-probabilities of the prompt"),
        ("llama.cpp", no_logprobs, 0, NoLogProbsError, "no log-probabilities of the prompt"),
        ("openai", chat_like, 0, NoLogProbsError, "use --server llama.cpp"),
        ("openai", no_echo, 0, NoLogProbsError, "does not echo the prompt"),
        ("openai", one_behind, 0, OtherTokensError, "beside the prediction of the next one"),
        ("openai", other_model, 2, ModelChangedError, "'another' answered, and before it 'tiny-2026'"),
        ("vllm", other_model, 2, ModelChangedError, "'another' answered"),
        ("llama.cpp", other_model, 2, ModelChangedError, "'another' answered"),
        ("openai", other_text, 1, OtherTokensError, "of other tokens than it was sent"),
        ("vllm", other_ids, 1, OtherTokensError, "token 3 is 7 and not"),
        ("llama.cpp", other_token, 1, OtherTokensError, "does it leave out logit_bias"),
        ("openai", cut_text, 0, TruncatedPromptError, "characters that were sent"),
        ("openai", fewer_counted, 1, TruncatedPromptError, "the server counts"),
        ("vllm", cut_ids, 1, TruncatedPromptError, "shows 18; is a part of it cut off"),
        ("vllm", fewer_counted, 1, TruncatedPromptError, "the server counts"),
        ("llama.cpp", fewer_counted, 1, TruncatedPromptError, "tokens of prompt and was sent"),
    ],
)
def test_answers_that_cannot_be_used(
    lm: heat.LanguageModel,
    fake_of: Callable[..., FakeOpenAI],
    tmp_path: Path,
    kind: ServerKind,
    change: Callable[[Body], None],
    after: int,
    error: type[HeatError],
    says: str,
) -> None:
    fake = fake_of(kind, others=changed(lm, kind, change, after))
    with server_at(fake, kind, tmp_path) as server, pytest.raises(error, match=says) as raised:
        attribute(server, encode(server, PROMPT, " iron", max_targets=1), build("occlusion", {}))
    assert "\n" not in str(raised.value)


def test_a_server_of_another_kind_is_named(fake_of: Callable[..., FakeOpenAI], tmp_path: Path) -> None:
    empty = {"/tokenize": lambda body: {"tokens": []}, "/v1/completions": lambda body: {"choices": []}}
    fake = fake_of("vllm", others=empty)
    for kind, says in {"vllm": "is it of another kind", "llama.cpp": "is it of another kind"}.items():
        with server_at(fake, kind, tmp_path) as server, pytest.raises(NoLogProbsError, match=says):
            encode(server, PROMPT, " iron")
    with server_at(fake, "openai", tmp_path) as server, pytest.raises(AnnotateError, match="no completion"):
        encode(server, PROMPT, " iron")


def test_money_is_counted_and_limited(fake_of: Callable[..., FakeOpenAI], tmp_path: Path) -> None:
    fake = fake_of("openai")
    no_price = server_at(fake, "openai", tmp_path, max_cost=1.0)
    with no_price as server, pytest.raises(LabelError, match="needs a price"):
        encode(server, PROMPT, " iron")
    with server_at(fake, "openai", tmp_path, model="gpt-4o", max_cost=0.001) as server:
        text = encode(server, PROMPT, " iron", max_targets=1)
        with pytest.raises(BudgetError, match="max-cost"):
            attribute(server, text, build("lime", {"n_samples": 64}))
        plans = request_plans(text, [build("occlusion", {}), build("owen", {})], "gpt-4o")
    n_prompt = text.encoded.n_prompt
    assert [(one.method, one.requests) for one in plans] == [("occlusion", n_prompt + 2), ("owen", 201)]
    assert plans[0].tokens == (n_prompt + 2) * (n_prompt + 1)
    assert plans[0].usd is not None
    assert plans[0].usd > 0
    assert fake.bill()["output_tokens"] == len(fake.log)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["evaluate", *arguments])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_explains_plans_and_refuses(
    fake_of: Callable[..., FakeOpenAI], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = fake_of("vllm")
    given = ["explain", PROMPT, "--endpoint", fake.url, "--model", "tiny", "--server", "vllm"]
    given += ["--target", " iron", "--max-targets", "1", "--ledger", str(tmp_path / "l.jsonl")]
    code, out, _ = run(*given, "--plan", "--method", "occlusion", capsys=capsys)
    assert code == 0
    assert re.search(r"occlusion +\d+ +\d+", out)
    asked = len(fake.log)
    assert asked <= 3
    saved = tmp_path / "a.safetensors"
    code, out, err = run(*given, "--method", "occlusion", "--out", str(saved), capsys=capsys)
    assert (code, "baseline=delete" in err, "wrote" in out) == (0, True, True)
    assert heat.Attribution.load(saved).dtype == "endpoint"
    done = len(fake.log)
    code, out, _ = run(*given, "--method", "occlusion", "--json", capsys=capsys)
    assert (code, len(fake.log)) == (0, done)
    assert json.loads(out)["metadata"]["method"] == "occlusion"
    code, out, err = run(*given, "--method", "heat", capsys=capsys)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "through one there are: context-cite" in err
    code, _, err = run("explain", PROMPT, "--model", "tiny", capsys=capsys)
    assert code == 2
    assert "--endpoint URL" in err
    assert KEY not in (tmp_path / "l.jsonl").read_text()
