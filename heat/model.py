"""A causal language model with its tokenizer and where it came from."""

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from huggingface_hub import HfApi
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from heat.checks import check
from heat.errors import (
    MissingExtraError,
    ModelNotFoundError,
    NonFiniteError,
    TokenizerError,
    UnsupportedModelError,
)
from heat.loading import adapters, gguf
from heat.loading.weights import check_device, check_loaded, check_room, unreadable
from heat.shipped import shipped

_HUB_SECONDS = 10
# What `transformers` raises for a config that no model can be made of.
UNLOADABLE = (ValueError, KeyError, ImportError, NotImplementedError, RecursionError, StrictDataclassError)
# What they raise where sizes in a config do not fit each other, or no machine.
_UNBUILT = (TypeError, AttributeError, ArithmeticError, IndexError, AssertionError, RuntimeError)

Quantization = Literal["4bit", "8bit"]


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model, its tokenizer and its provenance. Nothing in this package changes them.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer, or None where only token ids will be given.
        name: Folder or hub name, for people.
        revision: Hub commit hash, or a hash of the folder's files.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    name: str = "unnamed"
    revision: str = "unknown"

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the token embeddings."""
        return self._embedding.dtype

    @property
    def device(self) -> torch.device:
        """Device that takes the inputs (a dispatched model may go on to others)."""
        if self._embedding.is_meta:
            # Offloaded weights are nowhere between calls; the hook knows where they are called.
            hook: Any = self.model.get_input_embeddings()._hf_hook
            return torch.device(hook.execution_device)
        return self._embedding.device

    @property
    def vocab_size(self) -> int:
        """Number of token ids the model knows."""
        return self._embedding.shape[0]

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a text, or None where the model has none."""
        return getattr(self.model.config.get_text_config(), "bos_token_id", None)

    @property
    def context_length(self) -> int | None:
        """The longest input in tokens, or None where the model states no limit."""
        config = self.model.config.get_text_config()
        for name in ("max_position_embeddings", "max_seq_len", "context_length"):
            length = getattr(config, name, None)
            if isinstance(length, int) and length > 0:
                return length
        return None

    @property
    def _embedding(self) -> torch.Tensor:
        weight: Any = self.model.get_input_embeddings().weight
        return cast(torch.Tensor, weight)


