"""A GGUF file made an ordinary model folder, which loads in seconds."""

import errno
import os
import shutil
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError

from heat.errors import ModelNotFoundError
from heat.files import write_whole
from heat.loading import gguf
from heat.model import folder_revision, load, no_progress_bars


def convert(file: str | Path, folder: Path, *, dtype: str | None = None) -> str:
    """Write config, unpacked weights (safetensors) and tokenizer of a GGUF file, and how they were made.

    The folder appears whole or not at all.

    Args:
        file: The GGUF file.
        folder: The folder to come; its parents are made where they are missing.
        dtype: Dtype of the weights; None for float32.

    Returns:
        Revision of the folder's model.

    Raises:
        ModelNotFoundError: It is no GGUF file, or half of one.
        HeatError: The model cannot be loaded; see `heat.load`.
        OSError: The folder exists and is not empty, or cannot be written.
    """
    source = gguf.find(file)
    if source is None:
        raise ModelNotFoundError(f"'{file}' is no GGUF file; only these need to be converted")
    _check_free(folder)
    lm = load(source, dtype=dtype)
    assert lm.tokenizer is not None  # a GGUF file without one is refused
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir()
    try:
        with no_progress_bars():
            lm.model.save_pretrained(temporary)
            lm.tokenizer.save_pretrained(temporary)
        write_whole(temporary / "README.md", _readme(source, str(lm.dtype)).encode())
        revision = folder_revision(temporary)
        temporary.replace(folder)
    except SafetensorError as error:
        raise OSError(errno.EIO, f"the weights could not be written ({error})", str(folder)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return revision


def _check_free(folder: Path) -> None:
    """Before half a minute of work: the place must be free, and the disk must let us write there."""
    if folder.is_dir():
        if any(folder.iterdir()):
            raise FileExistsError(errno.EEXIST, "this folder is not empty; name a new one", str(folder))
    elif folder.exists() or folder.is_symlink():
        raise FileExistsError(errno.EEXIST, "this is no folder; name a new one", str(folder))
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "this is no folder", str(parent))
    if not os.access(parent, os.W_OK):
        raise PermissionError(errno.EACCES, "this cannot be written to", str(parent))


def _readme(file: Path, dtype: str) -> str:
    metadata = gguf.read_header(file).metadata
    name, terms = metadata.get("general.name", "not stated"), metadata.get("general.license", "not stated")
    packages = ", ".join(f"{package} {version(package)}" for package in ("transformers", "gguf", "torch"))
    return (
        f"# {file.stem}\n\n"
        f"Unpacked from the GGUF file `{file.name}` by `heat convert`; the weights are those of that file, "
        "rounded as they were when it was made, and not those of the model it was made of.\n\n"
        f"- name in the file: {name}\n"
        f"- licence in the file: {terms}\n"
        f"- SHA-256 of the file: {gguf.sha256(file)}\n"
        f"- dtype: {dtype.removeprefix('torch.')}\n"
        f"- made with: {packages}\n"
    )
