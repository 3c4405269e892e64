"""Paraphrases by a language model, through the annotators' client, scheduler and ledger: paid for once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotate.annotators.openai import OpenAIAnnotator, build_openai
from annotate.errors import AnnotateError, LabelError
from annotate.files import write_records
from annotate.formats import DEFAULT_FORMAT, FormatError
from annotate.label_files import file_stem
from annotate.ledger.conversation import recorded
from annotate.ledger.ledger import Attempt, Attempts, Ledger, read_ledger
from annotate.ledger.questions import Question, Questions
from annotate.online.completion import read_completion
from annotate.online.limits import DEFAULT_LIMITS, Budget, Limits
from annotate.online.scheduler import Tally, collect_online
from annotate.online.transport import Endpoint
from annotate.schema import Paragraph, Record, Status
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.robustness.body import body_sentences
from evaluate.robustness.llm_format import ParaphraseFormat, paraphrase_format, shown
from evaluate.robustness.rewriting import Change, Rewriting, rewritten
from evaluate.robustness.rules import by_lemma
from evaluate.tasks.task import Example

SCHEME = "openai:"
LEDGER = "paraphrases-ledger.jsonl"


@dataclass(frozen=True)
class Asking:
    """Where and how language models are asked.

    Attributes:
        endpoint: Where requests are sent.
        limits: How fast.
        budget: What may be spent, by all of them together.
        on_progress: Progress callback.
    """

    endpoint: Endpoint = field(default_factory=Endpoint)
    limits: Limits = DEFAULT_LIMITS
    budget: Budget = field(default_factory=lambda: Budget(None))
    on_progress: Progress = no_progress


class Paraphrase(Record):
    """What became of one text.

    Attributes:
        example: Id of the example.
        status: ``ok``, or why there is none, as of a label.
        lines: The reworded lines of the part that tells; empty where there are none.
        model: The model that answered, as the server names it.
        detail: What went wrong.
    """

    example: str
    status: Status
    lines: tuple[str, ...] = ()
    model: str = ""
    detail: str = ""


class LLMParaphraser:
    """Has a language model say every text in other words; words meet by lemma, line by line.

    Args:
        name: ``openai:MODEL,key=value,...`` as the annotator of that name takes it, without ``format``. It is also the
            name of the rewriting.
        folder: Results folder. Every attempt is in its `LEDGER`, and what became of each text in a
            ``paraphrases-NAME.jsonl``.
        asking: Where and how it is asked.

    Attributes:
        annotator: Who is asked.
        failed: Status to the number of texts without a paraphrase, of the last call.

    Raises:
        LabelError: The name or one of its options is wrong.
        UnknownNameError: So is an option's value.
    """

    def __init__(self, name: str, folder: Path, asking: Asking) -> None:
        self.kinds: tuple[str, ...] = (name,)
        self.failed: dict[str, int] = {}
        self._format = paraphrase_format()
        self.annotator = paraphrasing(name, asking.endpoint, self._format)
        self._folder, self._asking = folder, asking

    def rewrite(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """The paraphrase of each text that has one; what the ledger answers is not asked again.

        Raises:
            BudgetError: The next request could cost more than may be spent.
            EndpointError: There is no key, or the endpoint will not serve this run.
            IncompleteError: The run was interrupted, or the endpoint is down.
            LabelError: There is no price where cost is limited, or not one paraphrase.
        """
        texts = {example.id: text for example in examples if (text := shown(example)) is not None}
        asked, name = list(texts.values()), self.annotator.name

        def show(tally: Tally) -> None:
            self._asking.on_progress(f"paraphrases, {name}", tally.done, len(asked))

        with Ledger(self._folder / LEDGER) as ledger:
            limits, budget = self._asking.limits, self._asking.budget
            _, stop = collect_online(Questions(asked), self.annotator, ledger, limits, budget, show=show)
            labels = {text.id: self._read(text, ledger.attempts) for text in asked}
        path = self._folder / f"paraphrases-{file_stem(name)}.jsonl"
        write_records(path, labels.values())
        statuses = Counter(label.status for label in labels.values())
        self.failed = {status: count for status, count in sorted(statuses.items()) if status != "ok"}
        if stop is not None:
            raise _stopped(stop, name, statuses)
        if asked and not statuses["ok"]:
            raise LabelError(f"{name} paraphrased no text: {next(iter(labels.values())).detail}; see {path}")
        return [self._rewritings(example, labels.get(example.id)) for example in examples]

    def _read(self, text: Paragraph, attempts: Attempts) -> Paraphrase:
        """What the recorded answers say."""
        answers = recorded(self.annotator, Question(text), attempts).responses
        if not answers:
            return Paraphrase(example=text.id, status="missing", detail="not asked yet")
        reading, model = self.annotator.read(text, answers), answers[-1].model
        if reading.status != "ok":
            return Paraphrase(example=text.id, status=reading.status, model=model, detail=reading.detail)
        try:
            lines = self._format.lines(text, read_completion(answers[-1].raw).content)
        except FormatError as error:  # known as good for the same text with another answer
            return Paraphrase(example=text.id, status="invalid_output", model=model, detail=str(error))
        return Paraphrase(example=text.id, status="ok", lines=lines, model=model)

    def _rewritings(self, example: Example, said: Paraphrase | None) -> list[Rewriting]:
        if said is None or said.status != "ok":
            return []
        changes = []
        for line, new in zip(body_sentences(example), said.lines, strict=True):
            start, end = line[0][0], line[-1][1]
            changes.append(Change(start, end, new, by_lemma(example.prompt[start:end], new, start)))
        rewriting = rewritten(example, self.kinds[0], changes)
        return [] if rewriting is None else [rewriting]


def paraphrasing(name: str, endpoint: Endpoint, asked: ParaphraseFormat) -> OpenAIAnnotator:
    """The annotator that asks for paraphrases.

    Args:
        name: ``openai:MODEL,key=value,...``.
        endpoint: Where it is asked.
        asked: What it is asked for.

    Raises:
        LabelError: The name or one of its options is wrong.
        UnknownNameError: So is an option's value.
    """
    annotator = build_openai(name.removeprefix(SCHEME), endpoint)
    if annotator.format.name != DEFAULT_FORMAT:
        raise LabelError(f"paraphraser {name}: a paraphrase has one format; leave out format=")
    return replace(annotator, format=asked)


def _stopped(stop: AnnotateError, name: str, statuses: Counter[Status]) -> AnnotateError:
    """The error that ends the run, with how far it came."""
    return type(stop)(
        f"{name}: {stop}; {statuses['ok']:,} of {statuses.total():,} texts are paraphrased so far;"
        " answers are kept, re-run the command to resume"
    )


def spent(folder: Path) -> list[str]:
    """A sentence on each language model that was asked for paraphrases, over all runs; none where none was.

    Args:
        folder: Results folder.
    """
    by_name: dict[str, list[Attempt]] = {}
    for row in read_ledger(folder / LEDGER).rows:
        by_name.setdefault(row.annotator, []).append(row)
    lines = []
    for name, rows in by_name.items():
        costs = [row.cost_usd for row in rows if row.usage is not None]
        known = [cost for cost in costs if cost is not None]
        money = f"${sum(known):.4f}" if len(known) == len(costs) else "cost not known"
        lines.append(f"{name}: {len(rows):,} attempts in {LEDGER}, {money}")
    return lines
