"""Put examples to a model and attribute its answers, once; what is in the store is not computed again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from evaluate.engine import Engine, Failure, engine_of, only, stateless
from evaluate.errors import EvaluateError, NoFoilError, StoreError
from evaluate.pipeline.answers import OwnAnswer, exact_match, own_answers, probabilities, token_f1
from evaluate.pipeline.store import FAILED, Item, Scratch, Settings, Store, Timing, attribution_key, item_key
from evaluate.tasks.task import Example, Target, Task

if TYPE_CHECKING:
    from heat import Attribution, Encoded, LanguageModel
    from heat.errors import HeatError

# A killed run loses at most this many examples of one method.
CHUNK = 8

# `all` leaves out what costs more than this many times integrated gradients, on a prompt of this many tokens.
COSTLY = 10
COSTLY_AT_TOKENS = 100
RANDOM = "random"

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many examples are done, and how many there are."""


def no_progress(what: str, done: int, total: int) -> None:
    """Say nothing."""


def chunks(examples: Sequence[T]) -> list[Sequence[T]]:
    """Cut examples into the pieces that are computed, and saved, together."""
    return [examples[start : start + CHUNK] for start in range(0, len(examples), CHUNK)]


def settings_of(
    lm: LanguageModel, seed: int = 0, *, target: Target = "first", task: Task | None = None
) -> Settings:
    """What the attributions of one run have in common.

    Args:
        lm: The model.
        seed: Seed of the methods and of the bootstrap.
        target: Which answer tokens are attributed.
        task: How it is put to the model and read; ``None`` for the defaults.

    Raises:
        StoreError: The model does not say which revision it is, so that its results could not be told from
            others.
    """
    from heat.attribution import SCHEMA_VERSION as ATTRIBUTION_SCHEMA

    if lm.revision == "unknown":
        raise StoreError(
            f"the model {lm.name!r} states no revision, so results could be mixed up; build it with "
            "LanguageModel(..., revision=...)"
        )
    return Settings(
        model=lm.name,
        revision=lm.revision,
        dtype=str(lm.dtype).removeprefix("torch."),
        seed=seed,
        target=target,
        attribution_schema=ATTRIBUTION_SCHEMA,
        **({} if task is None else task.settings()),
    )


def why_only_named(name: str) -> str:
    """Why `all` leaves a method out; empty where it does not."""
    import heat
    from heat.registry import build

    method, n_tokens = build(name, {}), COSTLY_AT_TOKENS
    if not method.is_installed():
        return f"needs the extra '{method.extra}'"
    if method.cost(n_tokens, 1) > COSTLY * heat.methods()["integrated-gradients"]().cost(n_tokens, 1):
        return f"costs more than {COSTLY} times integrated gradients"
    return method.only_named


def chosen_methods(names: Sequence[str]) -> list[str]:
    """Names without repetition, and `random` beside them, which every figure has to be read against.

    ``all`` stands for every registered method but those that `why_only_named` has a reason for.

    Raises:
        UnknownMethodError: No method has one of the names; the message lists those that exist.
        MissingExtraError: A method was named whose extra is not installed.
    """
    import heat
    from heat.errors import MissingExtraError
    from heat.registry import build

    known = [name for name in heat.methods() if not why_only_named(name)]
    chosen = [method_name for name in names for method_name in (known if name == "all" else [name])]
    methods = [build(name, {}) for name in dict.fromkeys([*chosen, RANDOM])]
    for method in methods:
        if not method.is_installed():
            raise MissingExtraError(
                f"'{method.name}' needs an extra: pip install 'heat-alignment[{method.extra}]'"
            )
    return [method.name for method in methods]


def settings_on(
    engine: Engine, seed: int = 0, *, target: Target = "first", task: Task | None = None
) -> Settings:
    """`settings_of` the model that an engine holds."""
    # The task without its examples: it may be sent to another machine.
    bare = None if task is None else replace(task, examples=())
    return only(engine, partial(settings_of, target=target, task=bare), seed)


def without_obstacle(
    names: Sequence[str], lm: LanguageModel | Engine, named: Sequence[str] = ()
) -> list[str]:
    """The methods that can explain a model.

    Args:
        names: Methods.
        lm: The model, or an engine that holds it.
        named: Those among them that the user asked for by name.

    Raises:
        UnsupportedModelError: One of these cannot.
    """
    from heat.errors import UnsupportedModelError

    obstacles = only(engine_of(lm), _obstacles, names)
    for name, obstacle in obstacles.items():
        if obstacle and name in named:
            raise UnsupportedModelError(f"{obstacle}; use another method")
    return [name for name in names if not obstacles[name]]


