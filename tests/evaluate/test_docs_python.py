"""The example of docs/evaluation.md runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


def test_the_example_from_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    result = names["result"]
    assert result.scored == 5
    assert {row.method for row in result.methods} == {"gradient-norm", "random"}
    assert (tmp_path / "results" / "alignment.json").exists()
