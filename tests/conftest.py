"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a change is what turns a test red; look for new ones with
# HYPOTHESIS_PROFILE=search. No deadline: a busy machine is no fault of the code.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Tests run side by side in processes; threads inside each would only fight over the cores. Read when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and models beside the checkout; tests that need them skip where they are not."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with real data and models is not here")
    return folder
