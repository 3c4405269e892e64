"""The annotator ``mock``: a rule's answer with seeded noise and seeded failures, for tests and dry runs."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.annotators.clause import CLAUSE
from annotate.annotators.offline import RuleAnnotator, answer_words, paragraph_request, read_words
from annotate.annotators.options import parse_options, rate, seconds, whole
from annotate.annotators.overlap import OVERLAP
from annotate.errors import UnknownNameError
from annotate.protocol import Reading, Request, Response
from annotate.schema import Paragraph, Status
from annotate.words import is_content

_BASES = {rule.name: rule for rule in (CLAUSE, OVERLAP)}
_FAILURES: tuple[Status, ...] = ("refused", "filtered", "truncated", "invalid_output", "error")


@dataclass(frozen=True)
class MockAnnotator:
    """Flips each word of a rule's answer with probability ``noise``, and fails with probability ``fail``.

    Randomness is seeded by ``seed``, the paragraph's text and the repetition, so the same request always gets
    the same answer. Punctuation is never flipped.

    Attributes:
        base: The rule that answers before noise.
        noise: Probability that a word's mark is flipped.
        fail: Probability that a paragraph fails.
        seed: Seed of noise and failures.
        delay: Seconds each answer takes; it changes no answer and is no part of the name.
    """

    base: RuleAnnotator
    noise: float
    fail: float
    seed: int
    delay: float
    deterministic: bool = True

    @property
    def name(self) -> str:
        """``mock:`` with the options that change answers."""
        fail = f",fail={self.fail:g}" if self.fail else ""
        base = f",base={self.base.name}" if self.base is not OVERLAP else ""
        return f"mock:noise={self.noise:g},seed={self.seed}{fail}{base}"

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """One request per paragraph and repetition."""
        return None if earlier else paragraph_request(paragraph, repeat, self.name, self.base.version)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """The rule's answer, disturbed."""
        time.sleep(self.delay)
        rng = random.Random(f"{self.seed}|{paragraph.text_sha256}|{request.repeat}")
        if rng.random() < self.fail:
            return Response(status=rng.choice(_FAILURES), detail="a failure made by the mock annotator")
        words = [i for i, text in enumerate(paragraph.word_texts()) if is_content(text)]
        flipped = {i for i in words if rng.random() < self.noise}
        return answer_words(self.base.mark(paragraph) ^ flipped)

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        """Read the words marked."""
        return read_words(paragraph, answers)


def build_mock(options: str, seed: int) -> MockAnnotator:
    """Make the annotator of ``mock:noise=0.1,seed=0,base=overlap,fail=0,delay=0``.

    Args:
        options: What stands after the colon.
        seed: The seed when the options name none.

    Raises:
        LabelError: An option is unknown or out of range.
    """
    given = parse_options("mock", options, ("noise", "seed", "base", "fail", "delay"))
    base = given.get("base", "overlap")
    if base not in _BASES:
        raise UnknownNameError("base of the mock annotator", base, sorted(_BASES))
    return MockAnnotator(
        base=_BASES[base],
        noise=rate("mock", "noise", given.get("noise", "0.1")),
        fail=rate("mock", "fail", given.get("fail", "0")),
        seed=whole("mock", "seed", given.get("seed", str(seed))),
        delay=seconds("mock", "delay", given.get("delay", "0")),
    )