def _obstacles(lm: LanguageModel, names: Sequence[str]) -> dict[str, str]:
    import heat

    return {name: heat.methods()[name].obstacle(lm) for name in names}


def default_config(method: str) -> dict[str, Any]:
    """The configuration a method runs with.

    Raises:
        UnknownMethodError: No method has that name; the message lists those that exist.
    """
    from heat.registry import build

    return build(method, {}).config()


def encode(lm: LanguageModel, example: Example, target: Target, *, contrast: bool = False) -> Encoded:
    """The prompt and as much of its target as is attributed, in tokens with verified offsets.

    Args:
        lm: The model.
        example: What is put to it.
        target: Which target tokens.
        contrast: Whether they are explained against the example's foil.

    Raises:
        HeatError: The text does not fit the model or its tokenizer.
        NoFoilError: The example has no foil.
    """
    import heat

    if contrast and not example.foil:
        raise NoFoilError(f"example {example.id} has no foil; use --no-foil")
    return heat.encode(
        lm,
        example.prompt,
        example.target,
        foil=example.foil if contrast else None,
        max_targets=1 if target == "first" else None,
        special_tokens=example.special_tokens,
    )


def prepare(
    store: Store,
    engine: Engine,
    examples: Sequence[Example],
    settings: Settings,
    on_progress: Progress = no_progress,
) -> list[Item]:
    """Find out which examples can be put to the model, and what it answers.

    Returns:
        One item an example, in order. What cannot be run is a row with a reason, never left out.
    """
    fresh = [example for example in examples if item_key(example, settings) not in store.items]
    done = len(examples) - len(fresh)
    on_progress("answers", done, len(examples))
    broken: list[Example] = []
    work = stateless(partial(_items, settings=settings))
    for chunk, result in engine.map(work, chunks(fresh)):
        if isinstance(result, Failure):
            broken += chunk
            continue
        store.add_items(result)
        done += len(chunk)
        on_progress("answers", done, len(examples))
    # One bad example must not take the others of its chunk with it.
    for chunk, result in engine.map(work, [[example] for example in broken]):
        store.add_items([_failed(chunk[0], settings, result)] if isinstance(result, Failure) else result)
        done += 1
        on_progress("answers", done, len(examples))
    return [
        store.items[item_key(example, settings)].model_copy(update={"example_id": example.id})
        for example in examples
    ]


def _items(lm: LanguageModel, examples: Sequence[Example], settings: Settings) -> list[Item]:
    """Items of some examples, whose answers are asked for together."""
    from heat.errors import HeatError

    # By place: copies of an example may bear the same name.
    encodings: dict[int, tuple[Encoded, Encoded]] = {}
    items: dict[int, Item] = {}
    for place, example in enumerate(examples):
        try:
            encodings[place] = _encodings(lm, example, settings)
        except (HeatError, EvaluateError) as error:
            items[place] = Item(
                key=item_key(example, settings),
                example_id=example.id,
                status="skipped",
                reason=_kind(error),
                detail=" ".join(str(error).split()),
            )
    asked = [examples[place] for place in encodings]
    wholes = [whole for _, whole in encodings.values()]
    answers = own_answers(lm, asked, wholes)
    chances = probabilities(lm, wholes)
    for place, answer, chance in zip(encodings, answers, chances, strict=True):
        items[place] = _item(lm, examples[place], settings, *encodings[place], answer, chance)
    return [items[place] for place in range(len(examples))]


def _failed(example: Example, settings: Settings, failed: Failure) -> Item:
    return Item(
        key=item_key(example, settings),
        example_id=example.id,
        status="skipped",
        reason=FAILED,
        detail=f"tried {failed.tries} times: {failed.error}",
    )


def _encodings(lm: LanguageModel, example: Example, settings: Settings) -> tuple[Encoded, Encoded]:
    """An example with the target that is attributed, and with its whole target; both fit the model."""
    from heat.encoding import check_length
    from heat.projection import projection

    encoded = encode(lm, example, settings.target, contrast=settings.contrast)
    _check_length(lm, encoded)
    projection(encoded.text, example.words, encoded.offsets or ())
    check_length(lm, encoded.n_prompt + 1)
    whole = encode(lm, example, "all")
    _check_length(lm, whole)
    return encoded, whole


