"""A manifest beside every file this package writes: what it takes to make the file again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from annotate.files import file_hash, write_atomic
from annotate.schema import Manifest

_PACKAGES = ("heat-alignment", "numpy", "pydantic", "regex")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape labels and agreement, as far as installed."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def write_manifest(
    path: Path,
    command: str,
    seed: int,
    config: Mapping[str, Any],
    inputs: Sequence[Path],
    files: Sequence[Path],
    report: Mapping[str, Any],
) -> None:
    """Write how ``files`` were made, atomically.

    Args:
        path: The manifest file.
        command: The command line.
        seed: The seed it ran with.
        config: The options that shaped the files.
        inputs: Files read; those that exist are listed by name with their SHA-256.
        files: Files written, likewise.
        report: Figures to be found without opening the files.

    Raises:
        OSError: It cannot be written.
    """
    manifest = Manifest(
        command=command,
        seed=seed,
        config=dict(config),
        inputs={file.name: file_hash(file) for file in inputs if file.exists()},
        files={file.name: file_hash(file) for file in files},
        report=dict(report),
        versions=versions(),
    )
    write_atomic(path, manifest.model_dump_json(indent=2) + "\n")
