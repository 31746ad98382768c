"""Where weights come from: a folder, a GGUF file, the hub's cache; and what may go wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from huggingface_hub.errors import HFValidationError, StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, PreTrainedConfig

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.weights.hub import reach_hub
from fedvlm_flwr.paths import own_checkpoint

GGUF = ".gguf"
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    ImportError,
    HFValidationError,
)


def locate(source: str, *, local_files_only: bool = False) -> tuple[str, dict[str, str]]:
    """What `from_pretrained` is called with for a source: its first argument and further ones.

    A source is a folder, a hub id, a GGUF file, or `<hub id>/<file>.gguf`. Before the first hub id
    is read, the hub is asked whether it answers at all.

    Args:
        local_files_only: the hub is not to be asked.

    Raises:
        ModelError: a path that does not exist.
    """
    path = own_checkpoint(source) or Path(source).expanduser()
    if source.endswith(GGUF):
        if path.is_file():
            return str(path.parent), {"gguf_file": path.name}
        repository, _, file = source.rpartition("/")
        if repository.count("/") == 1 and not source.startswith(("/", ".", "~")):
            if not local_files_only:
                reach_hub()
            return repository, {"gguf_file": file}
        raise ModelError(f"There is no GGUF file {source}; name an existing one.")
    if path.is_dir():
        return str(path), {}
    if source.startswith(("/", ".", "~")):
        raise ModelError(f"There is no model folder {source}; name an existing one, or a hub id.")
    if not local_files_only:
        reach_hub()
    return source, {}


@contextmanager
def reading(source: str, what: str) -> Iterator[None]:
    """Say in one sentence what could not be read, whatever transformers says.

    Raises:
        ModelError: names the source and the first line of the reason.
    """
    try:
        yield
    except UNREADABLE as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ModelError(
            f"{source} cannot be read as {what} ({reason or type(error).__name__}); give a folder "
            "that holds it, or a hub id that this machine can fetch."
        ) from error


@contextmanager
def sizing() -> Iterator[None]:
    """Say in one sentence that no network has the sizes of `model.architectures`.

    Raises:
        ModelError: says which, as far as transformers does.
    """
    try:
        yield
    except (StrictDataclassError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise ModelError(
            f"model.architectures has sizes of which no network can be made "
            f"({' '.join(str(error).split())[:200]}); change them."
        ) from error


@contextmanager
def tensors_only(source: str) -> Iterator[None]:
    """Say in one sentence why weights were not read.

    Raises:
        ModelError: names the source.
    """
    try:
        yield
    except UnpicklingError as error:
        raise ModelError(
            f"{source} holds more than tensors, which is not read, since reading it could run what "
            "it says; give the weights as safetensors."
        ) from error
    except (OSError, SafetensorError, RuntimeError, EOFError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(
            f"{source} cannot be read as weights ({reason}); fetch it again."
        ) from error


def is_described(source: str, sizes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a source's sizes are taken from the YAML, nothing of it being at hand."""
    return source in sizes and not Path(source).is_dir()


def architecture(
    source: str, sizes: Mapping[str, Mapping[str, Any]], *, local_files_only: bool = True
) -> PreTrainedConfig:
    """The configuration of a source without its weights: read, or from the sizes in the YAML.

    Raises:
        ModelError: neither is there.
    """
    if is_described(source, sizes):
        with sizing():
            return AutoConfig.for_model(**sizes[source])
    return read_config(source, local_files_only=local_files_only)


def read_config(source: str, *, local_files_only: bool = False) -> PreTrainedConfig:
    """The configuration of a source, fetched where that is needed and allowed."""
    where, more = locate(source, local_files_only=local_files_only)
    with reading(source, "a model's configuration"):
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            where, local_files_only=local_files_only, **more
        )
        return config


def read_weights(reader: Any, source: str, what: str, **settings: Any) -> tuple[Any, Any]:
    """What a transformers class reads from a source, and which tensors were missing or left over.

    Raises:
        ModelError: it cannot be read.
    """
    where, more = locate(source)
    with tensors_only(source), reading(source, what):
        result: tuple[Any, Any] = reader.from_pretrained(
            where, output_loading_info=True, **more, **settings
        )
        return result


def read_image_processor(source: str, *, local_files_only: bool = False) -> Any:
    """A source's own picture processing, by Pillow.

    Raises:
        ModelError: it cannot be read.
    """
    reader: Any = AutoImageProcessor
    with reading(source, "picture processing"):
        return reader.from_pretrained(
            locate(source)[0], backend="pil", local_files_only=local_files_only
        )


def require_whole(source: str, report: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that does not fill the network exactly.

    Args:
        report: what `from_pretrained(..., output_loading_info=True)` gives beside the model.

    Raises:
        ModelError: names the first missing, unexpected or misshapen tensors, and their number.
    """
    words = {"missing_keys": "lacks", "unexpected_keys": "has unexpected", "mismatched_keys": "has"}
    for key, word in words.items():
        names = sorted(str(item) for item in report.get(key, ()))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            misshapen = " with another shape" if key == "mismatched_keys" else ""
            raise ModelError(
                f"{source} {word} {', '.join(names[:3])}{more}{misshapen}; it is not the "
                "checkpoint that this configuration describes."
            )


def identity(source: str) -> dict[str, Any]:
    """What tells a source from a later one of the same name: sizes and times of its files.

    For a hub id there is nothing but the id.
    """
    path = Path(source).expanduser()
    files = [path] if path.is_file() else sorted(p for p in path.glob("*") if p.is_file())
    facts = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return {"source": str(path.resolve()) if facts else source, "files": facts}
