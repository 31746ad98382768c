"""What a run takes on the machine at hand, measured: real weights and steps, longest examples."""

import resource
import shutil
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.answers import generate_answers
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.planning.memory import Lengths
from fedvlm_flwr.process import Process

SIDE = (640, 480)  # pixels of the picture that is shown
WORD = "shape"
CPU_NAME = "the CPU"


@dataclass(frozen=True)
class Peak:
    """Bytes in the fullest moment: of torch's tensors, and of what its allocator held for them.

    On a CPU both are the process's resident memory, which never falls again.
    """

    allocated: int
    reserved: int


@dataclass(frozen=True)
class Measured:
    """What was seen on a device.

    Attributes:
        beside: bytes in use on the device beside torch's own: the context, other processes.
        training: the peak in each stage of the tuning.
    """

    device: str
    beside: int
    training: list[Peak]
    answering: Peak


def measure(
    process: Process,
    config: Config,
    device: torch.device,
    lengths: Lengths,
    train: Callable[[Resident, int, Sequence[Example]], None],
) -> Measured:
    """Load the model, take some steps in each stage and answer a batch.

    Args:
        process: holds the model.
        train: some optimizer steps of a stage on these examples.

    Raises:
        ConfigError: the prompt alone is longer than `lengths`.
        ModelError: the model cannot be loaded.
    """
    if device.type == "cpu":
        torch.set_num_threads(config.engine.threads)
    model = process.model(config, device)
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.linear_gradient("L").resize(SIDE).convert("RGB").save(picture)
        longest = longest_example(model.vlm, picture, lengths)
        stages = range(len(config.tuning.stages))
        examples = [longest] * config.train.batch_size
        peak = _resident if device.type == "cpu" else _peak
        training = [peak(device, lambda s=stage: train(model, s, examples)) for stage in stages]  # type: ignore[misc]
        examples = each_with_a_picture(longest, config.eval.batch_size)
        answering = peak(device, lambda: generate_answers(model, examples, config.eval))
    if device.type == "cpu":
        return Measured(CPU_NAME, 0, training, answering)
    free, total = torch.cuda.mem_get_info(device)
    beside = total - free - torch.cuda.memory_reserved(device)
    return Measured(torch.cuda.get_device_name(device), beside, training, answering)


def _peak(device: torch.device, work: Callable[[], object]) -> Peak:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    return Peak(torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device))


def _resident(device: torch.device, work: Callable[[], object]) -> Peak:
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return Peak(peak, peak)


def longest_example(vlm: VLM, picture: Path, lengths: Lengths) -> Example:
    """A question and an answer that take as many tokens as they may, or a few less.

    Raises:
        ConfigError: what stands around question and answer is longer already.
    """

    def answer_tokens(words: int) -> int:
        return len(vlm.encode(WORD, _repeat(words)).answer_ids)

    answer = _repeat(_most(answer_tokens, lengths.answer))

    def text_tokens(words: int) -> int:
        row = vlm.encode(_repeat(words), answer)
        return len(row.prompt_ids) + len(row.answer_ids)

    question = _repeat(_most(text_tokens, lengths.text))
    return Example("longest", (picture,), question, answer, "vqa")


def each_with_a_picture(example: Example, count: int) -> list[Example]:
    """The example again and again, each time with a copy of its picture beside the first.

    A model may look once at a picture that several questions are asked about, which takes less.
    """
    (picture,) = example.images
    copies = [picture.with_stem(f"{picture.stem}-{number}") for number in range(count)]
    return [replace(example, images=(Path(shutil.copy(picture, copy)),)) for copy in copies]


def _repeat(words: int) -> str:
    return " ".join([WORD] * words)


def _most(tokens: Callable[[int], int], limit: int) -> int:
    """The most words that take at most `limit` tokens."""
    words = bisect_right(range(1, limit + 1), limit, key=tokens)
    if not words:
        raise ConfigError(
            f"{limit} tokens are not enough for the prompt around a question and its answer, "
            f"which take {tokens(1)}; raise --length or --answer."
        )
    return words
