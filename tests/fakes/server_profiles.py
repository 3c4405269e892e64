"""How real servers differ from OpenAI's, as seen on them: what they refuse, and what their answers look like.

``llama-cpp-python`` 0.3.36, llama.cpp's own server (build 11549) and ``transformers serve`` 5.23 were asked; what they
said stands here with its wording. ``cutting`` is a server that drops what does not fit into its window, as Ollama does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
Refusal = tuple[int, Any]

_OPENAI_FIELDS = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "response_format"}
    | {"reasoning_effort", "seed", "top_p", "stop", "n", "user", "logprobs", "top_logprobs"}
)


def _accept(body: Body, prompt_tokens: int) -> Refusal | None:
    return None


@dataclass(frozen=True)
class ServerProfile:
    """A server.

    Attributes:
        models: What it lists.
        refuse: Status and body of its refusal of a request with so many tokens; ``None`` where it takes it.
        shape: Its body of an answer, from the request and OpenAI's body of the same answer.
        keeps_schema: Whether it keeps to the schema; otherwise it chats.
        window: Most tokens of a prompt; what is beyond is cut in silence. ``None`` where nothing is cut.
        chat: What it says instead.
    """

    models: tuple[str, ...] = ()
    refuse: Callable[[Body, int], Refusal | None] = _accept
    shape: Callable[[Body, Body], Body] = lambda body, answer: answer
    keeps_schema: bool = True
    window: int | None = None
    chat: str = "Sure! The most important words are the answer and what stands around it."


def _plain(body: Body, answer: Body, model: str, **more: Any) -> Body:
    """An answer without fingerprint, refusal and details of its tokens."""
    choice = answer["choices"][0]
    message = {key: choice["message"][key] for key in ("role", "content")}
    usage = {key: answer["usage"][key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    kept = {key: answer[key] for key in ("id", "object", "created")}
    return kept | {"model": model, "choices": [choice | {"message": message}], "usage": usage} | more


def _llama_cpp_python(window: int) -> ServerProfile:
    def refuse(body: Body, prompt_tokens: int) -> Refusal | None:
        kind = body.get("response_format", {}).get("type", "text")
        if kind not in ("text", "json_object"):
            message = (
                "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg':"
                f" \"Input should be 'text' or 'json_object'\", 'input': '{kind}', 'ctx': {{'expected': \"'text' or"
                ' \'json_object\'"}}\n\n  File "app.py", line 376, in create_chat_completion\n'
                "    POST /v1/chat/completions"
            )
            return 500, {
                "error": {"message": message, "type": "internal_server_error", "param": None, "code": None}
            }
        if prompt_tokens < window:
            return None
        cap = body.get("max_tokens")
        message = (
            f"This model's maximum context length is {window} tokens. However, you requested"
            f" {prompt_tokens + (cap or 0)} tokens ({prompt_tokens} in the messages, {cap} in the completion). Please"
            " reduce the length of the messages or completion."
        )
        kind = "invalid_request_error"
        error = {"message": message, "type": kind, "param": "messages", "code": "context_length_exceeded"}
        return 400, {"error": error}

    def shape(body: Body, answer: Body) -> Body:
        return _plain(body, answer, str(body.get("model")))  # whatever was asked for is what it says it is

    return ServerProfile(models=("/models/smollm2.gguf",), refuse=refuse, shape=shape)


def _llama_cpp(window: int) -> ServerProfile:
    def refuse(body: Body, prompt_tokens: int) -> Refusal | None:
        if prompt_tokens < window:
            return None
        size = f"the available context size ({window} tokens)"
        message = f"request ({prompt_tokens} tokens) exceeds {size}, try increasing it"
        error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
        return 400, {"error": error | {"n_prompt_tokens": prompt_tokens, "n_ctx": window}}

    def shape(body: Body, answer: Body) -> Body:
        timings = {"cache_n": 0, "prompt_n": answer["usage"]["prompt_tokens"], "predicted_n": 1}
        return _plain(
            body, answer, "/models/smollm2.gguf", system_fingerprint="b11549-abcdef", timings=timings
        )

    return ServerProfile(models=("/models/smollm2.gguf",), refuse=refuse, shape=shape)


def _transformers(model: str) -> ServerProfile:
    def refuse(body: Body, prompt_tokens: int) -> Refusal | None:
        unexpected = set(body) - _OPENAI_FIELDS
        if unexpected:
            return 422, {"detail": f"Unexpected fields in the request: {unexpected}"}
        if body.get("model") != model:
            return 400, {"detail": f"Server is pinned to '{model}'; requested '{body.get('model')}'."}
        return None

    def shape(body: Body, answer: Body) -> Body:
        shaped = _plain(body, answer, f"{model}@main")
        for choice in shaped["choices"]:
            choice.pop("logprobs", None)
        return shaped

    return ServerProfile(refuse=refuse, shape=shape, keeps_schema=False)


def _cutting(window: int) -> ServerProfile:
    return ServerProfile(
        models=("llama3:8b",), shape=lambda body, answer: _plain(body, answer, "llama3:8b"), window=window
    )


OPENAI = ServerProfile()
LLAMA_CPP_PYTHON = _llama_cpp_python(window=4096)
LLAMA_CPP_PYTHON_512 = _llama_cpp_python(window=512)
LLAMA_CPP = _llama_cpp(window=4096)
LLAMA_CPP_512 = _llama_cpp(window=512)
TRANSFORMERS = _transformers("models/smollm2")
CUTTING = _cutting(window=256)
