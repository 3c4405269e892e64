"""A foreign package under one of our names stops the program with a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from evaluate.errors import ShadowedError
from evaluate.packages import check_packages

CHECKOUT = Path(__file__).resolve().parents[2]


def test_ours_pass() -> None:
    check_packages()


def test_found_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ShadowedError, match=r"'annotate' at .* is not the one of heat-alignment"):
        check_packages(tmp_path)


def test_a_foreign_heat_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "heat").mkdir()
    (tmp_path / "heat" / "__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(CHECKOUT)!r}]; import evaluate"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert run.returncode != 0
    assert "install heat-alignment into an environment of its own" in run.stderr
