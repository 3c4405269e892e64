"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest

# Tests run side by side in processes; threads inside each would only fight over the cores. Read when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and models beside the checkout; tests that need them skip where they are not."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with real data and models is not here")
    return folder
