"""What a run takes on a GPU and on a CPU, as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedvlm_flwr.config import Config
from fedvlm_flwr.planning.cards import Fit, Need
from fedvlm_flwr.planning.measure import CPU_NAME, Measured
from fedvlm_flwr.planning.memory import (
    CUDA_CONTEXT,
    FRAGMENTATION,
    HEAP,
    PROCESS,
    Estimate,
    Lengths,
)
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.live import size


@dataclass(frozen=True)
class Budget:
    """All that is told.

    Attributes:
        image: places of the picture in an example.
        estimates: of a GPU process, by stage and gradient checkpointing.
        cpu: the same of a process that computes on a CPU.
        cards: by gigabytes.
    """

    config: Config
    image: int
    lengths: Lengths
    estimates: Mapping[tuple[int, bool], Estimate]
    cpu: Mapping[tuple[int, bool], Estimate]
    need: Need
    cards: Mapping[float, Fit]
    measured: Measured | None


def as_text(budget: Budget) -> str:
    """The table of estimates, what was assumed, what fits on which card, what was measured."""
    lines = [
        *_heading(budget),
        "",
        grid(list(_columns(budget)), _rows(budget)),
        "",
        *_assumed(budget),
    ]
    lines += ["", *(line for gb, fit in budget.cards.items() for line in _card(budget, gb, fit))]
    lines += ["", *_on_cpu(budget)]
    if budget.measured:
        lines += ["", f"measured on {budget.measured.device}, GB", ""]
        lines += [grid(("", "allocated", "reserved", "estimated"), _measured(budget))]
    return "\n".join(lines)


def _heading(budget: Budget) -> Iterator[str]:
    config, train = budget.config, budget.config.train
    params = config.model.params
    weights = f"{params.dtype}, LLM in {params.quantize}" if params.quantize else params.dtype
    yield (
        f"model={config.model.name} ({weights}) tuning={config.tuning.name} "
        f"algorithm={config.algorithm.name} engine={config.engine.name}"
    )
    yield (
        f"training: {train.optimizer}, {train.precision}, train.batch_size={train.batch_size}, "
        f"examples of {budget.image} + {budget.lengths.text} tokens (picture + text), "
        f"{budget.lengths.answer} of them the answer"
    )
    yield (
        f"answering: eval.batch_size={config.eval.batch_size}, "
        f"answers of at most {budget.lengths.answer} tokens"
    )


def _columns(budget: Budget) -> Iterator[str]:
    yield "one client process on a GPU, GB"
    stages = len(budget.config.tuning.stages)
    for stage, checkpointing in budget.estimates:
        where = f"stage {stage + 1}, " if stages > 1 else ""
        mark = " *" if checkpointing == budget.config.train.gradient_checkpointing else ""
        yield f"{where}{'checkpointed' if checkpointing else 'plain'}{mark}"


def _rows(budget: Budget) -> Iterator[list[str] | None]:
    estimates = list(budget.estimates.values())
    for section in ("resident", "training", "answering"):
        yield [section]
        for name in getattr(estimates[0], section):
            yield [f"  {name}", *(_gb(getattr(each, section)[name]) for each in estimates)]
        yield None
    yield ["in all, to train", *(_gb(each.to_train) for each in estimates)]
    yield ["in all, to answer", *(_gb(each.to_answer) for each in estimates)]
    yield ["needed (the larger)", *(_gb(each.needed) for each in estimates)]


def _assumed(budget: Budget) -> Iterator[str]:
    yield "* as configured (train.gradient_checkpointing)"
    yield (
        f"assumed: {size(CUDA_CONTEXT)} for the CUDA context, {FRAGMENTATION:.0%} of what comes "
        "and goes for fragmentation; encoding pictures is not counted"
    )
    if budget.need.server:
        yield (
            "the server's process scores a model of its own on the same card: "
            f"{size(budget.need.server)}"
        )


def _on_cpu(budget: Budget) -> Iterator[str]:
    checkpointing = budget.config.train.gradient_checkpointing
    each = [estimate for (_, on), estimate in budget.cpu.items() if on == checkpointing]
    train, answer = max(e.to_train for e in each), max(e.to_answer for e in each)
    yield (
        f"one client process on a CPU: {size(train)} to train, {size(answer)} to answer (assumed: "
        f"{size(PROCESS)} for Python and its libraries, {HEAP:.0%} of what comes and goes held by "
        "the heap)"
    )


def _card(budget: Budget, gigabytes: float, fit: Fit) -> Iterator[str]:
    need = _share(budget.need)
    if fit.gpus_per_client is not None:
        at_once = f"{fit.clients} client{'s' if fit.clients > 1 else ''} at once"
        yield (
            f"card of {gigabytes:g} GB: {at_once} ({need}): "
            f"engine.gpus_per_client={fit.gpus_per_client:g}"
        )
    elif fit.changes:
        yield (
            f"card of {gigabytes:g} GB: too small ({need}); set "
            f"{' '.join(fit.changes)}, then one fits: {_share(fit.changed)}"
        )
    else:
        yield (
            f"card of {gigabytes:g} GB: too small ({need}; at the least "
            f"{_share(fit.changed)}, with the smallest batches and all that saves memory); take "
            "a smaller model, shorter texts or a larger card"
        )


def _share(need: Need) -> str:
    server = f", and {size(need.server)} for the server" if need.server else ""
    return f"{size(need.client)} a client{server}"


def _measured(budget: Budget) -> Iterator[Sequence[str]]:
    measured = budget.measured
    assert measured is not None
    checkpointing = budget.config.train.gradient_checkpointing
    on_cpu = measured.device == CPU_NAME
    estimates, base = (budget.cpu, 0) if on_cpu else (budget.estimates, CUDA_CONTEXT)
    for stage, peak in enumerate(measured.training):
        guess = estimates[stage, checkpointing].to_train - base
        yield [f"training, stage {stage + 1}", _gb(peak.allocated), _gb(peak.reserved), _gb(guess)]
    peak, answer = measured.answering, estimates[0, checkpointing]
    guess = (answer.needed if on_cpu else answer.to_answer) - base  # it has trained before
    yield ["answering", _gb(peak.allocated), _gb(peak.reserved), _gb(guess)]
    if on_cpu:
        return
    yield ["context and other processes", "", _gb(measured.beside), _gb(CUDA_CONTEXT)]


def _gb(count: int) -> str:
    return f"{count / 1e9:.3f}"
