"""The programs under benchmarks/ start; what they measure is not measured here."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROGRAMS = sorted(
    path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


def started(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_say_what_they_take(name: str) -> None:
    done = started(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout.lower()


def test_real_models_that_are_there_are_left_alone(tmp_path: Path) -> None:
    kept = [tmp_path / name / "kept" for name in ("smollm2", "gemma3")]
    for file in kept:
        file.parent.mkdir()
        file.write_text("mine")
    done = started("real_models.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{file.parent} is there" for file in kept]
    assert [file.read_text() for file in kept] == ["mine", "mine"]


def test_one_real_model_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "smollm2").mkdir()
    done = started("real_models.py", str(tmp_path), "smollm2")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'smollm2'} is there\n")
    wrong = started("real_models.py", str(tmp_path), "smollm")
    assert wrong.returncode == 1
    assert wrong.stderr == "error: there is no model 'smollm' here; name smollm2 or gemma3\n"
