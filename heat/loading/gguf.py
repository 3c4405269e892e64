"""GGUF files: one file with config, tokenizer and quantized weights, as llama.cpp and its kin use them.

`transformers` unpacks them; here stands what it leaves out: a look at the file before the work, so that a bad one is
refused in a sentence, and weights unpacked whatever else is installed.
"""

import hashlib
import importlib.util
import mmap
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import modeling_gguf_pytorch_utils

from heat.errors import MissingExtraError, ModelNotFoundError, TokenizerError, UnsupportedModelError

NAME = "model.gguf"  # in the folder of `alone`
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32  # of tensors, where the file names no other


@dataclass(frozen=True)
class Header:
    """What a GGUF file says before its weights.

    Attributes:
        metadata: Values by key; an array is its length.
        n_bytes: Length that the file must have for all its tensors.
    """

    metadata: dict[str, Any]
    n_bytes: int


def find(name_or_path: str | Path | None) -> Path | None:
    """The GGUF file that a name means: by its ending, or by its first bytes.

    Args:
        name_or_path: What was asked for.

    Returns:
        The file, or None where something else is meant.

    Raises:
        ModelNotFoundError: The name ends in `.gguf` and there is no such file.
    """
    if name_or_path is None:
        return None
    path = Path(name_or_path).expanduser()
    if path.is_file():
        with path.open("rb") as stream:
            return path if path.suffix.lower() == ".gguf" or stream.read(4) == _MAGIC else None
    if path.suffix.lower() == ".gguf" and not path.is_dir():
        raise ModelNotFoundError(
            f"there is no file '{path}'; a GGUF file on the hub must be fetched first: "
            "hf download OWNER/NAME FILE.gguf --local-dir ."
        )
    return None


def check(file: Path) -> Header:
    """Refuse a file that cannot be loaded before half a minute is spent on it.

    Args:
        file: The GGUF file.

    Returns:
        Its header.

    Raises:
        ModelNotFoundError: It is no GGUF file, cut off, or one part of several.
        UnsupportedModelError: Nothing here can read its version, its weights or its architecture.
        TokenizerError: It holds no tokenizer.
        MissingExtraError: The package that unpacks weights is not installed.
    """
    header = read_header(file)
    metadata = header.metadata
    parts = metadata.get("split.count", 1)
    if parts > 1:
        raise ModelNotFoundError(
            f"'{file}' is part {metadata.get('split.no', 0) + 1} of {parts} of a model; join them first: "
            "llama-gguf-split --merge FIRST-PART WHOLE.gguf"
        )
    if file.stat().st_size < header.n_bytes:
        raise ModelNotFoundError(
            f"'{file}' is cut off: it has {file.stat().st_size:,} of its {header.n_bytes:,} bytes; fetch it again"
        )
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise UnsupportedModelError(
            f"'{file}' does not say which architecture its weights are of (general.architecture)"
        )
    if "tokenizer.ggml.model" not in metadata or not metadata.get("tokenizer.ggml.tokens"):
        raise TokenizerError(
            f"'{file}' holds no tokenizer (tokenizer.ggml.tokens), so no text can be put to it; "
            "take a GGUF file of the whole model"
        )
    return header


def read_header(file: Path) -> Header:
    """Metadata and the table of tensors; layout: the GGUF specification of ggml, versions 2 and 3.

    Args:
        file: The GGUF file.

    Returns:
        The header.

    Raises:
        ModelNotFoundError: It is no GGUF file, or cut off in its header.
        UnsupportedModelError: Its version or the type of a tensor is unknown.
        MissingExtraError: The package that knows the types of tensors is not installed.
    """
    check_extra()
    with file.open("rb") as stream:
        magic = stream.read(len(_MAGIC))
        if magic != _MAGIC:
            raise ModelNotFoundError(
                f"'{file}' is no GGUF file: it begins with {magic!r}, and not with {_MAGIC!r}"
                + ("; it is a pointer of Git LFS: fetch the file itself" if magic == b"vers" else "")
            )
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _header(file, data)
            except (struct.error, OverflowError, MemoryError, UnicodeDecodeError) as error:
                raise ModelNotFoundError(
                    f"'{file}' is damaged or cut off within its header of {len(data):,} bytes; fetch it again"
                ) from error


