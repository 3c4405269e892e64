"""Nothing is written over what this project did not write: a manifest beside our files says which are ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from annotate.errors import BenchmarkError
from annotate.files import file_hash
from annotate.schema import Manifest


def refuse_foreign(files: Mapping[Path, bytes | None], manifest: Path, *, force: bool = False) -> None:
    """Refuse to write over a file that is not as a manifest says that it was written.

    Args:
        files: The files to write, each with what it is to hold, where that is known: a file that holds it already is
            no loss.
        manifest: The manifest of an earlier run, which lists files by name with their SHA-256; it need not exist.
        force: Refuse nothing.

    Raises:
        BenchmarkError: Names the first such file.
    """
    if force:
        return
    ours: dict[str, str] = {}
    if manifest.is_file():
        try:
            ours = Manifest.model_validate_json(manifest.read_bytes()).files
        except ValidationError:
            raise _refusal(manifest) from None
    for path, content in files.items():
        if path.is_dir():
            raise BenchmarkError(f"{path} is a folder; name a file")
        if not path.exists() or file_hash(path) == ours.get(path.name):
            continue
        if not path.is_file() or content is None or path.read_bytes() != content:
            raise _refusal(path)


def _refusal(path: Path) -> BenchmarkError:
    return BenchmarkError(
        f"{path} is not as annotate wrote it, and would be lost; name another --out, or add --force to write over it"
    )
