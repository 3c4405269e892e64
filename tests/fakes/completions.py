"""What three kinds of servers answer to a request for log-probabilities, by a tiny model: paths of `FakeOpenAI`."""

from collections.abc import Callable
from typing import Any

from fakes.memory_server import MemoryServer

from heat import LanguageModel
from heat.offsets import decode, tokenize

Body = dict[str, Any]
NAME = "tiny-2026"


def paths(lm: LanguageModel, kind: str, model: str = NAME) -> dict[str, Callable[[Body], Body]]:
    """The paths of one kind of server: openai, vllm or llama.cpp."""
    answers = {"openai": _openai, "vllm": _vllm, "llama.cpp": _llama}
    tokens = {"vllm": _vllm_tokens, "llama.cpp": _llama_tokens}
    found: dict[str, Callable[[Body], Body]] = {
        "/v1/completions": lambda body: answers[kind](MemoryServer(lm), body, model)
    }
    if kind in tokens:
        found["/tokenize"] = lambda body: tokens[kind](MemoryServer(lm), body)
    return found


def _whole(body: Body, model: str, choice: Body, n_prompt: int, n_new: int = 1) -> Body:
    usage = {"prompt_tokens": n_prompt, "completion_tokens": n_new, "total_tokens": n_prompt + n_new}
    choice = {"index": 0, "finish_reason": "length", **choice}
    return {"object": "text_completion", "model": model, "choices": [choice], "usage": usage}


def _ids(server: MemoryServer, prompt: str | list[int]) -> list[int]:
    return list(tokenize(server.lm.tokenizer, prompt).token_ids) if isinstance(prompt, str) else prompt


def _openai(server: MemoryServer, body: Body, model: str) -> Body:
    """Completions with echo: strings for tokens; what bytes are no text is shown as OpenAI does."""
    ids, n_new = _ids(server, body["prompt"]), body["max_tokens"]
    said = server.say(body["prompt"], n_new)
    if not body.get("echo"):
        return _whole(body, model, {"text": said, "logprobs": None}, len(ids), n_new)
    log_probs, top = server.log_probs(ids, body["logprobs"])
    tokens = [token or "bytes:\\x00" for token in server.tokens(body["prompt"]).tokens]
    tokens[0] = "<s>"
    names = [
        {server.lm.tokenizer.decode([token]): value for token, value in one.items()} or None for one in top
    ]
    logprobs = {
        "tokens": [*tokens, said],
        "token_logprobs": [*log_probs, -0.5],
        "top_logprobs": [*names, {said: -0.5}],
        "text_offset": [0] * (len(ids) + 1),
    }
    return _whole(body, model, {"text": body["prompt"] + said, "logprobs": logprobs}, len(ids), n_new)


def _vllm(server: MemoryServer, body: Body, model: str) -> Body:
    ids = _ids(server, body["prompt"])
    if isinstance(body["prompt"], str):
        said = server.say(body["prompt"], body["max_tokens"])
        return _whole(body, model, {"text": said}, len(ids), body["max_tokens"])
    _, top = server.log_probs(ids, body["prompt_logprobs"])
    decoder = server.lm.tokenizer
    places = [None] + [
        {
            str(each): {"logprob": value, "rank": 1, "decoded_token": decode(decoder, [each])}
            for each, value in {token: one[token], **one}.items()
        }
        for token, one in zip(ids[1:], top[1:], strict=True)
    ]
    return _whole(body, model, {"text": "x", "logprobs": None, "prompt_logprobs": places}, len(ids))


def _vllm_tokens(server: MemoryServer, body: Body) -> Body:
    ids = _ids(server, body["prompt"])
    return {"count": len(ids), "max_model_len": 64, "tokens": ids}


def _llama(server: MemoryServer, body: Body, model: str) -> Body:
    """The next token; a bias chooses it, and what is told of it is the model's own."""
    ids = _ids(server, body["prompt"])
    if "logit_bias" not in body:
        said = server.say(body["prompt"], body["max_tokens"])
        return _whole(body, model, {"text": said}, len(ids), body["max_tokens"])
    ((token, _),) = body["logit_bias"]
    _, top = server.log_probs([*ids, token], body["logprobs"])
    best = [{"id": each, "token": "", "logprob": value} for each, value in top[-1].items()]
    content = {"id": token, "token": "", "logprob": top[-1][token], "top_logprobs": best[: body["logprobs"]]}
    return _whole(body, model, {"text": "x", "logprobs": {"content": [content]}}, len(ids))


def _llama_tokens(server: MemoryServer, body: Body) -> Body:
    text = body["content"]
    tokens = tokenize(server.lm.tokenizer, text)
    names = server.tokens(text).tokens
    return {
        "tokens": [
            {"id": token, "piece": name or ("<s>" if at == 0 else [195])}
            for at, (token, name) in enumerate(zip(tokens.token_ids, names, strict=True))
        ]
    }
