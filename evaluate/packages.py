"""Whether the packages found under our import names are ours; `heat` and `evaluate` also exist elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from evaluate.errors import ShadowedError

NAMES = ("annotate", "evaluate", "heat")


def check_packages(root: Path | None = None) -> None:
    """Make sure that the packages this one builds on are those it was shipped with.

    Nothing is imported for it.

    Args:
        root: The folder that holds the packages; by default the one this file lies in.

    Raises:
        ShadowedError: One of the names is missing or belongs to a foreign package.
    """
    root = root or Path(__file__).resolve().parents[1]
    for name in NAMES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ShadowedError(
                f"the package {name!r} of heat-alignment is missing; install heat-alignment again"
            )
        location = Path(spec.origin).resolve().parent
        if location != root / name:
            raise ShadowedError(
                f"the package {name!r} at {location} is not the one of heat-alignment ({root / name}); "
                "install heat-alignment into an environment of its own, or run from another folder"
            )
