"""Where a stage's rounds stand: all that an exact continuation needs."""

from dataclasses import dataclass, field

from fedvlm_flwr.arrays import Arrays, section


@dataclass
class ServerState:
    """The state between two rounds.

    Random draws are no part of it: each comes from a stream of its own, made from the seed and the
    place (stage, round, client), so that no generator has a memory.

    Attributes:
        arrays: the shared tensors.
        server: the algorithm's own tensors, e.g. `momentum/connector.linear_1.weight`.
        number: rounds that are finished.
        scored: whether the evaluation after that round is done too.
        saved_rounds: by client that saves private state on its own disk, the newest round whose
            reply was taken in; its next one starts from what it saved after that very round.
        holds: by client that has answered in this stage, the number of each deposit that it keeps.
    """

    arrays: Arrays
    server: Arrays = field(default_factory=dict)
    number: int = 0
    scored: bool = False
    saved_rounds: dict[int, int] = field(default_factory=dict)
    holds: dict[int, dict[str, int]] = field(default_factory=dict)

    def section(self, name: str) -> Arrays:
        """The algorithm's tensors under `name/`, without that prefix; empty before they exist."""
        return section(self.server, f"{name}/")

    def replace_section(self, name: str, arrays: Arrays) -> None:
        """Put `arrays` under `name/` in place of what was there."""
        prefix = f"{name}/"
        others = {k: v for k, v in self.server.items() if not k.startswith(prefix)}
        self.server = others | {f"{prefix}{k}": v for k, v in arrays.items()}
