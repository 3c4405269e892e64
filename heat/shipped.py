"""Where the data that travels with the project lies."""

from pathlib import Path

from heat.errors import ModelNotFoundError


def shipped(name: str) -> Path:
    """Path of a file or folder that ships with the project.

    In a checkout it lies in `data/`, in an installed wheel in `heat_alignment_data/` beside the packages.

    Args:
        name: Path below the data folder, for example `"reader"`.

    Returns:
        The path, which exists.

    Raises:
        ModelNotFoundError: The installation lacks it.
    """
    beside = Path(__file__).resolve().parents[1]
    for folder in (beside / "data", beside / "heat_alignment_data"):
        if (folder / name).exists():
            return folder / name
    raise ModelNotFoundError(
        f"this installation ships no '{name}' (looked in {beside}); reinstall it, or name a model yourself"
    )