def check_extra() -> None:
    """The optional packages must be there.

    Raises:
        MissingExtraError: They are not.
    """
    import transformers

    if importlib.util.find_spec("gguf") is None or not hasattr(transformers, "GgufConfig"):
        raise MissingExtraError("GGUF files need an extra: pip install 'heat-alignment[gguf]'")


@contextmanager
def alone(file: Path) -> Iterator[str]:
    """A folder with nothing but the file: `transformers` would read configs and tokenizers that lie beside it.

    A person who waits at a terminal is told what for.

    Args:
        file: The GGUF file.

    Yields:
        The folder; the file is called `NAME` there.
    """
    if sys.stderr.isatty():
        print(f"unpacking {file.name}; a large vocabulary takes up to a minute", file=sys.stderr)
    with TemporaryDirectory() as folder, _quiet():
        Path(folder, NAME).symlink_to(file.resolve())
        yield folder


def unpacked() -> Any:
    """`quantization_config` of a load that unpacks all weights, also where kernels for packed ones are installed.

    The model is then an ordinary one, and can be saved.
    """
    from transformers import GgufConfig

    return GgufConfig(dequantize=True)


def revision(file: Path) -> str:
    """The first 16 hex digits of `sha256`: what stands for the file in stored results.

    Args:
        file: The file.

    Returns:
        16 hexadecimal digits.
    """
    return sha256(file)[:16]


def sha256(file: Path) -> str:
    """SHA-256 over the bytes of a file.

    Args:
        file: The file.

    Returns:
        64 hexadecimal digits.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _header(file: Path, data: mmap.mmap) -> Header:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    version, n_tensors, n_values = struct.unpack_from("<IQQ", data, len(_MAGIC))
    if version not in _VERSIONS:
        raise UnsupportedModelError(
            f"'{file}' is GGUF of version {version}, or of big-endian machines; versions 2 and 3 can be read"
        )
    place = 24
    metadata = {}
    for _ in range(n_values):
        key, place = _string(data, place)
        (kind,) = struct.unpack_from("<I", data, place)
        metadata[key], place = _value(data, place + 4, kind)
    end = 0
    for _ in range(n_tensors):
        name, place = _string(data, place)
        (n_dims,) = struct.unpack_from("<I", data, place)
        shape = struct.unpack_from(f"<{n_dims}Q", data, place + 4)
        kind, offset = struct.unpack_from("<IQ", data, place + 4 + 8 * n_dims)
        place += 16 + 8 * n_dims
        try:
            per_block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError) as error:
            raise UnsupportedModelError(
                f"'{file}' holds numbers of a type that cannot be read ({kind}, in {name}); "
                "a newer `gguf` may know it"
            ) from error
        end = max(end, offset + prod(shape) // per_block * n_bytes)
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    return Header(metadata, -(-place // alignment) * alignment + end)


def _string(data: mmap.mmap, place: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, place)
    start = place + 8
    (content,) = struct.unpack_from(f"{length}s", data, start)  # and not a slice, which may come out short
    return content.decode("utf-8"), start + length


def _value(data: mmap.mmap, place: int, kind: int) -> tuple[Any, int]:
    """A value and the place after it."""
    if kind == _STRING:
        return _string(data, place)
    if kind == _ARRAY:
        kind, length = struct.unpack_from("<IQ", data, place)
        place += 12
        if kind in _SCALARS:
            return length, place + length * struct.calcsize(_SCALARS[kind])
        for _ in range(length):
            _, place = _value(data, place, kind)
        return length, place
    if kind not in _SCALARS:
        raise struct.error(f"no type {kind}")
    (value,) = struct.unpack_from(_SCALARS[kind], data, place)
    return value, place + struct.calcsize(_SCALARS[kind])


@contextmanager
def _quiet() -> Iterator[None]:
    """`transformers` shows the bar of its unpacking whatever its own setting for bars says."""
    module: Any = modeling_gguf_pytorch_utils
    shown = module.tqdm
    module.tqdm = partial(shown, disable=True)
    try:
        yield
    finally:
        module.tqdm = shown
