"""What a request will cost, said while it is typed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from heat.cost.plan import Speed, calibrate, plan
from heat.cost.shape import shape_of
from heat.encoding import Encoded, check_generated, check_length, encode
from heat.internals.passes import Passes, counted_passes
from heat.model import LanguageModel
from heat.serve.explain import methods_of
from heat.serve.wire import ExplainRequest

# Of timing, once for each doubling of a text's length; and tokens of a full batch there, as a person waits for it.
_SECONDS = 0.5
_BATCH_TOKENS = 512


class _GiveWayError(BaseException):
    """Ends the timing where a run waits for the model."""


class Planner:
    """Plans requests for a model; times its passes when nothing else runs on it.

    Args:
        lm: The model.
        model_lock: Held while the model runs.
        awaited: Whether a run waits for the lock; timing then ends at the next block.
    """

    def __init__(
        self, lm: LanguageModel, model_lock: threading.Lock, awaited: Callable[[], bool] = lambda: False
    ) -> None:
        self._lm = lm
        self._model = model_lock
        self._awaited = awaited
        self._shape = shape_of(lm.model.config, lm.name)
        self._speeds: dict[int, Speed] = {}

    def plan(self, request: ExplainRequest) -> dict[str, Any]:
        """Costs of each method; computes no attribution, and lets the model say nothing.

        Args:
            request: The request. Of an answer that the model is still to give, it plans the longest.

        Returns:
            Tokens and targets, and for each method its parts in forward-equivalents and seconds, the seconds None while
            the model is busy and no text of that length was timed.

        Raises:
            HeatError: The request cannot be explained.
        """
        methods = methods_of(request, self._lm)
        encoded = self._encoded(request)
        for method in methods:
            if not method.splits_prompt:
                check_length(self._lm, len(encoded.token_ids))
        speed = self._speed(encoded)
        rows = []
        for method in methods:
            found = plan(self._lm, encoded, method, speed or Speed(0.0, 0.0), shape=self._shape)
            rows.append(
                {
                    "method": found.method,
                    "passes": dict(found.forward_equivalents),
                    "seconds": None if speed is None else sum(found.seconds.values()),
                    "peak_bytes": found.peak_bytes,
                }
            )
        return {"tokens": encoded.n_prompt, "targets": encoded.n_targets, "methods": rows}

    def _encoded(self, request: ExplainRequest) -> Encoded:
        if request.target is not None:
            return encode(self._lm, request.asked, request.target, max_targets=request.max_targets)
        check_generated(request.max_targets)
        # Some token stands for each that the model will say: only their number counts.
        stand_in = self._lm.bos_token_id or 0
        one = encode(self._lm, request.asked, (stand_in,))
        return Encoded(one.token_ids[:-1] + (stand_in,) * request.max_targets, one.n_prompt, one.text, None)

    def _speed(self, encoded: Encoded) -> Speed | None:
        length = len(encoded.token_ids).bit_length()
        if length not in self._speeds and self._model.acquire(blocking=False):
            try:
                with counted_passes(self._lm.model, self._give_way):
                    self._speeds[length] = calibrate(
                        self._lm, encoded, seconds=_SECONDS, batch_tokens=_BATCH_TOKENS
                    )
            except _GiveWayError:
                pass
            finally:
                self._model.release()
        if length in self._speeds:
            return self._speeds[length]
        nearest = min(self._speeds, key=lambda known: abs(known - length), default=None)
        return None if nearest is None else self._speeds[nearest]

    def _give_way(self, _: Passes) -> None:
        if self._awaited():
            raise _GiveWayError
