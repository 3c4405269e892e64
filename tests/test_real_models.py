"""The command behind `make real-models`, as far as it goes without a network."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "real_models.py"


def fetch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_models_that_are_there_are_left_alone(tmp_path: Path) -> None:
    kept = [tmp_path / name / "kept" for name in ("smollm2", "gemma3")]
    for file in kept:
        file.parent.mkdir()
        file.write_text("mine")
    done = fetch(str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{file.parent} is there" for file in kept]
    assert [file.read_text() for file in kept] == ["mine", "mine"]
