"""The card of an exported dataset: what is in it, who labelled it, how far they agree, on what terms."""

from __future__ import annotations

from collections import Counter
from statistics import median

from annotate.agreement import Agreement
from annotate.agreement.files import agreement_table, markdown_table
from annotate.dataset.card import FIELDS, front_matter, licence_table
from annotate.export.rows import LabelledBenchmark
from annotate.kinds import kind_of
from annotate.ledger.ledger import read_ledger
from annotate.ledger.provenance import Provenance, provenance
from annotate.schema import Label, Manifest
from annotate.sources import licences_of

_LABEL_FIELDS = """\
| `labels` | one an annotator and repetition: `annotator`, `repeat`, `status`, `model` (as the server named it), \
`detail`, `words` (indices), `spans` (`words`, the `quote` they answer to, and the `rung` that placed it) |
| `gold` | `rule`, `annotators`, `words` (`index`, and its `origin`: agreed, adjudicated, union, single or \
constructed); null where none was settled |
"""


def export_card(
    source: LabelledBenchmark, manifest: Manifest, split: str, result: Agreement | None, sentence: str
) -> str:
    """Write the card, Markdown with the YAML front matter of the Hugging Face hub.

    Args:
        source: The labelled benchmark.
        manifest: How the benchmark was made.
        split: Name of the split, and of its data file.
        result: The agreement of the annotators; ``None`` where there is nobody to compare.
        sentence: The agreement as running text.

    Returns:
        The text of ``README.md``.
    """
    name = str(manifest.config.get("source", "unknown"))
    title = f"Mixed paragraphs with word labels ({name}, {split})"
    licences = licences_of(name)
    data_files = f"  data_files:\n  - split: {split}\n    path: data/{split}.parquet"
    unique = len({paragraph.text_sha256 for paragraph in source.paragraphs})
    lengths = [len(paragraph.words) for paragraph in source.paragraphs] or [0]
    return f"""\
{front_matter(title, licences, len(source.paragraphs), data_files)}
# {title}

{len(source.paragraphs):,} paragraphs ({unique:,} unique texts; {min(lengths)} to {max(lengths)} words, median \
{median(lengths):g}), with the words that matter for the answer as annotators marked them.

    from datasets import load_dataset
    rows = load_dataset("PATH OF THIS FOLDER", split="{split}")

## Labels

{_annotators(source)}

A failure is a status, never an empty label. Labels of rules are there to run the path, not to judge a method
by; agreement of two models is not validity.

## Agreement

{f"{sentence}{chr(10)}{chr(10)}{agreement_table(result)}" if result else "There are no two labellings to compare."}

## Gold

{_gold(source)}

## Licences

{licence_table(licences)}

Labels that a model made are also subject to the terms of its provider.

## Fields

{FIELDS}{_LABEL_FIELDS}
## How it was made

    {manifest.command}

`provenance/` holds the manifest of the benchmark and, where there are any, the ledger with every answer as it
was received and the reviews; all labels can be made again from them. Checksum of the paragraphs:
`{manifest.files.get("paragraphs.jsonl", "unknown")}`.
"""


def _annotators(source: LabelledBenchmark) -> str:
    if not source.labels:
        return "There are no labels."
    known = provenance(read_ledger(source.benchmark.ledger).rows)
    rows = [_annotator(name, labels, known.get(name)) for name, labels in source.labels.items()]
    return markdown_table(("annotator", "kind", "answered as", "prompt", "dates", "labels by status"), rows)


def _annotator(name: str, labels: list[Label], known: Provenance | None) -> tuple[str, ...]:
    statuses = Counter(label.status for label in labels)
    dates = " to ".join(dict.fromkeys((known.first, known.last))) if known else ""
    return (
        f"`{name}`",
        kind_of(name),
        ", ".join(sorted({label.model for label in labels} - {""})),
        ", ".join(f"`{sha256}`" for sha256 in known.prompts) if known else "",
        dates,
        ", ".join(f"{count:,} {status}" for status, count in statuses.most_common()),
    )


def _gold(source: LabelledBenchmark) -> str:
    if not source.gold:
        return "No gold was settled."
    origins = Counter(word.origin for row in source.gold for word in row.words)
    words = ", ".join(f"{count:,} {origin}" for origin, count in origins.most_common()) or "none"
    without = len(source.paragraphs) - len(source.gold)
    return (
        f"Rule `{source.gold[0].rule}`; {len(source.gold):,} paragraphs, {without:,} without gold; words by"
        f" origin: {words}."
    )
