"""The OpenAI API on 127.0.0.1, as far as annotators use it: truthful answers, scripted faults, its own bill.

In a test: ``with FakeOpenAI(plan=["500", "ok"]) as fake: ... fake.url``. In a process of its own:
``python -m tests.fakes.openai_server --port 0 --rate 0.2`` prints the address; ``GET /fake/log`` is the request log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Any, Self

from .server_profiles import OPENAI, ServerProfile
from .truthful import answer_request

Body = dict[str, Any]

# How an attempt can fail. After a colon: seconds of Retry-After, or seconds to wait.
TRANSPORT_FAULTS = ("429:0.02", "429", "500", "503:0.02", "drop", "html", "badjson", "nochoices")
"""Nothing is answered and nothing billed; another attempt at the same request may succeed. ``stall:SECONDS`` too: it
keeps silent so long and then breaks the connection, while ``slow:SECONDS`` answers at last."""
ANSWER_FAULTS = ("schema", "refusal", "filter", "length", "empty", "duplicate", "wrong")
"""Something is answered and billed, but not what was asked for; the same request gets the same again."""
ERRORS: dict[str, tuple[int, str, str, str | None]] = {
    "429": (429, "rate_limit_exceeded", "Rate limit reached.", None),
    "quota": (429, "insufficient_quota", "You exceeded your current quota.", None),
    "402": (402, "invalid_request_error", "Insufficient Balance", None),
    "500": (500, "server_error", "The server had an error.", None),
    "503": (503, "overloaded", "The server is overloaded.", None),
    "auth": (401, "invalid_api_key", "Incorrect API key provided: {key}.", None),
    "model": (404, "model_not_found", "The model does not exist.", "model"),
    "window": (
        400,
        "context_length_exceeded",
        "This model's maximum context length is 10 tokens.",
        "messages",
    ),
    "policy": (400, "content_policy_violation", "Your request was rejected.", None),
    "unsupported": (400, "unsupported_value", "Only the default (1) value is supported.", "temperature"),
    "unstructured": (400, "invalid_request", "response_format is not supported.", "response_format"),
    "bad": (400, "invalid_request", "This request is malformed.", None),
}


@dataclass(frozen=True)
class Entry:
    """One attempt as the server saw it; ``billed`` holds no tokens where nothing was answered."""

    number: int
    body_sha256: str
    attempt: int
    fault: str
    model: str
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    authorization: str = ""


def sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def random_plan(rate: float, seed: int = 0, faults: Sequence[str] = ()) -> Callable[[str, int], str]:
    """Faults in a share of all attempts, decided by body and attempt alone, so in any order and any process.

    A fault of the answer is decided by the body alone: whoever asks again after a lost answer gets the same.
    """
    known = tuple(faults) or TRANSPORT_FAULTS + ANSWER_FAULTS
    lasting = [fault for fault in known if fault.partition(":")[0] in ANSWER_FAULTS]
    passing = [fault for fault in known if fault.partition(":")[0] not in ANSWER_FAULTS]

    def plan(body_sha256: str, attempt: int) -> str:
        rng = random.Random(f"{seed}|{body_sha256}")
        fate = rng.choice(lasting) if lasting and rng.random() < rate / (2 - rate) else "ok"
        rng = random.Random(f"{seed}|{body_sha256}|{attempt}")
        return rng.choice(passing) if passing and rng.random() < rate / 2 else fate

    return plan


class FakeOpenAI:
    """The server. Thread-safe; every attempt is in ``log``.

    Args:
        plan: Fault per attempt: a list in order of arrival ("ok" after its end), or a function of the body's
            checksum and the attempt at it, from 1.
        answer: What is answered to a chat request; truthful by default.
        port: Port, or 0 for a free one.
        latency: Seconds before every answer.
        key: The only key accepted; any if empty.
        batch: How batches end: completed, expired, cancelled, failed or all_failed.
        edit: What becomes of the body of every answer before it is sent.
        profile: Which server it is like; see ``server_profiles``.
        others: What is answered on other paths, by path; faults and bill are those of chat requests.
    """

    def __init__(
        self,
        plan: Sequence[str] | Callable[[str, int], str] = (),
        answer: Callable[[Body], str] = answer_request,
        port: int = 0,
        latency: float = 0.0,
        key: str = "",
        batch: str = "completed",
        edit: Callable[[Body], Body] = lambda body: body,
        profile: ServerProfile = OPENAI,
        others: Mapping[str, Callable[[Body], Body]] = MappingProxyType({}),
    ) -> None:
        self.others = others
        self.plan = plan
        self.answer = answer
        self.latency = latency
        self.key = key
        self.batch = batch
        self.edit = edit
        self.profile = profile
        self.log: list[Entry] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Body] = {}
        self.lock = threading.Lock()
        self.attempts: dict[str, int] = {}
        handler = type("Handler", (_Handler,), {"fake": self})
        self.server = _Server(("127.0.0.1", port), handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def bill(self) -> dict[str, int]:
        """Tokens billed in all."""
        names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
        with self.lock:
            return {name: sum(getattr(entry, name) for entry in self.log) for name in names}

    def succeeded(self) -> dict[str, int]:
        """How often each request was answered and billed, by checksum of its body."""
        counts: dict[str, int] = {}
        with self.lock:
            for entry in self.log:
                if entry.output_tokens:
                    counts[entry.body_sha256] = counts.get(entry.body_sha256, 0) + 1
        return counts

    def next_fault(self, body: Body) -> tuple[str, str, int]:
        """The checksum of ``body``, its fault and which attempt this is."""
        digest = sha256(body)
        with self.lock:
            attempt = self.attempts[digest] = self.attempts.get(digest, 0) + 1
            if callable(self.plan):
                return digest, self.plan(digest, attempt), attempt
            position = sum(self.attempts.values()) - 1
            return digest, self.plan[position] if position < len(self.plan) else "ok", attempt

    def record(
        self, digest: str, attempt: int, fault: str, body: Body, authorization: str, usage: Body
    ) -> None:
        with self.lock:
            model = str(body.get("model", ""))
            self.log.append(
                Entry(len(self.log), digest, attempt, fault, model, **usage, authorization=authorization)
            )

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


def count_tokens(value: object) -> int:
    """The server's own count: one token for every four characters or part of them."""
    return -(-len(json.dumps(value)) // 4)


def completion(
    body: Body, fault: str, content: str, digest: str, window: int | None = None
) -> tuple[Body, Body]:
    """A chat completion with its fault, and the tokens billed for it; no more of the prompt than fits the window."""
    cap = int(body.get("max_completion_tokens") or body.get("max_tokens") or 1 << 30)
    message: Body = {"role": "assistant", "content": content, "refusal": None}
    finish = "stop"
    if fault == "schema":
        message["content"] = '{"unexpected": 1}'
    elif fault == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    elif fault == "filter":
        message["content"], finish = None, "content_filter"
    elif fault == "length":
        message["content"], finish = content[: len(content) // 2], "length"
    elif fault == "empty":
        message["content"] = ""
    reasoning = 64 if body.get("reasoning_effort", "none") not in ("none", "minimal") else 0
    output = min(cap, count_tokens(message["content"] or "") + reasoning)
    prompt = min(count_tokens(body.get("messages")), window or 1 << 30)
    usage = {
        "input_tokens": prompt,
        "cached_tokens": prompt // 4,
        "output_tokens": output,
        "reasoning_tokens": min(reasoning, output),
    }
    answer = {
        "id": f"chatcmpl-{digest[:12]}",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": f"{body.get('model')}-2026-01-01",
        "system_fingerprint": "fp_fake",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": usage["cached_tokens"]},
            "completion_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"]},
        },
    }
    return answer, usage