def _item(
    lm: LanguageModel,
    example: Example,
    settings: Settings,
    encoded: Encoded,
    whole: Encoded,
    own: OwnAnswer,
    chance: float,
) -> Item:
    return Item(
        key=item_key(example, settings),
        example_id=example.id,
        status="ok",
        tokens=len(encoded.token_ids),
        target_tokens=whole.n_targets,
        expected=_spelling(lm, int(encoded.token_ids[encoded.n_prompt])),
        answered=_spelling(lm, own.first),
        answer=own.text,
        correct=exact_match(own.text, example.target),
        f1=token_f1(own.text, example.target),
        probability=chance,
    )


def _check_length(lm: LanguageModel, encoded: Encoded) -> None:
    from heat.errors import PromptTooLongError

    limit = lm.context_length
    if limit is not None and len(encoded.token_ids) > limit:
        raise PromptTooLongError(f"{len(encoded.token_ids)} tokens, and '{lm.name}' takes {limit}")


def _spelling(lm: LanguageModel, token: int) -> str:
    return "" if lm.tokenizer is None else str(lm.tokenizer.decode([token]))


def _kind(error: Exception) -> str:
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def attributions(
    store: Store | Scratch,
    lm: LanguageModel,
    chunk: Sequence[Example],
    method: str,
    settings: Settings,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[Attribution | HeatError], int]:
    """One method's attributions of a chunk of examples, from the store or computed and stored.

    If any is missing the whole chunk is computed, in the batch it would have been in without interruption:
    another batch rounds differently, and a resumed run is to give the bytes of an unbroken one. Where another method's
    attributions hold all the parts (HEAT's do for its ablations) they are put together from these; no clock is read
    then, as it would not show what the method costs.

    Args:
        store: Where attributions are kept.
        lm: The model.
        chunk: Examples that the model can take (`prepare`).
        method: Registered name.
        settings: Of this run.
        clock: Seconds, monotonic.

    Returns:
        The attributions in order, in place of one the error by which the method refused it or gave numbers
        that are not finite; and how many were computed for the store.
    """
    from heat.errors import HeatError

    config = default_config(method)
    keys = [attribution_key(example, settings, method, config) for example in chunk]
    missing = {key for key in keys if not store.has(key)}
    failed: dict[str, HeatError] = {}
    if missing:
        computed = _recombined(store, chunk, method, settings)
        if computed is None:
            started = clock()
            computed = _compute(lm, chunk, method, settings)
            seconds = (clock() - started) / len(chunk)
            store.add_timings(
                [Timing(attribution=key, method=method, seconds=seconds) for key in sorted(missing)]
            )
        for key, attribution in zip(keys, computed, strict=True):
            if isinstance(attribution, HeatError):
                failed[key] = attribution
            elif key in missing:
                store.save(key, attribution)
    return [failed.get(key) or store.load(key) for key in keys], len(missing)


def _recombined(
    store: Store | Scratch, chunk: Sequence[Example], method: str, settings: Settings
) -> list[Attribution | HeatError] | None:
    """A method's attributions of a chunk, from parts that are stored; None where some are not."""
    import heat
    from heat.errors import ConfigError
    from heat.parts import sources
    from heat.registry import build

    for source in sources(build(method, {}), n_tokens=1):
        config = default_config(source)
        keys = [attribution_key(example, settings, source, config) for example in chunk]
        if all(store.has(key) for key in keys):
            try:
                return [heat.recombine(store.load(key), method) for key in keys]
            except ConfigError:
                # What two methods have in common may depend on a prompt's length.
                continue
    return None


def _compute(
    lm: LanguageModel, chunk: Sequence[Example], method: str, settings: Settings
) -> list[Attribution | HeatError]:
    import heat
    from heat.errors import HeatError

    def compute(part: Sequence[Example]) -> list[Attribution | HeatError]:
        encodings = [encode(lm, example, settings.target, contrast=settings.contrast) for example in part]
        return [*heat.attribute_batch(lm, encodings, [None] * len(part), method, seed=settings.seed)]

    def compute_one(example: Example) -> list[Attribution | HeatError]:
        try:
            return compute([example])
        except HeatError as error:
            return [error]

    try:
        return compute(chunk)
    except HeatError:
        # One bad example must not take the others of its chunk with it.
        return [attribution for example in chunk for attribution in compute_one(example)]
