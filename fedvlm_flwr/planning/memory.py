"""How much memory one client process takes, on a GPU or on a CPU, estimated without a weight.

Weights, gradients and the optimizer's state are counted from the network's tensors, activations
and the key/value cache by a dry run (`dry_run.py`). Assumed is what `GPU` and `CPU` say.
Not counted: what encoding pictures takes for a moment.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass

from torch import nn

from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.parts import part_module, set_trainable
from fedvlm_flwr.models.vlm import Skeleton
from fedvlm_flwr.planning.batch import Batch
from fedvlm_flwr.planning.dry_run import (
    AnsweringBytes,
    TrainingBytes,
    dry_run_answering,
    dry_run_training,
)
from fedvlm_flwr.planning.kernels import frozen_linears

CUDA_CONTEXT = 600_000_000  # bytes that a process takes on a GPU before its first tensor
FRAGMENTATION = 0.1  # part of what comes and goes that the allocator holds on top of it

# On a CPU, measured with 100 million parameters (docs/models.md): what a process holds before its
# first tensor and in libraries' buffers after its first step; the C library's heap, which hands out
# tensors below 32 MB and gives little of them back.
PROCESS = 850_000_000
HEAP = 1.2
COPIES = 4  # of what is trained, as arrays: at the start, as it came, after training, packed

STATES = {"adamw": 2, "sgd": 0}  # numbers that an optimizer keeps for each trained one
BLOCK = 64  # numbers of a 4-bit weight that share one float32 scale

Parameters = Mapping[str, nn.Parameter]


@dataclass(frozen=True)
class Machine:
    """What a process takes beside what is counted.

    Attributes:
        base: what it holds before its first tensor, in words.
        base_bytes: the same in bytes.
        overhead: part of what comes and goes that is held on top of it.
        copies: of the trained tensors, as arrays in the same memory.
    """

    base: str
    base_bytes: int
    overhead: float
    copies: int


GPU = Machine("CUDA context", CUDA_CONTEXT, FRAGMENTATION, 0)
CPU = Machine("Python and its libraries", PROCESS, HEAP, COPIES)


@dataclass(frozen=True)
class Lengths:
    """The largest example: tokens of its text, those of its answer among them."""

    text: int
    answer: int


@dataclass(frozen=True)
class Estimate:
    """Bytes of one process in one stage of the tuning, by what takes them.

    Attributes:
        resident: what stays for as long as the process lives.
        training: what local training needs on top.
        answering: what answering questions needs on top.
    """

    resident: dict[str, int]
    training: dict[str, int]
    answering: dict[str, int]

    @property
    def to_train(self) -> int:
        """All that a training process holds in its fullest moment."""
        return sum(self.resident.values()) + sum(self.training.values())

    @property
    def to_answer(self) -> int:
        """All that an answering process holds in its fullest moment."""
        return sum(self.resident.values()) + sum(self.answering.values())

    @property
    def needed(self) -> int:
        """The larger of the two."""
        return max(self.to_train, self.to_answer)


class Estimator:
    """Estimates for one network under settings that may change; no dry run is made twice.

    Args:
        skeleton: the configured model with its adapters (`counting.adapted_skeleton`).
        lengths: of text; the picture's tokens come on top.
        of_algorithm: what the algorithm's client side keeps on the device in a stage, given the
            stage's trained parameters.
        machine: where the process computes.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        lengths: Lengths,
        of_algorithm: Callable[[int, Parameters], int] = lambda stage, parameters: 0,
        machine: Machine = GPU,
    ) -> None:
        self._machine = machine
        self._skeleton = skeleton
        self._lengths = lengths
        self._of_algorithm = of_algorithm
        self._fixed: dict[tuple[int, str | None], tuple[int, int, int]] = {}
        self._trained: dict[tuple[object, ...], TrainingBytes] = {}
        self._answered: dict[Batch, AnsweringBytes] = {}

    def estimate(self, config: Config, stage: int) -> Estimate:
        """The memory of a client process in a stage.

        Args:
            config: may differ from the one behind the skeleton in batch sizes, checkpointing,
                precision of training and quantization.

        Raises:
            ConfigError: weights that are quantized are to be trained in full.
            ModelError: the stage trains a part that the model does not have.
        """
        quantize = config.model.params.quantize
        if quantize and "full" in config.tuning.modes.get("llm", ()):
            raise ConfigError(
                f"model.quantize={quantize} holds the LLM in a form that is not trained in full, "
                f"as tuning={config.tuning.name} does; choose one with lora, or set it to null."
            )
        frozen, trained, algorithm = self._weights(config, stage, quantize)
        return Estimate(
            {
                "frozen weights": frozen,
                "trained weights": trained,
                self._machine.base: self._machine.base_bytes,
            },
            {
                "gradients": trained,
                "optimiser state": STATES[config.train.optimizer] * trained,
                "algorithm's tensors": algorithm,
                **self._arrays(trained),
                **self._training(config, stage, trained),
            },
            self._answering(config),
        )

    def _weights(self, config: Config, stage: int, quantize: str | None) -> tuple[int, int, int]:
        """Frozen ones, trained ones, and what the algorithm keeps for the latter."""
        key = (stage, quantize)
        if key not in self._fixed:
            parameters = set_trainable(self._skeleton, config.tuning.stages[stage])
            self._fixed[key] = (
                _frozen(self._skeleton, parameters, quantize),
                sum(parameter.nbytes for parameter in parameters.values()),
                self._of_algorithm(stage, parameters),
            )
        return self._fixed[key]

    def _arrays(self, trained: int) -> dict[str, int]:
        """What is trained, in and out of messages; on a GPU it lies elsewhere."""
        copies = self._machine.copies
        return {"arrays of messages": copies * trained} if copies else {}

    def on(self, machine: Machine) -> "Estimator":
        """The same for another machine; dry runs are shared."""
        other = copy(self)
        other._machine = machine
        return other

    def _training(self, config: Config, stage: int, trained: int) -> dict[str, int]:
        train, learns = config.train, "connector" in config.tuning.stages[stage].trained
        batch = self._batch(config, train.batch_size, self._lengths.answer)
        how = (train.precision == "bfloat16", train.gradient_checkpointing)
        key = (stage, batch, how)
        if key not in self._trained:
            set_trainable(self._skeleton, config.tuning.stages[stage])
            llm = part_module(self._skeleton, "llm")
            self._trained[key] = dry_run_training(llm, batch, learns, *how)
        training = self._trained[key]
        connector = _connector(self._skeleton, train.batch_size) if learns else 0
        activations = connector + training.activations + training.logits
        # The optimizer's step, which comes when activations are gone, makes one more copy.
        working = max(training.working, trained - activations)
        return {
            "activations of the connector": connector,
            "activations of the LLM": training.activations,
            "logits of the answers": training.logits,
            "working memory": working,
            "fragmentation": int(self._machine.overhead * (activations + working)),
        }

    def _answering(self, config: Config) -> dict[str, int]:
        batch = self._batch(config, config.eval.batch_size, self._lengths.answer)
        if batch not in self._answered:
            self._answered[batch] = dry_run_answering(part_module(self._skeleton, "llm"), batch)
        answering = self._answered[batch]
        return {
            "key/value cache": answering.cache,
            "working memory": answering.working,
            "fragmentation": int(self._machine.overhead * (answering.cache + answering.working)),
        }

    def _batch(self, config: Config, rows: int, labeled: int) -> Batch:
        """Every row as long as can be; masked, as where rows are of unequal length."""
        length = self._skeleton.image_tokens + self._lengths.text
        quantize, beside = config.model.params.quantize, self._skeleton.image_states
        packs = self._skeleton.packs
        return Batch(rows, length, labeled, True, quantize, beside, packs)


def _frozen(skeleton: Skeleton, trained: Parameters, quantize: str | None) -> int:
    trained_ids = {id(parameter) for parameter in trained.values()}
    others = [p for p in skeleton.module.parameters() if id(p) not in trained_ids]
    total = sum(t.nbytes for t in (*others, *skeleton.module.buffers()))
    if quantize:
        for layer in frozen_linears(part_module(skeleton, "llm")):
            total += quantized_bytes(layer, quantize) - layer.weight.nbytes
    return total


def quantized_bytes(layer: nn.Linear, quantize: str) -> int:
    """What bitsandbytes holds for a linear layer's weight, its constants included."""
    numbers = layer.weight.numel()
    if quantize == "4bit":
        return numbers // 2 + 4 * -(-numbers // BLOCK) + 4 * 16  # the 16 values that there are
    return numbers + 4 * layer.out_features


def _connector(skeleton: Skeleton, pictures: int) -> int:
    """What the connector's layers take and give, float32: no less than autograd keeps of them."""
    weights = part_module(skeleton, "connector").parameters()
    widths = sum(sum(weight.shape) for weight in weights)  # of a matrix in and out, of others once
    return 4 * widths * pictures * (skeleton.image_states or skeleton.image_tokens)
