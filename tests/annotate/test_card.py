import re

from fakes.passages import narrative, science

from annotate.dataset.card import dataset_card
from annotate.dataset.mixing import MixOptions, MixReport, build_dataset
from annotate.schema import Paragraph
from annotate.sources.rows import LICENCES


def report(size: int = 3) -> MixReport:
    return build_dataset(
        [narrative(i) for i in range(4)], [science(i) for i in range(4)], MixOptions(size=size)
    )[1]


def test_the_card_names_licences_counts_command_and_fields() -> None:
    card = dataset_card("local", "test", "annotate build-dataset --size 3", LICENCES, report())
    front = card.split("---\n")[1]
    assert re.search(r"license:\n- apache-2.0\n- cc-by-nc-3.0\n- cc-by-sa-3.0\n", front)
    assert "- n<1K" in front
    assert 'pretty_name: "Mixed paragraphs (local, test)"' in front
    assert "| paragraphs made (asked) | 3 (3) |" in card
    assert "    annotate build-dataset --size 3\n" in card
    named = set(re.findall(r"`(\w+)`", card))
    assert set(Paragraph.model_fields) - {"schema_version"} <= named


def test_size_categories_and_reasons() -> None:
    many = report().model_copy(update={"made": 2000, "dropped": {"science: support is empty": 1234}})
    card = dataset_card("sample", "test", "c", LICENCES, many)
    assert "- 1K<n<10K" in card
    assert "| science: support is empty | 1,234 |" in card