@dataclass
class _Upload:
    """The fields of a multipart form, as much of it as an upload needs."""

    fields: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def parse(cls, content_type: str, data: bytes) -> _Upload:
        boundary = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
        upload = cls()
        for part in data.split(boundary)[1:-1]:
            head, _, value = part.partition(b"\r\n\r\n")
            name = head.partition(b'name="')[2].partition(b'"')[0].decode()
            upload.fields[name] = value[:-2]
        return upload


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the test, not an error."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeOpenAI
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: object) -> None:
        """No line on stderr a request."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/fake/log":
            self._send(200, {"log": [asdict(entry) for entry in self.fake.log], "bill": self.fake.bill()})
        elif not self._authorized():
            self._error("auth")
        elif path == "/v1/models":
            listed = [{"id": name, "object": "model", "created": 0} for name in self.fake.profile.models]
            self._send(200, {"object": "list", "data": listed})
        elif path.startswith("/v1/files/"):
            self._file(path)
        elif path == "/v1/batches":
            self._send(200, {"object": "list", "data": list(self.fake.batches.values()), "has_more": False})
        elif path.startswith("/v1/batches/"):
            self._batch(path.split("/")[3])
        else:
            self._send(404, {"error": {"message": "no such path", "code": "not_found"}})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._authorized():
            self._error("auth")
        elif self.path == "/v1/chat/completions":
            self._chat(json.loads(data))
        elif self.path in self.fake.others:
            self._chat(json.loads(data), self.fake.others[self.path])
        elif self.path == "/v1/files":
            self._upload(data)
        elif self.path == "/v1/batches":
            self._create_batch(json.loads(data))
        elif self.path.startswith("/v1/batches/") and self.path.endswith("/cancel"):
            batch = self.fake.batches[self.path.split("/")[3]]
            self.fake.batch = "cancelled"
            self._send(200, batch | {"status": "cancelling"})
        else:
            self._send(404, {"error": {"message": "no such path", "code": "not_found"}})

    def _authorized(self) -> bool:
        return self.fake.key in ("", self.headers.get("Authorization", "").removeprefix("Bearer "))

    def _chat(self, body: Body, other: Callable[[Body], Body] | None = None) -> None:
        fake = self.fake
        digest, fault, attempt = fake.next_fault(body)
        kind, _, argument = fault.partition(":")
        time.sleep(fake.latency + (float(argument) if kind in ("slow", "stall") else 0))
        refusal = None if other else fake.profile.refuse(body, count_tokens(body.get("messages")))
        if refusal is not None:
            fake.record(digest, attempt, "refused", body, self.headers.get("Authorization", ""), {})
            self._send(*refusal)
            return
        answer, usage = None, {}
        if other is not None and kind in ("ok", "slow"):
            answer = other(body)
            billed = answer.get("usage", {})
            usage = {
                "input_tokens": billed.get("prompt_tokens", 0),
                "output_tokens": billed.get("completion_tokens", 0),
            }
        elif kind in ("ok", "slow", *ANSWER_FAULTS):
            wanted = {"duplicate": "duplicate", "wrong": "wrong"}.get(kind, "")
            content = fake.answer(body | {"fake": wanted} if wanted else body)
            if body.get("response_format") and not fake.profile.keeps_schema:
                content = fake.profile.chat
            answer, usage = completion(body, kind, content, digest, fake.profile.window)
            answer = fake.profile.shape(body, answer)
        fake.record(digest, attempt, fault, body, self.headers.get("Authorization", ""), usage)
        if answer is not None:
            self._send(200, fake.edit(answer), {"x-request-id": f"req_{digest[:8]}_{attempt}"})
        elif kind in ("drop", "stall"):
            self.close_connection = True
        elif kind == "html":
            self._raw(200, b"<html><body>Gateway sign-in</body></html>", {"Content-Type": "text/html"})
        elif kind == "badjson":
            self._raw(200, b'{"choices": [', {"Content-Type": "application/json"})
        elif kind == "nochoices":
            self._send(200, {"object": "chat.completion", "choices": []})
        else:
            self._error(kind, {"Retry-After": argument} if argument else {})

    def _upload(self, data: bytes) -> None:
        upload = _Upload.parse(self.headers["Content-Type"], data)
        with self.fake.lock:
            name = f"file-{len(self.fake.files)}"
            self.fake.files[name] = upload.fields["file"]
        self._send(200, self._describe(name))

    def _describe(self, name: str) -> Body:
        size = len(self.fake.files[name])
        return {
            "id": name,
            "object": "file",
            "bytes": size,
            "created_at": 0,
            "filename": "x",
            "purpose": "batch",
            "status": "processed",
        }

    def _file(self, path: str) -> None:
        name = path.split("/")[3]
        if name not in self.fake.files:
            self._send(404, {"error": {"message": "no such file", "code": "not_found"}})
        elif path.endswith("/content"):
            self._raw(200, self.fake.files[name], {"Content-Type": "application/octet-stream"})
        else:
            self._send(200, self._describe(name))

    def _create_batch(self, wanted: Body) -> None:
        with self.fake.lock:
            name = f"batch_{len(self.fake.batches)}"
            self.fake.batches[name] = {
                "id": name,
                "object": "batch",
                "endpoint": wanted["endpoint"],
                "input_file_id": wanted["input_file_id"],
                "completion_window": wanted["completion_window"],
                "metadata": wanted.get("metadata"),
                "status": "validating",
                "created_at": 0,
                "output_file_id": None,
                "error_file_id": None,
                "errors": None,
                "request_counts": {"total": 0, "completed": 0, "failed": 0},
            }
        self._send(200, self.fake.batches[name])

    def _batch(self, name: str) -> None:
        """One look moves a batch one state on: validating, in_progress, then its end."""
        batch = self.fake.batches.get(name)
        if batch is None:
            self._send(404, {"error": {"message": "no such batch", "code": "not_found"}})
            return
        if batch["status"] == "in_progress":
            finish_batch(self.fake, batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        self._send(200, batch)

    def _error(self, kind: str, headers: dict[str, str] | None = None) -> None:
        status, code, message, param = ERRORS[kind]
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        error = {"message": message.format(key=key), "type": "error", "param": param, "code": code}
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, content: Body, headers: dict[str, str] | None = None) -> None:
        self._raw(
            status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _raw(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def finish_batch(fake: FakeOpenAI, batch: Body) -> None:
    """Answer the lines of a batch, in another order; what was not answered in time is an error."""
    lines = [json.loads(line) for line in fake.files[batch["input_file_id"]].splitlines() if line.strip()]
    names = [line["custom_id"] for line in lines]
    if fake.batch == "failed" or len(set(names)) < len(names):
        error = {
            "code": "duplicate_custom_id",
            "line": 2,
            "message": "custom_id is not unique",
            "param": "custom_id",
        }
        batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
        return
    random.Random(0).shuffle(lines)
    early = fake.batch in ("expired", "cancelled")
    answered = lines[: len(lines) // 2] if early else lines
    done, failed = [], []
    for line in answered:
        _batch_line(fake, line, done, failed)
    for line in lines[len(answered) :]:
        error = {"code": f"batch_{fake.batch}", "message": "This request could not be executed in time."}
        failed.append({"id": "batch_req", "custom_id": line["custom_id"], "response": None, "error": error})
    with fake.lock:
        for which, rows in (("output_file_id", done), ("error_file_id", failed)):
            if rows:
                batch[which] = f"file-{len(fake.files)}"
                fake.files[batch[which]] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    batch["status"] = fake.batch if early else "completed"
    batch["request_counts"] = {"total": len(lines), "completed": len(done), "failed": len(failed)}


def _batch_line(fake: FakeOpenAI, line: Body, done: list[Body], failed: list[Body]) -> None:
    body = line["body"]
    digest, fault, attempt = fake.next_fault(body)
    kind = "500" if fake.batch == "all_failed" else fault.partition(":")[0]
    row = {"id": f"batch_req_{digest[:8]}", "custom_id": line["custom_id"], "error": None}
    if kind in ("ok", *ANSWER_FAULTS):
        answer, usage = completion(body, kind, fake.answer(body), digest)
        done.append(
            row
            | {"response": {"status_code": 200, "request_id": f"req_{digest[:8]}", "body": fake.edit(answer)}}
        )
    else:
        usage = {}
        status, code, message, param = ERRORS.get(kind, ERRORS["500"])
        error = {"error": {"message": message, "type": "error", "param": param, "code": code}}
        failed.append(row | {"response": {"status_code": status, "request_id": "req", "body": error}})
    fake.record(digest, attempt, f"batch {kind}", body, "", usage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0, help="share of attempts that fail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--faults", default="", help="comma-separated; all but long ones by default")
    parser.add_argument("--key", default="", help="the only key accepted")
    parser.add_argument("--batch", default="completed")
    given = parser.parse_args()
    faults = given.faults.split(",") if given.faults else ()
    plan = random_plan(given.rate, given.seed, faults)
    with FakeOpenAI(plan, port=given.port, latency=given.latency, key=given.key, batch=given.batch) as fake:
        print(fake.url, flush=True)
        fake.thread.join()


if __name__ == "__main__":
    main()
