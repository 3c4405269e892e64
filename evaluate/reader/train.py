"""Train the embedded reader: tokenizer, model, curriculum. Reproduces from its command on the same machine type."""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.files import write_atomic
from annotate.sources.sample.world import World, load_world
from evaluate.reader.corpus import Lesson, Level, lessons

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Recipe:
    """What decides the trained reader. The default curriculum drills first, on few nouns, and asks later.

    Attributes:
        batch: Paragraphs a step.
        learning_rate: Peak rate of AdamW.
        warm_up: Steps of linear warm-up.
        levels: The curriculum, level by level.
        promote: Accuracy over the last 50 steps, on the answers or, where none are asked for, on the drilled nouns,
            that opens the next level.
        finish: Steps at the last level, with the rate falling as a cosine to a hundredth of its peak.
        most: Steps after which the last level begins even if the levels before were not passed.
        text_share: Share of the tokens outside the answers that are predicted too, drawn anew each step.
        text_weight: Weight of their mean loss beside the mean loss of the answers.
        vocabulary: Size of the byte-level BPE.
        width: Hidden size.
        feed_forward: Inner size of the feed-forward layers.
        layers: Decoder blocks.
        heads: Attention heads.
        context: Longest input in tokens.
        seed: Seed of the initial weights, the corpus and the shuffling.
        threads: CPU threads.
    """

    batch: int = 32
    learning_rate: float = 6e-4
    warm_up: int = 50
    levels: tuple[Level, ...] = (
        Level(nouns=4, facts=(2, 3), narrative=0.0, drill=1.0, questions=0),
        Level(nouns=12, facts=(2, 3), narrative=0.0, drill=1.0, questions=0),
        Level(nouns=12, facts=(2, 3), narrative=0.0, drill=1.0, questions=2),
        Level(nouns=12, facts=(3, 5), narrative=0.0, drill=1.0, questions=2),
        Level(nouns=12, facts=(3, 5), narrative=0.5, drill=0.5, questions=2),
        Level(nouns=12, facts=(3, 5), narrative=0.95, drill=0.05, questions=2),
    )
    promote: float = 0.88
    finish: int = 2000
    most: int = 3000
    text_share: float = 0.15
    text_weight: float = 0.3
    vocabulary: int = 3072
    width: int = 160
    feed_forward: int = 432
    layers: int = 4
    heads: int = 4
    context: int = 512
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step: its number, the means of the last 50 steps, and the level."""

    step: int
    answer_loss: float
    text_loss: float
    accuracy: float
    level: int


def build_tokenizer(world: World, recipe: Recipe) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the sample world.

    Args:
        world: The sample world; text is drawn from its training patterns.
        recipe: Its ``vocabulary``, ``context`` and ``seed`` are used.

    Returns:
        A fast tokenizer with ``<bos>``, ``<eos>`` and ``<pad>``; it puts ``<bos>`` first.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=["<bos>", "<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(f"tokenizer|{recipe.seed}")
    sample = islice(lessons(world, rng, recipe.levels[-1]), 20000)
    tokenizer.train_from_iterator((lesson.text for lesson in sample), trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)]),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        model_max_length=recipe.context,
    )


def build_model(recipe: Recipe) -> LlamaForCausalLM:
    """A fresh model of the recipe's shape, float32, with tied embeddings, started where answering is easy to learn.

    The first block attends to near tokens: equal query and key biases under rotary positions peak at distance zero and
    fall off, so that a noun carries the words around it. Every other block starts with its key map equal to its query
    map, and every block with its output map as the transpose of its value map (mimetic initialisation, Trockman and
    Kolter 2023): attention then begins by finding equal tokens and copying what they carry.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        attention_bias=True,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        initializer_range=0.02,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(recipe.seed)
        model = LlamaForCausalLM(config)
        model.model.embed_tokens.weight.normal_(std=1.5 * recipe.width**-0.5)
        for index, block in enumerate(model.model.layers):
            attention = block.self_attn
            find, copy = (torch.linalg.qr(torch.randn(recipe.width, recipe.width)).Q for _ in range(2))
            attention.v_proj.weight.copy_(0.5 * copy)
            attention.o_proj.weight.copy_(0.5 * copy.T)
            if index == 0:
                attention.q_proj.bias.fill_(0.8)
                attention.k_proj.bias.fill_(0.8)
            else:
                attention.q_proj.weight.copy_(1.2 * find)
                attention.k_proj.weight.copy_(1.2 * find)
    return model


