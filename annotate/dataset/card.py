"""The dataset card of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence

from annotate.dataset.mixing import MixReport
from annotate.sources.base import Licence

FIELDS = """\
| field | meaning |
|---|---|
| `id` | unique within this benchmark |
| `text` | the exact text that is labelled and attributed; the answer is not part of it |
| `segments` | the parts of `text` in their order: `role` (narrative, support, question), `start`, `end`, \
and the row each came from |
| `question`, `answer` | the question, and the answer as it stands in the support |
| `words` | `[start, end)` pairs in Unicode code points; labels and gold are indices into this list |
| `word_rule` | name and version of the rule that made `words` |
| `evidence` | indices of the words that matter by construction; null for real text |
| `text_sha256` | checksum of `text` in UTF-8 |
"""


def dataset_card(
    source: str, split: str, command: str, licences: Sequence[Licence], report: MixReport
) -> str:
    """Write the card, Markdown with the YAML front matter of the Hugging Face hub.

    Args:
        source: Name of the source.
        split: Split of the source.
        command: The command that makes the benchmark again.
        licences: The terms of its parts.
        report: How many passages were used and left out.

    Returns:
        The text of ``README.md``. Equal arguments give equal text.
    """
    dropped = "\n".join(f"| {reason} | {count:,} |" for reason, count in report.dropped.items())
    low, middle, high = report.words
    title = f"Mixed paragraphs ({source}, {split})"
    front = front_matter(title, licences, report.made, "  data_files: paragraphs.jsonl")
    return f"""\
{front}
# {title}

{report.made:,} paragraphs to judge attribution methods by. Each is a run of narrative sentences as
distractor and a science support that holds the answer, in an order drawn by seed, then the question. Which
words matter is known by construction or collected as labels.

| count | |
|---|---|
| paragraphs made (asked) | {report.made:,} ({report.asked:,}) |
| words of a paragraph: least, median, greatest | {low}, {middle:g}, {high} |
| begin with the narrative | {report.narrative_first:,} |
| narrative documents read | {report.documents:,} |
| narrative segments usable, used, used again | {report.segments:,}, {report.segments_used:,}, \
{report.segments_reused:,} |
| science rows read | {report.rows:,} |
| supports usable, used, used again | {report.supports:,}, {report.supports_used:,}, \
{report.supports_reused:,} |
| supports cut to the sentences around the answer | {report.supports_cut:,} |

## Left out

| reason | count |
|---|---|
{dropped or "| nothing | 0 |"}

## Licences

{licence_table(licences)}

## Fields of `paragraphs.jsonl`

{FIELDS}
## How to make it again

    {command}

The same command on the same inputs gives the same bytes; `manifest.json` holds the checksums of both.
"""


def front_matter(title: str, licences: Sequence[Licence], size: int, data_files: str) -> str:
    """The YAML front matter of a card, with its fences.

    Args:
        title: The pretty name.
        licences: The terms of the parts.
        size: Number of rows.
        data_files: Lines of YAML that name the data files, indented by two spaces.
    """
    identifiers = "\n".join(f"- {name}" for name in sorted({licence.identifier for licence in licences}))
    return f"""\
---
pretty_name: {json.dumps(title)}
language:
- en
license:
{identifiers}
size_categories:
- {_size_category(size)}
task_categories:
- question-answering
tags:
- attribution
- interpretability
configs:
- config_name: default
{data_files}
---
"""


def licence_table(licences: Sequence[Licence]) -> str:
    """The terms as a Markdown table."""
    rows = "\n".join(f"| {licence.part} | {licence.identifier} | {licence.note} |" for licence in licences)
    return f"| part | licence | note |\n|---|---|---|\n{rows}"


def _size_category(count: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if count < limit:
            return name
    return "100K<n<1M"
