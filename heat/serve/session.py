"""One run of `heat serve`: a model, a history, a queue, and what the server answers from them."""

from __future__ import annotations

import hashlib
import secrets
import threading
from functools import lru_cache
from typing import Any

from heat.attribution import Attribution
from heat.model import LanguageModel
from heat.serve.catalog import catalog
from heat.serve.downloads import KINDS, Found, download
from heat.serve.history import Attributed, History
from heat.serve.planning import Planner
from heat.serve.runs import NoSuchRunError, Run
from heat.serve.view import layer, text
from heat.serve.wire import DownloadRequest, ExplainRequest, Item, Submission
from heat.serve.worker import Worker

# Attributions of the history that stay in memory.
_KEPT = 16


class Session:
    """What the server answers from.

    Args:
        lm: The model.
        history: The open history.
        model: The options of `heat explain` that name the model; none for the embedded reader.
        restart: The command that serves open pages again, shown when the server is gone.
    """

    def __init__(
        self, lm: LanguageModel, history: History, *, model: tuple[str, ...] = (), restart: str = ""
    ) -> None:
        running = threading.Lock()
        self.worker = Worker(lm, history, running)
        self._planner = Planner(lm, running, self.worker.awaits_the_model)
        self._lm = lm
        self._history = history
        self._model = model
        self._restart = restart
        self._drawing = threading.Lock()  # matplotlib draws one picture at a time
        self._boot = secrets.token_hex(8)
        what = f"{lm.name}\n{lm.revision}\n{lm.dtype}\n{history.folder.resolve()}"
        self.id = hashlib.sha256(what.encode()).hexdigest()[:16]
        self._attribution = lru_cache(maxsize=_KEPT)(self._load)

    def describe(self) -> dict[str, Any]:
        """What the page must know before it shows anything."""
        tokenizer = self._lm.tokenizer
        return {
            "session": self.id,
            "model": self._lm.name,
            "dtype": str(self._lm.dtype).removeprefix("torch."),
            "device": str(self._lm.device),
            "context": self._lm.context_length,
            "chat": bool(getattr(tokenizer, "chat_template", None)),
            "history": str(self._history.folder),
            "restart": self._restart,
            "methods": catalog(self._lm),
        }

    def state(self, boot: str, version: int) -> dict[str, Any]:
        """The runs that changed after a version of this server; all of them for a page that knew another."""
        changed = self.worker.runs.since(version if boot == self._boot else -1)
        return {"boot": self._boot, "session": self.id, **changed}

    def plan(self, request: ExplainRequest) -> dict[str, Any]:
        """What a request will cost; see `Planner.plan`."""
        return self._planner.plan(request)

    def submit(self, submission: Submission) -> dict[str, Any]:
        """Take a request; see `Worker.submit`."""
        return {"id": self.worker.submit(submission.request, submission.key).id}

    def cancel(self, run: str) -> dict[str, Any]:
        """End a run, or take it out of the queue."""
        self.worker.cancel(run)
        return {"id": run}

    def request(self, run: str) -> dict[str, Any]:
        """What was asked."""
        asked = self.worker.runs.get(run).asked
        return {"id": asked.run, "model": asked.model, "request": asked.request.model_dump()}

    def text(self, run: str) -> dict[str, Any]:
        """The text of a run with its answer, which all of its methods share, for the page.

        Raises:
            NoSuchRunError: No method of it is done.
        """
        index = min(self.worker.runs.get(run).results, default=0)
        found = self._result(self.worker.runs.get(run), index)
        return text(self._attribution(run, index), found.answer, found.foils)

    def layer(self, run: str, index: int) -> dict[str, Any]:
        """What one method of a run found, for the page."""
        found = self._result(self.worker.runs.get(run), index)
        return layer(self._attribution(run, index), found.notes)

    def download(self, kind: str, wanted: DownloadRequest) -> bytes:
        """What methods of one or two runs found, as one file.

        Raises:
            NoSuchRunError: There is no such file.
        """
        if kind not in KINDS:
            raise NoSuchRunError(f"there are downloads as {', '.join(KINDS)}")
        found = [self._found(item) for item in wanted.items]
        with self._drawing:
            return download(kind, found, wanted)

    def _found(self, item: Item) -> Found:
        run = self.worker.runs.get(item.run)
        kept = self._result(run, item.index)
        attribution = self._attribution(item.run, item.index)
        own = run.asked.model == self._lm.name
        return Found(
            attribution,
            run.asked.request,
            self._model if own else ("--model", run.asked.model),
            None if kept.answer is None else kept.answer.restored(attribution),
            item.parts,
        )

    def _load(self, run: str, index: int) -> Attribution:
        return self._history.attribution(self._result(self.worker.runs.get(run), index))

    def _result(self, run: Run, index: int) -> Attributed:
        if index not in run.results:
            raise NoSuchRunError("this method of the run has no result")
        return run.results[index]