def load(
    name_or_path: str | Path | None = None,
    *,
    dtype: str | None = None,
    device: str | None = None,
    quantization: Quantization | None = None,
    revision: str | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a causal language model from a folder, from a GGUF file, or by its hub name.

    Args:
        name_or_path: Folder with config, weights and tokenizer, or with an adapter (which takes `peft`), a GGUF file
            (extra `gguf`), or a hub name; None for the embedded reader.
        dtype: Dtype of the weights ("float32", "bfloat16", ...); None for the checkpoint's own, which is
            float32 for a GGUF file: its weights are unpacked.
        device: Where to put it ("cpu", "cuda:0", ...), or "auto" to spread it over all there are; None: CPU.
        quantization: Quantize the weights to 4 or 8 bits (extra `quantization`).
        revision: Branch, tag or commit of a hub model; None for its newest.
        offline: Take a hub model from what was fetched before, and ask nobody.
        trust_remote_code: Run model code that comes with the checkpoint.

    Returns:
        The model in evaluation mode, with its provenance.

    Raises:
        ModelNotFoundError: No such folder or file, half a file, weights that are not those of the config, or the hub
            cannot be reached.
        MissingExtraError: GGUF files and quantized weights need a package that is not installed.
        TokenizerError: There is no usable tokenizer.
        UnsupportedModelError: Not a decoder-only language model, one that answers differently when it is given its
            tokens' embeddings, a GGUF file to be quantized once more, or no such device.
        OutOfMemoryError: The weights alone exceed the machine's memory.
        NonFiniteError: A weight is NaN or infinite.
    """
    check_device(device)
    file = gguf.find(name_or_path)
    folder = None if file is not None else _folder(name_or_path)
    if folder is not None and (folder / adapters.CONFIG).is_file():
        return _with_adapter(folder, dtype, device, quantization, offline, trust_remote_code)
    local = file or folder
    source = str(local or name_or_path)
    if local is None and not (offline or HF_HUB_OFFLINE):
        check_reachable(source)
    if local is not None and revision is not None:
        raise ModelNotFoundError(
            f"'{source}' is a {'file' if file else 'folder'} and has no revisions; give a hub name, or no revision"
        )
    if file is not None:
        if quantization is not None:
            raise UnsupportedModelError(
                f"'{source}' is quantized already, and is unpacked as it is loaded; leave out the quantization to "
                f"{quantization}, or quantize a folder"
            )
        gguf.check(file)
    with no_progress_bars(), _place(source, file) as place:
        options: dict[str, Any] = {
            "trust_remote_code": trust_remote_code,
            "local_files_only": local is None and offline,
        }
        if revision is not None:
            options["revision"] = revision
        if file is not None:
            options["gguf_file"] = gguf.NAME
        config = _fetch(AutoConfig, source, place, **options)
        _check_decoder_only(source, config)
        tokenizer = _load_tokenizer(source, place, **options)
        own_dtype: str | torch.dtype = "auto" if file is None else torch.float32
        if file is not None:
            options |= {"config": config, "quantization_config": gguf.unpacked()}
        elif quantization is not None:
            options["quantization_config"] = _quantized(quantization, dtype)
        numbers = own_dtype if dtype is None else _dtype(dtype)
        if quantization is None:
            check_room(source, config, None if isinstance(numbers, str) else numbers, device)
        model, loaded = _fetch(
            AutoModelForCausalLM,
            source,
            place,
            dtype=numbers,
            device_map=device,
            # Its own word for these is a table of many lines; ours is one.
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    check_loaded(source, loaded)
    if file is not None:
        model.config._name_or_path = ""  # a folder that is gone now
        tokenizer.name_or_path = source
    model.eval()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes would pack 4-bit weights on CPU for a product that has no derivative.
            module.support_avx512bf16_for_cpu = False
    _check_finite(source, model)
    commit = getattr(config, "_commit_hash", None)
    if local is not None:
        commit = gguf.revision(local) if file else folder_revision(local)
    if commit is not None and quantization is not None:
        commit += f"+{quantization}"  # other numbers, so another revision
    name = source if name_or_path is not None else "embedded reader"
    lm = LanguageModel(model=model, tokenizer=tokenizer, name=name, revision=commit or "unknown")
    check(model, source)
    return lm


def _with_adapter(
    folder: Path,
    dtype: str | None,
    device: str | None,
    quantization: Quantization | None,
    offline: bool,
    trust_remote_code: bool,
) -> LanguageModel:
    """The model that an adapter belongs to, with the adapter merged into it."""
    if quantization is not None:
        raise UnsupportedModelError(
            f"'{folder}' holds an adapter, which is merged into whole weights; leave out the quantization to "
            f"{quantization}"
        )
    base, revision = adapters.base_of(folder)
    lm = load(
        base,
        dtype=dtype,
        device=device,
        revision=revision,
        offline=offline,
        trust_remote_code=trust_remote_code,
    )
    tokenizer = lm.tokenizer
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = _load_tokenizer(str(folder), str(folder), trust_remote_code=trust_remote_code)
    with no_progress_bars():
        model = adapters.merged(lm.model, folder)
    _check_finite(str(folder), model)
    return LanguageModel(model, tokenizer, str(folder), f"{lm.revision}+{adapters.revision(folder)}")


def folder_revision(folder: Path) -> str:
    """Hash of a model folder: SHA-256 over the bytes of its config and weight files, first 16 hex digits.

    Args:
        folder: Model folder.

    Returns:
        16 hexadecimal digits.
    """
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*.bin"))]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _folder(name_or_path: str | Path | None) -> Path | None:
    """The folder meant, or None for a hub name."""
    if name_or_path is None:
        return shipped("reader")
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        if not any((path / name).is_file() for name in ("config.json", adapters.CONFIG)):
            raise ModelNotFoundError(
                f"the folder '{path}' holds no model: it has no config.json{_inside(path)}"
            )
        return path
    text = str(name_or_path)
    if (
        path.exists()
        or isinstance(name_or_path, Path)
        or text.startswith((".", "/", "~"))
        or text.count("/") > 1
    ):
        if path.is_file():
            raise ModelNotFoundError(
                f"'{path}' is a file and no GGUF model; give a folder with config.json, a GGUF file or a hub name"
            )
        raise ModelNotFoundError(
            f"there is no model folder '{path}'; give a folder with config.json, a GGUF file or a hub name"
        )
    return None


def _inside(folder: Path) -> str:
    files = sorted(folder.glob("*.gguf"))
    return f"; it holds a GGUF file, which is a model by itself: give '{files[0]}'" if files else ""


@contextmanager
def _place(source: str, file: Path | None) -> Iterator[str]:
    """Where the loaders look: what was asked for, or a folder with the GGUF file alone."""
    if file is None:
        yield source
        return
    with gguf.alone(file) as folder:
        yield folder


def check_reachable(name: str) -> None:
    """The hub must answer for `name`: what was fetched before is not taken for the newest without a word.

    Asked once and with a limit: the loaders would try for half a minute, file by file, and say so each time.

    Args:
        name: Hub name.

    Raises:
        ModelNotFoundError: It does not answer.
    """
    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except Exception as error:  # the client raises errors of several libraries, which change by version
        raise ModelNotFoundError(
            f"'{name}' is no folder here and could not be fetched from the hub "
            f"(no network, no such model, or no access to it); give a folder, or run `hf download {name}` where "
            "there is a network; `--offline` (offline=True) takes what was fetched before"
        ) from error


def _quantized(quantization: Quantization, dtype: str | None) -> BitsAndBytesConfig:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            "weights of 4 or 8 bits need an extra: pip install 'heat-alignment[quantization]'"
        )
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16 if dtype is None else _dtype(dtype)
    )


def _fetch(loader: Any, source: str, place: str, **options: Any) -> Any:
    """`loader.from_pretrained` with the errors people meet turned into one sentence each."""
    try:
        return loader.from_pretrained(place, **options)
    except OSError as error:
        if Path(source).exists():
            raise ModelNotFoundError(f"'{source}' holds no complete model: {first_line(error)}") from error
        raise ModelNotFoundError(
            f"the hub model '{source}' could not be fetched whole, or was not fetched before: "
            f"{first_line(error)}; run `hf download {source}` where there is a network"
        ) from error
    except UNLOADABLE as error:
        raise UnsupportedModelError(f"cannot load '{source}': {first_line(error)}") from error
    except Exception as error:
        if (reason := unreadable(source, error)) is not None:
            raise reason from error
        if isinstance(error, _UNBUILT):
            raise UnsupportedModelError(
                f"cannot load '{source}': its config describes no model that can be made: {first_line(error)}"
            ) from error
        raise


def _load_tokenizer(source: str, place: str, **options: Any) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    except Exception as error:  # the library raises a dozen different types here
        raise TokenizerError(
            f"'{source}' has no tokenizer that can be loaded ({first_line(error)}); "
            "put tokenizer.json beside the weights, or build LanguageModel(model, tokenizer) yourself"
        ) from error
    if len(tokenizer) == 0:
        raise TokenizerError(f"the tokenizer of '{source}' is empty; put tokenizer.json beside the weights")
    return tokenizer


def _check_decoder_only(source: str, config: Any) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"'{source}' is an encoder-decoder model ({config.model_type}); "
            "a decoder-only language model is needed"
        )


def _check_finite(source: str, model: PreTrainedModel) -> None:
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not weight.is_meta and not bool(weight.isfinite().all()):
            raise NonFiniteError(
                f"the weights of '{source}' are damaged: {name} holds NaN or infinity; fetch them again"
            )


def _dtype(name: str) -> torch.dtype:
    value = getattr(torch, name, None)
    if not isinstance(value, torch.dtype) or not value.is_floating_point:
        raise UnsupportedModelError(f"unknown dtype '{name}'; use float32, bfloat16, float16 or float64")
    return value


def first_line(error: BaseException) -> str:
    """What a library said, for the end of a sentence: one line, or two where the first announces the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Loading is quiet; the caller's own setting comes back afterwards."""
    enabled = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if enabled:
            transformers_logging.enable_progress_bar()
