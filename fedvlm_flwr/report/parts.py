"""What is trained and shared of a model, as text."""

from collections.abc import Iterator, Sequence

from fedvlm_flwr.config import Config
from fedvlm_flwr.planning.counting import OUTSIDE, PartCount, StageCount
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.live import size


def as_text(config: Config, stages: Sequence[StageCount]) -> str:
    """For each stage a table of its parts and one of its messages."""
    lines = [
        f"model={config.model.name} tuning={config.tuning.name} algorithm={config.algorithm.name} "
        f"wire.dtype={config.wire.dtype}"
    ]
    for number, stage in enumerate(stages, start=1):
        modes = ", ".join(f"{part} {mode}" for part, mode in stage.modes.items())
        lines += ["", f"stage {number} of {len(stages)}: {modes}", ""]
        lines += [grid(("part", "total", "trained", "shared"), _parts(stage.parts)), ""]
        lines += [grid(("on the wire", "down", "up"), _messages(stage))]
    return "\n".join(lines)


def _parts(parts: Sequence[PartCount]) -> Iterator[list[str] | None]:
    for part in parts:
        if part.total or part.part != OUTSIDE:
            yield _row(part)
    yield None
    yield _row(
        PartCount(
            "all",
            sum(part.total for part in parts),
            sum(part.trained for part in parts),
            sum(part.shared for part in parts),
        )
    )


def _row(count: PartCount) -> list[str]:
    return [count.part, *(f"{n:,}" for n in (count.total, count.trained, count.shared))]


def _messages(stage: StageCount) -> Iterator[list[str]]:
    for each in stage.messages:
        who = "one client" if each.rank is None else f"one of {each.clients} of rank {each.rank}"
        yield [f"{who}, each round", size(each.down), size(each.up)]
    clients = sum(each.clients for each in stage.messages)
    down = sum(each.clients * each.down for each in stage.messages)
    up = sum(each.clients * each.up for each in stage.messages)
    yield [f"all {clients} of a round", size(down), size(up)]
    if stage.once:
        yield ["more in a client's first message", size(stage.once), size(0)]
