"""The benchmark that ships can be made again, byte for byte, with its labels and the ledger of who was asked."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from annotate.cli import app

SHIPPED = Path(__file__).parents[2] / "data" / "benchmark"
FILES = ("paragraphs.jsonl", "ledger.jsonl", "gold.jsonl", "labels/overlap.jsonl", "labels/clause.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "benchmark"
    for command in (["build-dataset", "--size", "200", "--out"], ["label", "--benchmark"]):
        done = CliRunner().invoke(app, [*command, str(folder)])
        assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("name", FILES)
def test_what_ships_is_made_again(made: Path, name: str) -> None:
    assert (made / name).read_bytes() == (SHIPPED / name).read_bytes()
