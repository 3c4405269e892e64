"""Comparison with values that were frozen once; `HEAT_GOLDEN=write pytest ...` freezes them anew."""

import json
import os
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "golden"


def check_golden(name: str, values: Any) -> None:
    """Compare JSON values with `tests/golden/NAME.json`.

    Args:
        name: Name of the file.
        values: What came out, as JSON values.
    """
    path, text = GOLDEN / f"{name}.json", json.dumps(values, indent=1, sort_keys=True) + "\n"
    if os.environ.get("HEAT_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert json.loads(text) == json.loads(path.read_text(encoding="utf-8"))