def batch_of(
    tokenizer: PreTrainedTokenizerFast, drawn: list[Lesson], recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids of some lessons, and which of them are answers, drilled nouns or other text.

    Returns:
        ``ids`` int64, ``answers``, ``drills`` and ``text`` bool, each ``[lessons, longest]``, padded on the right; the
        first token and the padding are none of them.
    """
    import torch

    encoded = tokenizer(
        [lesson.text for lesson in drawn],
        return_offsets_mapping=True,
        padding=True,
        truncation=True,
        max_length=recipe.context,
        return_tensors="pt",
    )
    offsets, ids = encoded["offset_mapping"], encoded["input_ids"]
    answers, drills = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for row, lesson in enumerate(drawn):
        for mask, spans in ((answers, lesson.answers), (drills, lesson.drills)):
            for start, end in spans:
                mask[row] |= (offsets[row, :, 0] < end) & (offsets[row, :, 1] > start)
    text = encoded["attention_mask"].bool() & ~answers & ~drills
    text[:, 0] = False
    return ids, answers, drills, text


def losses_of(
    model: LlamaForCausalLM,
    ids: torch.Tensor,
    answers: torch.Tensor,
    drills: torch.Tensor,
    text: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Mean cross-entropy of answers and drilled nouns, that of the marked text, and the accuracy.

    The accuracy is that on the answers or, in a batch without any, on the drilled nouns.
    """
    import torch.nn.functional as F

    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    wanted = (answers | drills | text)[:, 1:]
    logits, labels = model.lm_head(hidden[wanted]), ids[:, 1:][wanted]
    losses = F.cross_entropy(logits, labels, reduction="none")
    is_text = text[:, 1:][wanted]
    counted = (answers if answers.any() else drills)[:, 1:][wanted]
    accuracy = (logits.argmax(-1) == labels)[counted].float().mean().item()
    return losses[~is_text].mean(), losses[is_text].mean(), accuracy


def rate(recipe: Recipe, step: int, last_level_at: int | None) -> float:
    """The learning rate: linear warm-up, flat, then from ``last_level_at`` a cosine to a hundredth of the peak."""
    if last_level_at is None:
        return recipe.learning_rate * min(1.0, (step + 1) / recipe.warm_up)
    done = (step - last_level_at) / recipe.finish
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def train_reader(
    recipe: Recipe, out: Path, command: str, report: Callable[[Progress], None] = lambda progress: None
) -> None:
    """Train the reader and write it to ``out``.

    Args:
        recipe: What to train and how.
        out: Folder for ``model.safetensors``, ``config.json``, the tokenizer, ``recipe.json`` and ``log.jsonl``.
        command: The command line, recorded beside the recipe.
        report: Called after every step.

    Raises:
        OSError: ``out`` cannot be written.
    """
    import torch

    torch.set_num_threads(recipe.threads)
    world = load_world()
    tokenizer, model = build_tokenizer(world, recipe), build_model(recipe)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=0.05, betas=(0.9, 0.99)
    )
    rng = random.Random(f"corpus|{recipe.seed}")
    generator = torch.Generator().manual_seed(recipe.seed)
    recent: deque[tuple[float, float, float]] = deque(maxlen=50)
    log: list[Progress] = []
    last = len(recipe.levels) - 1
    level, last_level_at = 0, None if last else 0
    model.train()
    corpus = lessons(world, rng, recipe.levels[level])
    for step in count():
        drawn = list(islice(corpus, recipe.batch))
        ids, answers, drills, text = batch_of(tokenizer, drawn, recipe)
        text &= torch.rand(text.shape, generator=generator) < recipe.text_share
        for group in optimizer.param_groups:
            group["lr"] = rate(recipe, step, last_level_at)
        answer_loss, text_loss, accuracy = losses_of(model, ids, answers, drills, text)
        optimizer.zero_grad(set_to_none=True)
        (answer_loss + recipe.text_weight * text_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append((answer_loss.item(), text_loss.item(), accuracy))
        means = [round(sum(column) / len(recent), 4) for column in zip(*recent, strict=True)]
        now = Progress(step + 1, means[0], means[1], means[2], level)
        report(now)
        if now.step % 100 == 0:
            log.append(now)
        if last_level_at is not None and now.step == last_level_at + recipe.finish:
            break
        passed = len(recent) == recent.maxlen and now.accuracy >= recipe.promote
        if last_level_at is None and (passed or now.step == recipe.most):
            level = level + 1 if passed else last
            corpus = lessons(world, rng, recipe.levels[level])
            recent.clear()
            last_level_at = now.step if level == last else None
    log.append(now)
    out.mkdir(parents=True, exist_ok=True)
    model.eval()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_atomic(out / "recipe.json", json.dumps({"command": command, **asdict(recipe)}, indent=2) + "\n")
    write_atomic(out / "log.jsonl", "".join(json.dumps(asdict(row)) + "\n" for row in log))
