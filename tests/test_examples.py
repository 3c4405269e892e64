"""The notebooks of examples/ run from top to bottom, and say what they said when they were last executed."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# Of one notebook with its outputs: they are read in a pull request.
MOST_BYTES = 100_000

nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebooks: pip install -e '.[dev]'")
pytest.importorskip("ipykernel", reason="ipykernel runs the notebooks: pip install -e '.[dev]'")
nbformat = pytest.importorskip("nbformat")


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def said(notebook: Any) -> tuple[list[str], list[float]]:
    """What the cells printed and showed as text, with # for each number, and the numbers, which are compared apart.

    Another machine adds in another order: its 73.004 is 73 in four digits, and ours 73.01.
    """
    shown, numbers = [], []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":  # warnings of libraries, with the paths of a machine
                continue
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            numbers += [float(number) for number in NUMBER.findall(text)]
            # A number of another length moves the columns behind it.
            shown.append(re.sub(r" +", " ", NUMBER.sub("#", text)))
    return shown, numbers


def executed(path: Path, folder: Path) -> Any:
    """The notebook after a run in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_what_is_stored(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    )
    stored = nbformat.read(path, as_version=4)
    if os.environ.get("HEAT_NOTEBOOKS") == "write":
        nbformat.write(cleaned(executed(path, tmp_path)), path)
        return
    now, then = said(executed(path, tmp_path)), said(stored)
    assert now[0] == then[0]
    assert now[1] == pytest.approx(then[1], rel=0.02, abs=1e-6)
    assert not list(tmp_path.iterdir())


def cleaned(notebook: Any) -> Any:
    """Without the clock, warnings of libraries and the version of Python, so that another run changes nothing."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_executed(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "site-packages" not in path.read_text(encoding="utf-8")


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"quickstart", "own_method"}
